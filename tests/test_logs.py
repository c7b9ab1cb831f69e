"""A person reads one line for an expected failure and a traceback for an unexpected one."""

import subprocess
import sys
from pathlib import Path

import pytest

from lossmap.errors import LossmapError
from lossmap.logs import format_seconds

PACKAGE = Path(__file__).parents[1] / "workflow_scripts"


def run_job(log: Path, *lines: str) -> subprocess.CompletedProcess:
    program = [
        "import sys",
        f"sys.path.insert(0, {str(PACKAGE)!r})",
        "from lossmap import logs",
        "from lossmap.errors import LossmapError",
        f"log = logs.start({str(log)!r})",
        *lines,
    ]
    return subprocess.run(
        [sys.executable, "-c", "\n".join(program)], capture_output=True, text=True, check=False
    )


def without_time(line: str) -> str:
    clock, _, rest = line.partition(" ")
    assert len(clock.split(":")) == 3
    return rest


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0:00"),
        (0.4, "0:00"),
        (59.4, "0:59"),
        (59.6, "1:00"),
        (61, "1:01"),
        (3599.7, "1:00:00"),
        (3600, "1:00:00"),
        (36_000 + 61, "10:01:01"),
        (90_061, "25:01:01"),
    ],
)
def test_durations_are_hours_minutes_seconds(seconds, expected):
    assert format_seconds(seconds) == expected


def test_lines_go_to_the_log_and_the_terminal(tmp_path):
    log = tmp_path / "logs" / "deep" / "job.log"
    done = run_job(log, "log.info('%d images', 3)")
    assert done.returncode == 0
    assert done.stdout == ""
    assert done.stderr == log.read_text()
    assert without_time(done.stderr) == "3 images\n"


def test_expected_error_is_one_line_without_traceback(tmp_path):
    log = tmp_path / "job.log"
    done = run_job(log, "raise LossmapError('a.h5: damaged; delete it')")
    assert done.returncode == 1
    assert done.stderr == log.read_text()
    assert without_time(done.stderr) == "error: a.h5: damaged; delete it\n"


def test_expected_error_is_one_line_whatever_it_quotes():
    assert str(LossmapError("runs: 'a\nb\u2028c' is unknown")) == "runs: 'a\\nb\\nc' is unknown"


def test_expected_error_with_a_cause_is_one_line_too(tmp_path):
    log = tmp_path / "job.log"
    done = run_job(
        log,
        "try:",
        "    1 / 0",
        "except ZeroDivisionError as error:",
        "    raise LossmapError('short') from error",
    )
    assert done.returncode == 1
    assert without_time(log.read_text()) == "error: short\n"
    assert done.stderr == log.read_text()


@pytest.mark.parametrize(
    "line",
    [
        "raise MemoryError('no room')",
        "import numpy; numpy.empty(2**52)",
        "raise RuntimeError('DefaultCPUAllocator: not enough memory: you tried to get it')",
        "raise ImportError('libtorch.so: failed to map segment from shared object')",
        "raise OSError(12, 'Cannot allocate memory')",
    ],
)
def test_too_little_memory_is_one_line_with_the_job(tmp_path, line):
    done = run_job(tmp_path / "grid" / "c10.log", line)
    assert done.returncode == 1
    (said,) = done.stderr.splitlines()
    assert without_time(said).startswith("error: grid/c10: out of memory (")
    assert said.endswith("run again")


def test_too_little_memory_for_the_libraries_of_a_job_is_one_line(tmp_path):
    script = tmp_path / "tmp.trajectory.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {str(PACKAGE)!r})\n"
        "from lossmap import logs\n"
        "import resource; resource.setrlimit(resource.RLIMIT_AS, (2**29, 2**29))\n"
        "import torch\n"
    )
    command = [sys.executable, str(script)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: trajectory: out of memory (")


def test_unexpected_error_has_its_traceback_in_the_log(tmp_path):
    log = tmp_path / "job.log"
    done = run_job(log, "def inner():", "    return {}['absent']", "inner()")
    assert done.returncode == 1
    lines = log.read_text().splitlines()
    assert without_time(lines[0]) == "unexpected error"
    assert lines[1] == "Traceback (most recent call last):"
    assert any(line.endswith("in inner") for line in lines)
    assert lines[-1] == "KeyError: 'absent'"
    assert done.stderr == log.read_text()


def test_a_job_run_again_starts_its_log_anew(tmp_path):
    log = tmp_path / "job.log"
    for word in ("first", "second"):
        run_job(log, f"log.info({word!r})")
    assert without_time(log.read_text()) == "second\n"


def test_umlauts_survive(tmp_path):
    log = tmp_path / "job.log"
    run_job(log, "log.info('θ = 1 … 2')")
    assert without_time(log.read_text(encoding="utf-8")) == "θ = 1 … 2\n"


def test_libraries_that_load_after_it_are_not_searched_for_garbage():
    count = f"""
import gc, sys
sys.path.insert(0, {str(PACKAGE)!r})
import lossmap.logs
before = gc.get_stats()[0]["collections"]
import numpy
print(gc.get_stats()[0]["collections"] - before)
"""
    done = subprocess.run([sys.executable, "-c", count], capture_output=True, text=True, check=True)
    assert int(done.stdout) <= 3  # 35 by Python's own threshold
