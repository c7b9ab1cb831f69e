"""Resolve requirements.in from scratch into requirements.lock and lossmap.yaml (`make lock`).

Packages that torch's own metadata pins exactly (the CUDA libraries) stay out of the lock: torch
brings them along in the one version it works with, and a CPU build of torch brings none.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ENVS = Path(__file__).parent
LINUX_ONLY = ("cuda-", "nvidia-", "triton")
HEADER = "# Made by `make lock` from requirements.in; change that file, not this one.\n"


def resolve(requirements: Path) -> dict[str, dict]:
    """Return canonical name -> metadata of everything a clean environment would install."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        options = ["--quiet", "--dry-run", "--ignore-installed", "--report", str(report)]
        subprocess.run(
            [sys.executable, "-m", "pip", "install", *options, "-r", str(requirements)], check=True
        )
        installs = json.loads(report.read_text())["install"]
    return {canonicalize_name(item["metadata"]["name"]): item["metadata"] for item in installs}


def pinned_by_torch(packages: dict[str, dict]) -> set[str]:
    """Return the platform-marked packages that torch, or one of them, requires with `==`."""
    pinned: set[str] = set()
    queue = [("torch", "")]
    while queue:
        parent, extra = queue.pop()
        for line in packages[parent].get("requires_dist", []):
            requirement = Requirement(line)
            name = canonicalize_name(requirement.name)
            wanted = requirement.marker and requirement.marker.evaluate({"extra": extra})
            if wanted and name.startswith(LINUX_ONLY):
                queue.extend((name, child) for child in {"", *requirement.extras})
                if any(part.operator == "==" for part in requirement.specifier):
                    pinned.add(name)
    return pinned


def lock_lines(packages: dict[str, dict]) -> list[str]:
    """Return sorted `name==version` lines, with a marker on what only Linux has."""
    left_out = pinned_by_torch(packages)
    lines = []
    for name in sorted(packages.keys() - left_out):
        marker = ' ; sys_platform == "linux"' if name.startswith(LINUX_ONLY) else ""
        lines.append(f"{name}=={packages[name]['version']}{marker}")
    return lines


def conda_text(lines: list[str]) -> str:
    """Return the conda environment: conda's Python and pip, everything else from the lock's pins.

    The pins are repeated rather than included by `-r`: Snakemake copies this file before it builds
    an environment from it, and a relative path would then point nowhere.
    """
    head = "name: lossmap\nchannels:\n  - conda-forge\ndependencies:\n  - python=3.11\n  - pip\n"
    return HEADER + head + "  - pip:\n" + "".join(f"      - '{line}'\n" for line in lines)


if __name__ == "__main__":
    pins = lock_lines(resolve(ENVS / "requirements.in"))
    (ENVS / "requirements.lock").write_text(HEADER + "\n".join(pins) + "\n")
    (ENVS / "lossmap.yaml").write_text(conda_text(pins))
    print(f"{len(pins)} pins in envs/requirements.lock and envs/lossmap.yaml")
