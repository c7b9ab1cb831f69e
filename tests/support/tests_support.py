"""A copy of the workflow at a tiny scale, and a way to run the real Snakemake in it."""

import os
import re
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

    def snakemake(
        self,
        *arguments: str,
        check: bool = True,
        scale: str = "tiny",
        cores: int | None = 2,
        seconds: int = 1700,
        **config: str,
    ):
        """Run Snakemake and return the finished process, output as text.

        Settings are YAML and go through a file: on the command line, nested numbers stay text.
        """
        if cores:
            arguments = (*arguments, "--cores", str(cores))
        done = subprocess.run(
            self.command(*arguments, scale=scale, **config),
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(f"snakemake failed:\n{done.stdout}\n{done.stderr}")
        return done

    def upkeep(self, *arguments: str, scale: str = "tiny"):
        """Run one of the commands that look after results; return the finished process."""
        return subprocess.run(
            [sys.executable, "-m", "lossmap.upkeep", *arguments, "--scale", scale],
            cwd=self.folder,
            env=os.environ | {"PYTHONPATH": str(self.folder / "workflow_scripts")},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def files(self) -> dict[str, bytes]:
        """Return the bytes of every file of the results but logs, benchmarks and resume points."""
        results = self.folder / "results" / "tiny"
        found = {str(path.relative_to(results)): path for path in sorted(results.rglob("*"))}
        aside = ("log/", "benchmark/", ".resume/")
        return {
            name: path.read_bytes()
            for name, path in found.items()
            if path.is_file() and not name.startswith(aside)
        }

    def command(self, *arguments: str, scale: str = "tiny", **config: str) -> list[str]:
        """Return a command line of Snakemake, and write the settings that it names."""
        command = [sys.executable, "-m", "snakemake", *arguments]
        if config:
            settings = self.folder / "settings.yaml"
            settings.write_text("".join(f"{key}: {value}\n" for key, value in config.items()))
            command += ["--configfile", settings.name]
        return [*command, "--config", f"scale={scale}"]

    @staticmethod
    def environment() -> dict[str, str]:
        """Return the environment of every Snakemake: one thread a job, no GPU."""
        return os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}

    def planned(self, *arguments: str, **config: str) -> list[str]:
        """Return what a dry run would make, as sorted stage/name, without the bare targets."""
        done = self.snakemake(*arguments, "-n", **config)
        jobs = re.findall(r"^Job \d+: (\w+) ([\w, -]+)$", done.stdout + done.stderr, re.MULTILINE)
        return sorted(f"{stage}/{name}" for stage, names in jobs for name in names.split(", "))

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


def copy_mini_project(folder: Path) -> Project:
    """Copy the workflow with a registry so small that all of it is made in seconds."""
    project = copy_project(folder)
    mini = ROOT / "tests" / "mini"
    for registry in ("ding2023.yaml", "horoi2021.yaml"):
        shutil.copy2(mini / registry, folder / "config")
    shutil.copy2(mini / "tiny.yaml", folder / "config" / "scales")
    for scale in ("demo", "desk", "paper"):  # they say something of runs that are not there
        (folder / "config" / "scales" / f"{scale}.yaml").unlink()
    return project
