"""Ending jobs and workflows by SIGKILL at random moments, many times over."""

import os
import random
import re
import signal
import subprocess
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from tests_support import Project

SCRIPT = re.compile(r"/\.snakemake/scripts/\w+\.(\w+)\.py$")
POLL_SECONDS = 0.02
START_SECONDS = 0.1
"""Nearly every job lives longer: the first that is seen of each stage is killed this early."""


def jobs_of(project: Project) -> dict[int, str]:
    """Return the running entry scripts of a project: process number and stage."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().decode().split("\0")
        except OSError:  # it has ended meanwhile
            continue
        scripts = [word for word in words if word.startswith(str(project.folder))]
        match = SCRIPT.search(scripts[-1]) if scripts else None
        if match and "python" in words[0]:
            found[int(entry.name)] = match[1]
    return found


class Killer(threading.Thread):
    """Kills each job of some stages at a random moment of its life, so many of each stage.

    Attributes
    ----------
    killed : how many jobs of each stage were ended
    """

    def __init__(self, project: Project, budget: dict[str, int], longest: float, seed: int):
        super().__init__(daemon=True)
        self.project, self.left, self.longest = project, Counter(budget), longest
        self.chance = random.Random(seed)
        self.killed: Counter[str] = Counter()
        self.over = threading.Event()

    def run(self) -> None:
        due: dict[int, tuple[float, str]] = {}
        while not self.over.wait(POLL_SECONDS):
            running, now = jobs_of(self.project), time.monotonic()
            for process, stage in running.items():
                if process not in due and self.left[stage]:
                    longest = self.longest if self.killed[stage] else START_SECONDS
                    due[process] = (now + self.chance.uniform(0, longest), stage)
            for process, (moment, stage) in list(due.items()):
                if process not in running:
                    del due[process]
                elif now >= moment and self.left[stage]:
                    kill(process)
                    self.left[stage] -= 1
                    self.killed[stage] += 1
                    due[process] = (float("inf"), stage)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.over.set()
        self.join()


def kill(process: int) -> None:
    """End a process that may have ended by itself."""
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)


def start_snakemake(project: Project, *arguments: str) -> subprocess.Popen:
    """Start Snakemake as the head of a process group and do not wait for it."""
    return subprocess.Popen(
        project.command(*arguments, "--cores", "2"),
        cwd=project.folder,
        env=project.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def wait_for_job(project: Project, stage: str, seconds: float = 120) -> int:
    """Return the process of a running job of a stage, waiting for one."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for process, found in jobs_of(project).items():
            if found == stage:
                return process
        time.sleep(POLL_SECONDS)
    raise AssertionError(f"no job of {stage} has started")


def wait_for_end(project: Project, seconds: float = 120) -> None:
    """Wait until no job of a project runs, be it an orphan."""
    end = time.monotonic() + seconds
    while jobs_of(project):
        assert time.monotonic() < end, "jobs still run"
        time.sleep(POLL_SECONDS)
