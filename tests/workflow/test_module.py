"""The workflow as a part of somebody else's: `module` and `use rule * from lossmap`."""

import os
import subprocess
import sys

import pytest
from tests_support import copy_mini_project

pytestmark = pytest.mark.slow

OUTER = """
configfile: "settings.yaml"

module lossmap:
    snakefile: "../lossmap/Snakefile"
    config: config

use rule * from lossmap

rule mine:
    default_target: True
    input: "results/tiny/distance/c10.h5"
    output: "mine.txt"
    shell: "echo {input} > {output}"
"""


def test_an_outer_workflow_uses_the_rules_and_rebuilds_nothing(tmp_path):
    (tmp_path / "lossmap").mkdir()
    copy_mini_project(tmp_path / "lossmap")
    folder = tmp_path / "outer"
    folder.mkdir()
    (folder / "Snakefile").write_text(OUTER)
    (folder / "settings.yaml").write_text("scale: tiny\n")
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "snakemake", "--cores", "2"]
    for said in ("distance c10", "Nothing to be done"):
        done = subprocess.run(
            command,
            check=False,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, done.stderr
        assert said in done.stdout + done.stderr
    assert (folder / "mine.txt").read_text() == "results/tiny/distance/c10.h5\n"
    assert (folder / "results/tiny/distance/c10.h5").is_file()
