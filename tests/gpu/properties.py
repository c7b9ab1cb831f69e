"""What must hold on a device: shared by `check.py`, which measures, and `test_gpu.py`.

Each property is a function that returns what it found and raises AssertionError where it does not
hold. As a program, holds a lease or trains in too little memory, for the properties that need a
process of its own.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import torch
from materials import NETWORKS, Results, describe_evaluation, describe_retraining, describe_training
from materials import draw_dataset as draw
from timebox import run_child

from lossmap.artifacts.dataset import Dataset
from lossmap.artifacts.store import digest_of, load
from lossmap.devices import lease_device
from lossmap.errors import LossmapError
from lossmap.network import training
from lossmap.network.precision import measure_deviations

HERE = Path(__file__).parent
MATERIALS, PROPERTIES = HERE / "materials.py", HERE / "properties.py"
LOSS_BOUND, LANDSCAPE_BOUND, BF16_BOUND = 1e-3, 1e-4, 0.02
"""Largest differences: first-epoch losses in nats, landscapes relative to the loss."""


@dataclass(frozen=True)
class Case:
    """Where and on what the properties are measured.

    Attributes
    ----------
    folder : for artifacts
    device : ``cpu`` or ``cuda``
    tiny : sizes at which a CPU takes a second
    """

    folder: Path
    device: str
    tiny: bool = False

    def open(self, name: str) -> tuple[Results, Path]:
        """Return a fresh folder of results and the images in it."""
        results = Results(self.folder / name, self.device)
        size = 8 if self.tiny else 32
        images = draw(60 if self.tiny else 2000, 20 if self.tiny else 200, size=size)
        return results, results.dataset(images)

    def training(self, **changes: object) -> dict:
        """Return the specification of a small run."""
        spec = describe_training(run="run", epochs=3)
        if self.tiny:
            spec |= {"batch_size": 25, "metrics": {"images": 20}}
            spec["network"] = spec["network"] | {"width": 0.125}
        return spec | changes

    def evaluation(self, **options: object) -> dict:
        """Return the specification of a small landscape."""
        batch, count = (20, 40) if self.tiny else (250, 1000)
        spec = describe_evaluation(count, batch, **options)
        return spec | {"resolution": 3, "extent": 1.0}


FN = {"method": "fn", "center_epoch": 3, "seeds": [0, 1], "ignore": "bias_bn"}


def _twice(case: Case, name: str, make: Callable[[Results, Path], Path]) -> dict:
    """Make an artifact in two folders and compare the files byte by byte."""
    paths = [make(*case.open(f"{name}-{attempt}")) for attempt in range(2)]
    files = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    digests = [digest_of(path) for path in paths]
    assert files[0] == files[1], f"{name}: two runs of one specification differ: {digests}"
    return {"digest": digests[0], "equal": True}


def check_training_repeats(case: Case, network: str = "resnet20", **changes: object) -> dict:
    """Train one specification twice: same bytes."""
    spec = case.training(**changes)
    spec["network"] = spec["network"] | {"factory": NETWORKS[network]}
    return _twice(case, f"training-{network}", lambda r, images: r.run("run", spec, images))


def check_jumps_repeat(case: Case) -> dict:
    """Jump and retrain twice: same bytes."""

    def make(results: Results, images: Path) -> Path:
        spec = case.training()
        results.run("run", spec, images)
        return results.jumps("run", describe_retraining(spec, 0, [0.5, 1.0], 2), images)

    return _twice(case, "jumps", make)


def check_landscape_repeats(case: Case, precision: str = "float32") -> dict:
    """Evaluate one landscape twice: same bytes."""

    def make(results: Results, images: Path) -> Path:
        run = results.run("run", case.training(), images)
        basis = results.basis("fn", FN, run)
        return results.grid("fn", case.evaluation(precision=precision), run, basis, images)

    return _twice(case, f"landscape-{precision}", make)


def check_projection_repeats(case: Case) -> dict:
    """Project one trajectory twice, under the center's statistics: same bytes."""

    def make(results: Results, images: Path) -> Path:
        run = results.run("run", case.training(), images)
        basis = results.basis("fn", FN, run)
        spec = case.evaluation(bn_statistics="center")
        return results.projection("fn", spec, run, basis, images)

    return _twice(case, "projection", make)


def check_resume(case: Case) -> dict:
    """Kill a training job by SIGKILL in its middle: resumed, it ends in the same bytes."""
    spec = case.training(epochs=8)
    undisturbed, images = case.open("undisturbed")
    expected = digest_of(undisturbed.run("run", spec, images))
    killed, images = case.open("killed")
    words = [sys.executable, MATERIALS, killed.folder, case.device, json.dumps(spec)]
    process = subprocess.Popen(words, stderr=subprocess.DEVNULL)
    saved = _wait_for_epochs(process, killed.folder, 2)
    process.kill()
    process.wait()
    run = killed.path("trajectory", "run")
    assert not run.exists(), "the run ended before it could be killed"
    found = digest_of(killed.run("run", spec, images))
    assert found == expected, f"resumed after epoch {saved}: {found}, undisturbed: {expected}"
    return {"killed_after_epoch": saved, "of": 8, "digest": found, "equal": True}


def _wait_for_epochs(process: subprocess.Popen, folder: Path, epochs: int) -> int:
    """Wait until a job has saved so many epochs; its state is replaced as a whole."""
    while process.poll() is None:
        for state in folder.glob(".resume/trajectory/run-*/state.h5"):
            try:
                with h5py.File(state) as file:
                    saved = int(file["epoch"][()])
            except (OSError, KeyError):  # it is being replaced
                continue
            if saved >= epochs:
                return saved
        time.sleep(0.005)
    raise AssertionError(f"the job ended with status {process.returncode} before it was killed")


def check_losses_against_cpu(case: Case) -> dict:
    """Train the first epoch on both devices: every loss within 1e-3."""
    losses = []
    for device in ("cpu", case.device):
        results, images = Case(case.folder, device, case.tiny).open(f"first-{device}")
        threads = 1 if case.tiny else 8
        Results(results.folder, device, threads)
        spec = case.training(epochs=1)
        if not case.tiny:  # rounding grows tenfold in a few updates at 0.1, on two CPUs as well
            spec |= {"batch_size": 500, "optimizer": spec["optimizer"] | {"lr": 0.01}}
        run = training.Run(load(images, Dataset), spec, device)
        run.advance()
        losses.append(run.iteration_loss)
    difference = float(np.abs(losses[1] - losses[0]).max())
    found = {"largest_difference": difference, "updates": len(losses[0]), "bound": LOSS_BOUND}
    assert difference <= LOSS_BOUND, found
    return found


def check_landscape_against_cpu(case: Case) -> dict:
    """Evaluate one landscape of one run on both devices: every loss within 1e-4 of it."""
    results, images = case.open("both")
    run = results.run("run", case.training(), images)
    basis = results.basis("fn", FN, run)
    spec, grids = case.evaluation(), []
    for device in ("cpu", case.device):
        threads = 1 if case.tiny else 8
        here = Results(results.folder, device, threads)
        with h5py.File(here.grid(f"fn-{device}", spec, run, basis, images)) as grid:
            grids.append(grid["loss"][()])
    deviation = float(measure_deviations(grids[1], grids[0]).max())
    found = {"largest_deviation": deviation, "points": grids[0].size, "bound": LANDSCAPE_BOUND}
    assert deviation <= LANDSCAPE_BOUND, found
    return found


def check_low_precision(case: Case, precision: str = "bf16") -> dict:
    """Evaluate a landscape in bfloat16 (or tf32): its deviation from float32 is within 2 %."""
    results, images = case.open(f"deviation-{precision}")
    run = results.run("run", case.training(), images)
    basis = results.basis("fn", FN, run)
    losses = []
    for name in ("float32", precision):
        spec = case.evaluation(precision=name)
        if name == "bf16":
            spec |= {"bf16": {"points": 9, "bound": 1e9}}
        with h5py.File(results.grid(f"fn-{name}", spec, run, basis, images)) as grid:
            losses.append(grid["loss"][()])
    deviations = measure_deviations(losses[1], losses[0])
    found = {"largest_deviation": float(deviations.max()), "mean": float(deviations.mean())}
    assert found["largest_deviation"] <= BF16_BOUND, found
    return found


def check_lease(case: Case) -> dict:
    """Let two processes lease one GPU: they do not hold it at one time."""
    words = [sys.executable, PROPERTIES, "lease", case.folder, case.device]
    visible = {} if case.device == "cuda" else {"CUDA_VISIBLE_DEVICES": "0"}  # a lease asks no more
    options = {"stdout": subprocess.PIPE, "env": os.environ | visible}
    holders = [subprocess.Popen([*map(str, words)], **options) for _ in range(2)]
    held = sorted(json.loads(holder.communicate(timeout=60)[0]) for holder in holders)
    gap = held[1][0] - held[0][1]
    found = {"seconds_between": round(gap, 3), "held": [round(e - b, 3) for b, e in held]}
    assert gap >= 0, found
    return found


def check_memory_message(case: Case) -> dict:
    """Train in too little memory: one line that says what to do."""
    said = run_child([PROPERTIES, "memory", case.folder, case.device, int(case.tiny)], 60).strip()
    assert said.count("\n") == 0, said
    assert "out of memory" in said, said
    assert "jobs_per_gpu=1" in said, said
    return {"message": said}


def hold_lease(case: Case) -> None:
    """Lease a GPU, use it for half a second, and print when that began and ended."""
    with lease_device("cuda", folder=case.folder / "leases"):
        started = time.time()
        if case.device == "cuda":
            assert torch.cuda.device_count() == 1
            torch.ones(1, device="cuda").item()
        time.sleep(0.5)
        print(json.dumps([started, time.time()]))


def run_out_of_memory(case: Case) -> None:
    """Train batches that need gigabytes in a hundredth of the memory; print what is said."""
    results, images = case.open("memory")
    if case.device == "cuda":
        torch.cuda.set_per_process_memory_fraction(0.01)
    else:  # there is no such limit: do as the GPU's allocator does
        training.Run.advance = _refuse
    try:
        results.run("run", case.training(batch_size=2000), images)
    except LossmapError as error:
        print(error)


def _refuse(run: training.Run) -> None:
    raise torch.OutOfMemoryError("CUDA out of memory")


PROPERTY_CHECKS: dict[str, Callable[[Case], dict]] = {
    "training repeats": check_training_repeats,
    "landscape repeats": check_landscape_repeats,
    "losses against the CPU": check_losses_against_cpu,
    "landscape against the CPU": check_landscape_against_cpu,
    "SIGKILL and resume": check_resume,
    "jumps repeat": check_jumps_repeat,
    "projection repeats": check_projection_repeats,
    "bf16 deviation": check_low_precision,
    "memory too small": check_memory_message,
    "lease": check_lease,
    "googlenet repeats": partial(check_training_repeats, network="googlenet", epochs=1),
    "vgg13 repeats": partial(check_training_repeats, network="vgg13", epochs=1),
    "bf16 training repeats": partial(check_training_repeats, epochs=2, precision="bf16"),
}
"""In the order in which they are worth having."""


def main() -> None:
    """Run one half of a property in a process of its own."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["lease", "memory"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("device")
    parser.add_argument("tiny", type=int, nargs="?", default=0)
    given = parser.parse_args()
    act = {"lease": hold_lease, "memory": run_out_of_memory}[given.what]
    act(Case(given.folder, given.device, bool(given.tiny)))


if __name__ == "__main__":
    main()
