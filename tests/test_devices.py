"""Two jobs never share a GPU slot, whatever becomes of them; no GPU is needed to see it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lossmap import devices
from lossmap.devices import choose_device, lease_device, list_visible_gpus
from lossmap.errors import LossmapError

PACKAGE = Path(__file__).parents[1] / "workflow_scripts"
HOLDER = """
import os, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from lossmap import devices
devices.POLL_SECONDS = 0.02
folder, slots, seconds = Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
with devices.lease_device("cuda", slots, folder / "leases"):
    gpu = os.environ["CUDA_VISIBLE_DEVICES"]
    mark = folder / f"{gpu}.{os.getpid()}"
    mark.touch()
    time.sleep(seconds)
    print(gpu, len(list(folder.glob(f"{gpu}.*"))), flush=True)
    mark.unlink()
"""


@pytest.fixture(autouse=True)
def _no_cluster(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")


@pytest.fixture
def nvidia_smi(tmp_path, monkeypatch):
    """Put a pretended nvidia-smi on the path, and nothing else that a test could meet."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    def pretend(script: str) -> None:
        path = tmp_path / "nvidia-smi"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    return pretend


def hold(folder: Path, slots: int = 1, seconds: float = 0.0) -> subprocess.Popen:
    command = [sys.executable, "-c", HOLDER, PACKAGE, folder, slots, seconds]
    return subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, text=True)


def wait_for_marks(folder: Path, count: int) -> list[str]:
    """Return the GPUs that are held once there are `count` of them."""
    while len(found := sorted(path.name.split(".")[0] for path in folder.glob("?.*"))) < count:
        time.sleep(0.02)
    return found


@pytest.mark.parametrize(
    ("requested", "gpus", "expected"),
    [
        ("auto", [], "cpu"),
        ("auto", ["0"], "cuda"),
        ("cpu", [], "cpu"),
        ("cpu", ["0"], "cpu"),
        ("cuda", ["0", "1"], "cuda"),
    ],
)
def test_device_follows_from_request_and_visible_gpus(requested, gpus, expected):
    assert choose_device(requested, gpus) == expected


@pytest.mark.parametrize("visible", ["", "-1"])
def test_gpu_that_is_not_there_is_refused(tmp_path, monkeypatch, visible):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    message = rf"no GPU is visible \(CUDA_VISIBLE_DEVICES={visible}\); set device=cpu"
    with pytest.raises(LossmapError, match=message), lease_device("cuda", 1, tmp_path):
        pass


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        ("0", ["0"]),
        ("2,0", ["2", "0"]),
        (" 1 , 3 ", ["1", "3"]),
        ("0,-1,1", ["0"]),  # CUDA ends at the first invalid entry
        ("GPU-8932f937,MIG-1234", ["GPU-8932f937", "MIG-1234"]),
    ],
)
def test_visible_devices_are_what_cuda_would_see(nvidia_smi, monkeypatch, visible, expected):
    nvidia_smi("echo 'GPU 0: never asked'")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert list_visible_gpus() == expected


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("echo 'GPU 0: H100 (UUID: GPU-a)'; echo 'GPU 1: H100 (UUID: GPU-b)'", ["0", "1"]),
        ("echo 'GPU 0: H100 (UUID: GPU-a)'; echo '  MIG 1g.5gb Device 0: (UUID: MIG-c)'", ["0"]),
        ("echo 'No devices found.'; exit 6", []),
        ("echo 'GPU 0: H100'; exit 9", []),
        ("", []),
    ],
)
def test_nvidia_smi_is_asked_where_no_variable_decides(nvidia_smi, script, expected):
    nvidia_smi(script)
    assert list_visible_gpus() == expected


@pytest.mark.usefixtures("nvidia_smi")
def test_without_nvidia_smi_there_is_no_gpu(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert list_visible_gpus() == []


@pytest.mark.usefixtures("two_gpus")
def test_lease_shows_the_process_one_gpu(tmp_path, monkeypatch):
    with lease_device("auto", 1, tmp_path) as device:
        assert device == "cuda"
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "0"
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
        with lease_device("auto", 1, tmp_path):
            assert os.environ["CUDA_VISIBLE_DEVICES"] == "1"


@pytest.mark.usefixtures("two_gpus")
def test_cpu_job_leases_nothing(tmp_path):
    with lease_device("cpu", 1, tmp_path / "leases") as device:
        assert device == "cpu"
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "0,1"
    assert not (tmp_path / "leases").exists()


def test_slurm_jobs_do_not_wait_for_each_others_gpu_of_the_same_number(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    with lease_device("auto", 1, tmp_path) as device:
        assert device == "cuda"
        monkeypatch.setenv("SLURM_JOB_ID", "8")
        with lease_device("cuda", 1, tmp_path) as second:
            assert second == "cuda"
            assert os.environ["CUDA_VISIBLE_DEVICES"] == "0"


@pytest.mark.usefixtures("two_gpus")
def test_processes_in_one_slurm_job_share_out_its_gpus(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    with lease_device("cuda", 1, tmp_path):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "0"
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
        with lease_device("cuda", 1, tmp_path):
            assert os.environ["CUDA_VISIBLE_DEVICES"] == "1"


def test_slurm_job_without_gpu_takes_none_of_its_node(nvidia_smi, monkeypatch):
    nvidia_smi("echo 'GPU 0: somebody else has it (UUID: GPU-a)'")
    assert list_visible_gpus() == ["0"]
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert list_visible_gpus() == []


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize("slots", [1, 2])
def test_processes_never_share_a_slot(tmp_path, slots):
    holders = [hold(tmp_path, slots, 0.1) for _ in range(10)]
    lines = [holder.communicate()[0].split() for holder in holders]
    assert all(holder.returncode == 0 for holder in holders)
    assert {gpu for gpu, _ in lines} == {"0", "1"}
    assert max(int(together) for _, together in lines) <= slots


@pytest.mark.usefixtures("two_gpus")
def test_slots_are_spread_over_the_gpus_first(tmp_path):
    holders = []
    for expected in (["0"], ["0", "1"], ["0", "0", "1"], ["0", "0", "1", "1"]):
        holders.append(hold(tmp_path, slots=2, seconds=60))
        assert wait_for_marks(tmp_path, len(expected)) == expected
    for holder in holders:
        holder.kill()
        holder.communicate()


@pytest.mark.usefixtures("two_gpus")
def test_waiting_is_said_once(tmp_path, monkeypatch, caplog):
    first, second = (hold(tmp_path, seconds=60) for _ in range(2))
    wait_for_marks(tmp_path, 2)
    monkeypatch.setattr(devices, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(devices.time, "sleep", lambda seconds: (second.kill(), second.wait()))
    with caplog.at_level("INFO", "lossmap"), lease_device("cuda", 1, tmp_path / "leases"):
        pass
    assert caplog.messages == ["waits for a GPU: 1 jobs are on each of 0, 1"]
    first.kill()
    for holder in (first, second):
        holder.communicate()


def test_killed_holder_lets_go_and_the_next_in_line_gets_the_gpu(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    first = hold(tmp_path, seconds=60)
    wait_for_marks(tmp_path, 1)
    second = hold(tmp_path)
    with pytest.raises(subprocess.TimeoutExpired):
        second.wait(timeout=0.5)
    assert len(list(tmp_path.glob("1.*"))) == 1  # the second waits
    next(tmp_path.glob("1.*")).unlink()
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert second.communicate()[0].split() == ["1", "1"]


@pytest.mark.usefixtures("two_gpus")
def test_error_in_a_job_ends_its_lease(tmp_path):
    for _ in range(2):
        os.environ["CUDA_VISIBLE_DEVICES"] = "0"
        with pytest.raises(ZeroDivisionError), lease_device("cuda", 1, tmp_path):
            raise ZeroDivisionError
