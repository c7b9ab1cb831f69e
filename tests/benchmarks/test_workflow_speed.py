"""Seconds that are not computing: a run that finds nothing to do, and what each job takes to start.

The results are those of the small registry of the tests. Beside a run with nothing to do: Snakemake
with a Snakefile of one empty rule. Beside a job's start: the import of its heaviest library alone.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from account import SCRIPTS, starting_command
from plain_loops import alternate, timed
from tests_support import copy_mini_project

ROUNDS = 5
HEAVY = {"trajectory": "torch", "grid": "torch", "jumps": "torch", "figure": "matplotlib.figure"}


def run(command: list[str], folder: Path | None = None) -> float:
    """Return the seconds of a process."""
    environment = os.environ | {"PYTHONPATH": str(SCRIPTS)}
    options = {"cwd": folder, "env": environment, "capture_output": True}
    return timed(lambda: subprocess.run(command, check=True, **options))


def test_a_run_with_nothing_to_do(benchmark, capsys, tmp_path):
    full, empty = tmp_path / "full", tmp_path / "empty"
    full.mkdir()
    empty.mkdir()
    project = copy_mini_project(full)
    project.snakemake()
    (empty / "Snakefile").write_text("rule all:\n    output: touch('made')\n")
    run([sys.executable, "-m", "snakemake", "--cores", "2"], empty)

    def ours() -> float:
        return run(project.command("--cores", "2"), project.folder)

    def plain() -> float:
        return run([sys.executable, "-m", "snakemake", "--cores", "2"], empty)

    found, floor = alternate(ROUNDS, ours, plain)
    benchmark.extra_info["ratio"] = found / floor
    benchmark.pedantic(ours, rounds=1)
    with capsys.disabled():
        print(f"\nnothing to do: {found:.2f} s; an empty Snakefile {floor:.2f} s")


@pytest.mark.parametrize("stage", HEAVY)
def test_a_job_starts(benchmark, capsys, stage):
    library = HEAVY[stage]
    found, floor = alternate(
        ROUNDS,
        lambda: run(starting_command(SCRIPTS / f"{stage}.py")),
        lambda: run([sys.executable, "-c", f"import {library}"]),
    )
    benchmark.extra_info["ratio"] = found / floor
    benchmark.pedantic(run, args=(starting_command(SCRIPTS / f"{stage}.py"),), rounds=1)
    with capsys.disabled():
        print(f"\nstart of {stage}: {found:.2f} s; import {library} alone {floor:.2f} s")
