"""How fast training and landscapes are: ours, ours without CUDA graphs, a plain loop beside them.

As a program, trains on a signal for some seconds, for several runs at once on one GPU.
"""

import argparse
import gc
import json
import os
import subprocess
import sys
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from materials import (
    Results,
    describe_evaluation,
    describe_training,
    draw_dataset,
    log,
    synchronize,
    with_precision,
)
from mps import served_by_mps
from timebox import run_child
from torch.profiler import ProfilerActivity, profile

from lossmap.artifacts.basis import Basis
from lossmap.artifacts.dataset import Dataset
from lossmap.artifacts.store import load
from lossmap.network import capture
from lossmap.network.arithmetic import fix_arithmetic
from lossmap.network.surface import evaluate_grid, open_surface
from lossmap.network.training import Run

HERE = Path(__file__).parent
IMAGES = {"resnet20": 50_000, "resnet32": 25_000, "wide-resnet28-2": 12_500, "vgg13": 12_500}
"""Training images of a measured epoch; the speed per image does not depend on it."""
FEW_IMAGES = 6_250


@dataclass(frozen=True)
class Sizes:
    """On what is measured; `tiny` is for a CPU that only shows that the code runs."""

    device: str = "cuda"
    seconds: float = 2.5
    tiny: bool = False

    @property
    def width(self) -> float:
        return 0.125 if self.tiny else 1.0

    @property
    def size(self) -> int:
        return 8 if self.tiny else 32

    @property
    def evaluated(self) -> int:
        return 40 if self.tiny else 5_000

    def training(self, network: str, **changes: object) -> dict:
        """Return the specification of a run whose epochs are measured."""
        spec = describe_training(network, epochs=10**6, metrics={"images": 20}, **changes)
        spec["network"] = spec["network"] | {"width": self.width}
        return spec | ({"batch_size": 16} if self.tiny else {})

    def draw(self, network: str) -> Dataset:
        """Return images to train on; their content changes no speed."""
        count = 40 if self.tiny else IMAGES.get(network, FEW_IMAGES)
        return draw_dataset(count, 20, size=self.size)


def _way(eager: bool):
    return capture.disabled() if eager else nullcontext()


def measure_training(
    sizes: Sizes, network: str, precision: str = "float32", eager: bool = False
) -> dict:
    """Return images per second of whole epochs, after a first one that captures and warms up."""
    fix_arithmetic(1, sizes.device)
    spec = with_precision(sizes.training(network), precision)
    spec["optimizer"] = spec["optimizer"] | {"lr": 0.001}  # any number of epochs stays finite
    with _way(eager):
        run = Run(sizes.draw(network), spec, sizes.device)
        begun = time.perf_counter()
        run.advance()
        synchronize(sizes.device)
        started, epochs = time.perf_counter(), 0
        while not epochs or time.perf_counter() - started < sizes.seconds:
            run.advance()
            epochs += 1
        synchronize(sizes.device)
        seconds = time.perf_counter() - started
    found = {
        "images_per_second": epochs * len(run.feed) / seconds,
        "first_epoch_seconds": started - begun,
        "images": len(run.feed),
        "captured": all(update.captured for update in run.trainer.updates),
        "loss": float(run.iteration_loss[-1]),
        "peak_memory_mib": _take_peak_memory(sizes.device),
    }
    del run
    gc.collect()
    return found


def _take_peak_memory(device: str) -> float:
    """Return the most that torch has reserved, and begin to count anew."""
    if device != "cuda":
        return 0.0
    peak = torch.cuda.max_memory_reserved() / 2**20
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    return peak


def measure_plain_training(sizes: Sizes, network: str) -> dict:
    """Return images per second of the plain loop."""
    count = 40 if sizes.tiny else IMAGES.get(network, FEW_IMAGES)
    return _run_plain("train", sizes, network, count, 16 if sizes.tiny else 128)


def measure_plain_landscape(sizes: Sizes, network: str) -> dict:
    """Return seconds per point of the plain loop."""
    return _run_plain("evaluate", sizes, network, sizes.evaluated, 20 if sizes.tiny else 250)


def _run_plain(what: str, sizes: Sizes, network: str, images: int, batch: int) -> dict:
    workers = min(8, os.cpu_count() or 1) if not sizes.tiny else 0
    words = [HERE / "plain.py", what, "--network", network, "--width", sizes.width]
    words += ["--device", sizes.device, "--images", images, "--size", sizes.size]
    words += ["--batch", batch, "--workers", workers, "--seconds", sizes.seconds]
    return json.loads(run_child(words, 80).splitlines()[-1]) | {"workers": workers}


def measure_landscape(
    sizes: Sizes, folder: Path, network: str, precision: str = "float32", eager: bool = False
) -> dict:
    """Return seconds per point of a landscape, without the first few points."""
    results, run, basis, images = _prepare_landscape(sizes, folder, network)
    batch = 20 if sizes.tiny else 250
    spec, planes = describe_evaluation(sizes.evaluated, batch, precision), load(basis, Basis)
    with _way(eager):
        surface = open_surface(run, load(images, Dataset), planes, spec, results.device)
        evaluate_grid(surface, planes, 3, 1.0, log)
        started = time.perf_counter()
        evaluate_grid(surface, planes, 3, 1.0, log)
        side = _odd_side(9 * sizes.seconds / (time.perf_counter() - started))
        started = time.perf_counter()
        grid = evaluate_grid(surface, planes, side, 1.0, log)
        seconds = (time.perf_counter() - started) / side**2
    return {
        "seconds_per_point": seconds,
        "points": side**2,
        "center_loss": float(grid.loss[side // 2, side // 2]),
        "peak_memory_mib": _take_peak_memory(sizes.device),
    }


def _odd_side(points: float) -> int:
    return int(min(max(points, 9.0), 400.0) ** 0.5 - 1) // 2 * 2 + 1


def _prepare_landscape(sizes: Sizes, folder: Path, network: str) -> tuple:
    """Return results with a short run, two random directions and the images, made once."""
    results = Results(folder / f"landscape-{network}", sizes.device)
    images = results.path("dataset", "images")
    run, basis = results.path("trajectory", "run"), results.path("basis", "fn")
    if not basis.exists():
        results.dataset(draw_dataset(max(sizes.evaluated, 40), 20, size=sizes.size))
        results.run("run", sizes.training(network) | {"epochs": 2}, images)
        spec = {"method": "fn", "center_epoch": 2, "seeds": [0], "ignore": "bias_bn"}
        results.basis("fn", spec, run)
    return results, run, basis, images


def measure_kernel_share(sizes: Sizes, network: str, eager: bool = False) -> dict:
    """Return the share of a training epoch's time in which a kernel runs on the GPU.

    Kernels are timed by the profiler, the epoch without it, which would slow the CPU's part.
    """
    fix_arithmetic(1, sizes.device)
    images = draw_dataset(40 if sizes.tiny else 3_840, 20, size=sizes.size)
    activities = [ProfilerActivity.CPU]
    activities += [ProfilerActivity.CUDA] if sizes.device == "cuda" else []
    with _way(eager):
        run = Run(images, sizes.training(network), sizes.device)
        run.advance()
        synchronize(sizes.device)
        started = time.perf_counter()
        run.advance()
        synchronize(sizes.device)
        seconds = time.perf_counter() - started
        with profile(activities=activities) as profiler:
            run.advance()
            synchronize(sizes.device)
    busy, kernels = _busy_seconds(profiler.events())
    updates = len(run.iteration_loss) // 3
    return {
        "share": busy / seconds,
        "milliseconds_per_step": 1e3 * seconds / updates,
        "kernels_per_step": kernels / updates,
    }


def _busy_seconds(events) -> tuple[float, int]:
    """Return for how long any kernel or copy ran, and how many ran."""
    found = [
        (event.time_range.start, event.time_range.end)
        for event in events
        if str(event.device_type).endswith("CUDA")
        and not getattr(event, "is_user_annotation", False)
    ]
    busy, until = 0.0, float("-inf")
    for start, end in sorted(found):
        busy += max(0.0, end - max(start, until))
        until = max(until, end)
    return busy / 1e6, len(found)


def measure_several(sizes: Sizes, runs: int, mps: bool = False) -> dict:
    """Return images per second of some ResNet20 runs at once, each in a process of its own."""
    with served_by_mps() if mps else nullcontext(os.environ) as environment:
        words = [sys.executable, HERE / "speed.py", sizes.device, sizes.seconds, int(sizes.tiny)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        workers = [
            subprocess.Popen([*map(str, words)], env=environment, **pipes) for _ in range(runs)
        ]
        try:
            for worker in workers:  # all are warm before any is measured
                assert worker.stdout.readline().strip() == "ready", "a run could not start"
            for worker in workers:
                worker.stdin.write("go\n")
                worker.stdin.flush()
            found = [json.loads(worker.communicate(timeout=60)[0]) for worker in workers]
        finally:
            for worker in workers:
                worker.kill()
    return {"images_per_second": sum(found), "runs": runs, "each": found}


def train_on_signal(sizes: Sizes) -> None:
    """Say that a run is warm, wait for a line, train for some seconds, print images/s."""
    fix_arithmetic(1, sizes.device)
    spec = sizes.training("resnet20")
    spec["optimizer"] = spec["optimizer"] | {"lr": 0.001}
    run = Run(draw_dataset(40 if sizes.tiny else 6_400, 20, size=sizes.size), spec, sizes.device)
    run.advance()
    print("ready", flush=True)
    sys.stdin.readline()
    started, epochs = time.perf_counter(), 0
    while time.perf_counter() - started < sizes.seconds:
        run.advance()
        epochs += 1
    print(epochs * len(run.feed) / (time.perf_counter() - started))


def main() -> None:
    """Be one of several runs."""
    parser = argparse.ArgumentParser()
    parser.add_argument("device")
    parser.add_argument("seconds", type=float)
    parser.add_argument("tiny", type=int)
    given = parser.parse_args()
    train_on_signal(Sizes(given.device, given.seconds, bool(given.tiny)))


if __name__ == "__main__":
    main()
