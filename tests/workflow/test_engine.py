"""What Snakemake does not document still does what is asked of it: one test for each name."""

import base64
import subprocess
import sys
from pathlib import Path

import pytest

from lossmap.workflow import engine

SCRIPTS = Path(__file__).resolve().parents[2] / "workflow_scripts"
SNAKEFILE = f"""
import sys
sys.path.insert(0, "{SCRIPTS}")
from lossmap.workflow import engine

print("main:", engine.is_main_process(workflow), file=sys.stderr)
print("submits:", engine.submits_jobs(workflow), file=sys.stderr)
engine.limit_resource(workflow, "gpu", 1)
print("configured:", engine.config_files(workflow), file=sys.stderr)
print("gpu:", workflow.global_resources["gpu"].value, file=sys.stderr)


def made(wildcards):
    engine.lift_rate_limit(workflow)
    limit = workflow.scheduling_settings and workflow.scheduling_settings.max_jobs_per_timespan
    print("limit:", limit and (limit.max_jobs, limit.timespan), file=sys.stderr)
    engine.force(workflow, ["out.txt"] if config.get("stale") else [])
    print("incomplete:", engine.is_incomplete(workflow, "out.txt"), file=sys.stderr)
    if config.get("whole"):
        engine.complete(workflow, "out.txt")
    return []


rule one:
    input: made
    output: "out.txt"
    resources: gpu=1
    run:
        open(output[0], "w").close()
"""


@pytest.fixture
def run(tmp_path):
    """Return a function that runs Snakemake on that Snakefile and returns what it prints."""
    (tmp_path / "Snakefile").write_text(SNAKEFILE)

    def snakemake(*arguments: str) -> str:
        command = [sys.executable, "-m", "snakemake", *arguments]
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=True
        )
        return done.stdout + done.stderr

    return snakemake


def test_a_job_is_not_run_by_the_main_process(run):
    assert "main: True" in run("-n", "--cores", "1")
    assert "main: False" in run("--cores", "1", "--forceall")


def test_files_of_configuration_are_known_wherever_they_are_named(run, tmp_path):
    (tmp_path / "a.yaml").write_text("a: 1")
    (tmp_path / "b.yaml").write_text("b: 1")
    (tmp_path / "Snakefile").write_text('configfile: "a.yaml"\n' + SNAKEFILE)
    found = run("-n", "--cores", "1", "--configfile", "b.yaml").partition("configured: ")[2]
    assert found.partition("\n")[0] == str([str(tmp_path / "b.yaml"), "a.yaml"])


def test_jobs_without_cores_are_submitted(run):
    assert "submits: False" in run("--cores", "1")
    assert "submits: True" in run("--executor", "slurm", "--jobs", "3")  # nothing is left to do


def test_a_resource_is_limited_unless_the_user_limits_it(run):
    assert "gpu: 1\n" in run("-n", "--cores", "1")
    assert "gpu: 7\n" in run("-n", "--cores", "1", "--resources", "gpu=7")


def test_what_is_forced_is_made_again(run):
    run("--cores", "1")
    assert "Nothing to be done" in run("-n", "--cores", "1")
    # --config takes all that follows
    assert "Forced execution" in run("-n", "--cores", "1", "--config", "stale=true")


@pytest.mark.parametrize(
    ("record", "broken"),
    [
        (b"\xff\x00", True),
        (b"[1, 2]", True),
        (b'{"endtime": "now"}', True),
        (b"", False),
        (b'{"rule": "o', False),
    ],
)
def test_a_record_that_would_end_snakemake_is_told_from_half_a_record(
    run, tmp_path, monkeypatch, record, broken
):
    monkeypatch.chdir(tmp_path)
    run("--cores", "1")
    assert engine.find_broken_records() == []
    (path,) = (tmp_path / ".snakemake" / "metadata").iterdir()
    path.write_bytes(record)
    assert engine.find_broken_records() == [path.relative_to(tmp_path)] * broken
    if broken:
        with pytest.raises(subprocess.CalledProcessError):
            run("-n", "--cores", "1")
    else:
        run("-n", "--cores", "1")


def test_what_a_killed_snakemake_left_is_incomplete_until_it_is_called_complete(run, tmp_path):
    mark = tmp_path / ".snakemake" / "incomplete" / base64.urlsafe_b64encode(b"out.txt").decode()
    run("--cores", "1")
    assert "incomplete: False" in run("-n", "--cores", "1")
    mark.write_text('{"external_jobid": null}')
    again = ("-n", "--cores", "1", "--rerun-incomplete")
    said = run(*again)
    assert "incomplete: True" in said
    assert "Forced execution" in said
    assert "Nothing to be done" in run(*again, "--config", "whole=true")
    assert not mark.exists()


def test_a_lock_that_is_no_text_is_found(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lock = tmp_path / ".snakemake" / "locks" / "0.input.lock"
    lock.parent.mkdir(parents=True)
    lock.write_text("in.txt\n")
    assert engine.find_broken_records() == []
    lock.write_bytes(b"\xff")
    assert engine.find_broken_records() == [lock.relative_to(tmp_path)]
    with pytest.raises(subprocess.CalledProcessError):
        run("--cores", "1")


def test_local_jobs_have_no_rate_limit_but_the_users_own(run):
    assert "limit: None" in run("-n", "--cores", "1")
    assert "limit: (5, 1.0)" in run("-n", "--cores", "1", "--max-jobs-per-timespan", "5/1s")


def test_submitted_jobs_keep_their_rate_limit(run):
    assert "limit: None" in run("--cores", "1")
    found = run("--executor", "slurm", "--jobs", "3")  # nothing is left to do
    assert "limit: (100, 1.0)" in found
