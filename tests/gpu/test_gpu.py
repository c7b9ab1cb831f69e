"""What must hold on a GPU; on the CPU the same code at tiny sizes, so that it is known to run."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from properties import PROPERTY_CHECKS, Case
from timebox import Part, Records, supervise

CHECK = Path(__file__).with_name("check.py")
ON_GPU = pytest.param(
    "cuda",
    marks=[
        pytest.mark.gpu,
        pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
    ],
)


@pytest.fixture(autouse=True)
def _keep_arithmetic():
    """Leave torch as it was: a property decides on threads and determinism."""
    threads, exact = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(exact)


@pytest.mark.parametrize("device", ["cpu", ON_GPU])
@pytest.mark.parametrize("name", PROPERTY_CHECKS)
def test_property(tmp_path, name, device):
    assert PROPERTY_CHECKS[name](Case(tmp_path, device, tiny=device == "cpu"))


@pytest.mark.gpu
@pytest.mark.slow
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_smallest_workflow_on_a_gpu(tmp_path, monkeypatch):
    pytest.importorskip("snakemake", reason="needs Snakemake")
    from tests_support import Project, copy_mini_project

    monkeypatch.setattr(Project, "environment", staticmethod(_see_gpus))
    project = copy_mini_project(tmp_path)
    project.snakemake("all", device="cuda")
    assert (
        "on cuda" in (project.folder / "results/tiny/log/trajectory/c10-resnet20.log").read_text()
    )
    assert project.planned("all") == []


def _see_gpus() -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1"}


PROGRAM = """
import os, sys, time
sys.path[:0] = {path!r}
from pathlib import Path
from timebox import Part, Records, run_parts

parts = {{
    "good": Part(lambda: {{"value": 1}}, 0),
    "hangs": Part(lambda: time.sleep(60), 0),
    "dies": Part(lambda: os._exit(7), 0),
    "needs long": Part(dict, 1000),
    "wrong": Part(lambda: 1 / 0, 0),
    "last": Part(lambda: {{"value": 2}}, 0),
}}
run_parts(parts, sys.argv[2].split(","), Records(Path({records!r})), float(sys.argv[4]))
"""
WANTED = {
    "good": ("done", ""),
    "hangs": ("failed", "it took more than 2 s"),
    "dies": ("failed", "ended with status 7"),
    "needs long": ("skipped", "it takes at least 1000 s"),
    "wrong": ("failed", "ZeroDivisionError"),
    "last": ("done", ""),
}


def test_parts_that_hang_die_or_fail_cost_nothing_but_themselves(tmp_path):
    records, reports = Records(tmp_path / "records.jsonl"), []
    program = PROGRAM.format(path=sys.path, records=str(records.path))
    parts = {name: Part(dict, 0, 2) for name in WANTED}
    command = [sys.executable, "-c", program]
    supervise(command, parts, records, time.time() + 90, lambda: reports.append(1))
    found = records.read()
    assert {name: line["status"] for name, line in found.items()} == {
        name: status for name, (status, _) in WANTED.items()
    }
    for name, (_, reason) in WANTED.items():
        assert reason in found[name].get("reason", "")
    assert found["last"]["found"] == {"value": 2}
    assert reports


def test_nothing_outlives_the_budget(tmp_path):
    records, started = Records(tmp_path / "records.jsonl"), time.time()
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    supervise(command, {"one": Part(dict), "two": Part(dict)}, records, started + 5, lambda: None)
    assert time.time() - started < 8
    assert {line["status"] for line in records.read().values()} <= {"skipped", "failed"}


@pytest.mark.slow
def test_check_reports_what_it_had_time_for(tmp_path):
    words = [CHECK, "--device", "cpu", "--tiny", "--budget", "25", "--out", tmp_path]
    started = time.monotonic()
    subprocess.run([sys.executable, *words], check=True, capture_output=True, timeout=60)
    assert time.monotonic() - started < 30
    parts = json.loads((tmp_path / "check.json").read_text())["parts"]
    assert parts["card"]["status"] == "done"
    assert parts["several 4"]["status"] == "skipped"
    assert "| training repeats | yes |" in (tmp_path / "check.md").read_text()
