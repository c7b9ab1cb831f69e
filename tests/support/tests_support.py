"""A copy of the workflow at a tiny scale, and a way to run the real Snakemake in it."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("Snakefile", "rules", "config", "workflow_scripts", "profiles", "envs")
SILENT = shutil.ignore_patterns("__pycache__", "*.pyc")


@dataclass(frozen=True)
class Project:
    """A copy of the workflow in a folder of its own."""

    folder: Path

    def snakemake(self, *arguments: str, check: bool = True, scale: str = "tiny", **config: str):
        """Run Snakemake with two cores and return the finished process, output as text.

        Settings are YAML and go through a file: on the command line, nested numbers stay text.
        """
        command = [sys.executable, "-m", "snakemake", *arguments, "--cores", "2"]
        if config:
            settings = self.folder / "settings.yaml"
            settings.write_text("".join(f"{key}: {value}\n" for key, value in config.items()))
            command += ["--configfile", settings.name]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        done = subprocess.run(
            [*command, "--config", f"scale={scale}"],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=800,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(f"snakemake failed:\n{done.stdout}\n{done.stderr}")
        return done

    def planned(self, *arguments: str, **config: str) -> list[str]:
        """Return what a dry run would make, as sorted stage/name, without the bare targets."""
        done = self.snakemake(*arguments, "-n", **config)
        lines = (done.stdout + done.stderr).splitlines()
        listed = [line.split()[1:] for line in lines if line.startswith("    output: ")]
        outputs = [Path(word.rstrip(",")) for words in listed for word in words]
        return sorted("/".join(o.parts[-2:])[:-3] for o in outputs if o.suffix == ".h5")

    def path(self, stage: str, name: str, suffix: str = "h5") -> Path:
        """Return the path of an artifact or rendering."""
        return self.folder / "results" / "tiny" / stage / f"{name}.{suffix}"

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace text that must occur in a file of the copy."""
        path = self.folder / file
        text = path.read_text()
        assert old in text, f"{old!r} is not in {file}"
        path.write_text(text.replace(old, new, 1))


def copy_project(folder: Path) -> Project:
    """Copy the workflow to `folder` and give it the scale ``tiny``."""
    for part in PARTS:
        source = ROOT / part
        copy = shutil.copytree if source.is_dir() else shutil.copy2
        copy(source, folder / part, **({"ignore": SILENT} if source.is_dir() else {}))
    shutil.copy2(ROOT / "tests" / "scales" / "tiny.yaml", folder / "config" / "scales")
    return Project(folder)
