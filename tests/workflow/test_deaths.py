"""A job that dies by a signal says which, where and what to try."""

import signal

import pytest

from lossmap.workflow.deaths import explain_deaths

MESSAGE = "Command 'set -euo pipefail;  python job.py' died with <Signals.{0.name}: {0.value}>.\n"
REMEDIES = {
    signal.SIGKILL: "memory runs out; run fewer jobs at once",
    signal.SIGABRT: "a library crashed in the call that its log ends with; try another width",
    signal.SIGSEGV: "a library crashed",
    signal.SIGILL: "a library crashed",
    signal.SIGTERM: "somebody ended it; start again",
}
NETWORK = """
import os

from torch import nn


class Aborting(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 10)

    def forward(self, x):
        os.abort()


def make(*, classes, channels, width):
    return Aborting()
"""
RUN = "runs: {mine: {dataset: c10, network: 'mine:make', recipe: ding2023, epochs: 2}}"


@pytest.mark.parametrize("name", REMEDIES)
def test_each_signal_is_named_once_with_what_to_try(tmp_path, name):
    log = tmp_path / "snakemake.log"
    log.write_text("before\n" + 2 * MESSAGE.format(name) + "after\n")
    (line,) = explain_deaths([log])
    assert line.startswith(f"error: a job died by {name.name}: ")
    assert REMEDIES[name] in line


def test_a_failure_without_a_signal_has_no_line(tmp_path):
    log = tmp_path / "snakemake.log"
    log.write_text("Command 'python job.py' returned non-zero exit status 1.\n")
    assert explain_deaths([log]) == []


def test_a_crash_is_named_on_the_screen_and_placed_in_the_log(shared_project):
    project = shared_project
    (project.folder / "mine.py").write_text(NETWORK)
    (project.folder / "mine.yaml").write_text(RUN)
    target = str(project.path("trajectory", "mine").relative_to(project.folder))
    done = project.snakemake(target, "--configfile", "mine.yaml", check=False)
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: a job died by ")]
    assert done.returncode != 0
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: a job died by SIGABRT: a library crashed")
    log = project.path("log/trajectory", "mine", "log").read_text()
    assert "Fatal Python error: Aborted" in log
    assert '/mine.py", line 13 in forward' in log
