"""What the checks on a GPU are made of: images, specifications, artifacts by the usual functions.

Needs PyTorch, NumPy, h5py and filelock; no Snakemake and no configuration.
"""

import argparse
import json
import logging
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import torch

from lossmap.artifacts.basis import Basis
from lossmap.artifacts.canonical import canonical_json
from lossmap.artifacts.dataset import Dataset
from lossmap.artifacts.provenance import Provenance
from lossmap.artifacts.store import load, save, stream, trace_provenance
from lossmap.artifacts.trajectory import Trajectory, find_snapshot, load_layouts
from lossmap.clouds import measure_cloud
from lossmap.geometry.plane import fit_basis
from lossmap.network.arithmetic import fix_arithmetic
from lossmap.network.checkpoint import Checkpoint
from lossmap.network.jumps import jump_and_retrain, load_minimum
from lossmap.network.surface import evaluate_grid, open_surface, project_trajectory
from lossmap.network.training import Run, train_run

CODE = "tests/gpu"
"""Stands in every artifact made here where the workflow has the hash of its code."""
NETWORKS = {
    "resnet20": "lossmap.network.models.resnet:resnet20",
    "resnet32": "lossmap.network.models.resnet:resnet32",
    "vgg13": "lossmap.network.models.vgg:vgg13",
    "googlenet": "lossmap.network.models.googlenet:googlenet",
    "wide-resnet28-2": "lossmap.network.models.wide_resnet:wide_resnet28_2",
}
AUGMENTED = {"flip": True, "crop_padding": 4, "rotation": 0, "color_jitter": None}
PLAIN = AUGMENTED | {"flip": False, "crop_padding": 0}

log = logging.getLogger("lossmap")


def draw_dataset(train: int, test: int = 100, classes: int = 10, size: int = 32) -> Dataset:
    """Return images that can be learned: a pattern for each class under noise."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 156, (classes, 4, 4, 3), dtype=np.uint8)
    patterns = coarse.repeat(size // 4, 1).repeat(size // 4, 2)
    images, labels = [], []
    for count in (train, test):
        labels.append(np.arange(count) % classes)
        noise = rng.integers(0, 100, (count, size, size, 3), dtype=np.uint8)
        images.append(patterns[labels[-1]] + noise)
    names = [str(label) for label in range(classes)]
    mean, deviation = (f(images[0][:1000] / 255.0, (0, 1, 2)) for f in (np.mean, np.std))
    return Dataset(images[0], labels[0], images[1], labels[1], names, mean, deviation)


def describe_training(network: str = "resnet20", **changes: object) -> dict:
    """Return the specification of a run, the recipe of ding2023 unless changed."""
    sgd = {"name": "sgd", "lr": 0.1, "momentum": 0.9, "nesterov": False, "weight_decay": 1e-4}
    spec = {
        "run": network,
        "network": {"factory": NETWORKS[network], "width": 1.0, "seed": 0},
        "seed": 0,
        "epochs": 2,
        "batch_size": 128,
        "snapshot_every": 1,
        "optimizer": sgd,
        "schedule": {"name": "constant", "milestones": [], "factor": 0.1},
        "augmentation": AUGMENTED,
        "metrics": {"images": 100},
    }
    return spec | changes


def with_precision(spec: dict, precision: str) -> dict:
    """Return a specification with its precision; float32 is what one without says."""
    return spec if precision == "float32" else spec | {"precision": precision}


def describe_retraining(
    training: dict, direction: int, step_sizes: list[float], epochs: int
) -> dict:
    """Return how a minimum is jumped from and retrained: as trained, at 0.001 throughout."""
    return training | {
        "seed": 1,
        "epochs": epochs,
        "snapshot_every": 1,
        "optimizer": training["optimizer"] | {"lr": 0.001},
        "schedule": {"name": "constant", "milestones": [], "factor": 0.1},
        "direction": direction,
        "step_sizes": step_sizes,
        "ignore": "bias_bn",
    }


def describe_evaluation(
    images: int, batch: int = 250, precision: str = "float32", bn_statistics: str = "batch"
) -> dict:
    """Return on what a landscape is evaluated."""
    evaluation = {"images": images, "batch": batch, "seed": 0}
    return with_precision({"bn_statistics": bn_statistics, "evaluation": evaluation}, precision)


class Results:
    """Artifacts in a folder of their own, made by the functions that the workflow's jobs call."""

    def __init__(self, folder: Path, device: str, threads: int = 1):
        self.folder, self.device = Path(folder), device
        fix_arithmetic(threads, device)

    def path(self, stage: str, name: str) -> Path:
        """Return where an artifact lies."""
        path = self.folder / stage / f"{name}.h5"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def dataset(self, images: Dataset, name: str = "images") -> Path:
        """Write the images."""
        save(self.path("dataset", name), images, Provenance("{}", CODE, {}))
        return self.path("dataset", name)

    def run(self, name: str, spec: dict, images: Path) -> Path:
        """Train a run, or finish it."""
        made = _provenance(spec, images)
        path = self.path("trajectory", name)
        train_run(load(images, Dataset), spec, self.device, path, made, log)
        return path

    def jumps(self, minimum: str, spec: dict, images: Path) -> Path:
        """Jump and retrain along one direction."""
        path = self.path("jumps", f"{minimum}-d{spec['direction']}")
        run = self.path("trajectory", minimum)
        made = {path: _provenance(spec, images, run)}
        jump_and_retrain(load(images, Dataset), load_minimum(run), made, self.device, log)
        return path

    def basis(self, name: str, spec: dict, run: Path) -> Path:
        """Fit or draw the planes of a run."""
        path = self.path("basis", name)
        with stream(run, Trajectory) as file:
            epochs = file["epochs"][()]
            row = find_snapshot(epochs, spec["center_epoch"], run)
            basis = fit_basis(file["thetas"], epochs, row, load_layouts(run)[0], spec)
        save(path, basis, _provenance(spec, run))
        return path

    def grid(self, name: str, spec: dict, run: Path, basis: Path, images: Path) -> Path:
        """Evaluate a landscape."""
        path, planes = self.path("grid", name), load(basis, Basis)
        surface = open_surface(run, load(images, Dataset), planes, spec, self.device)
        size = spec["resolution"], spec["extent"]
        grid = evaluate_grid(surface, planes, *size, log, spec.get("bf16"))
        save(path, grid, _provenance(spec, images, run, basis))
        return path

    def projection(self, name: str, spec: dict, run: Path, basis: Path, images: Path) -> Path:
        """Measure the Fitting Error of a run in its planes."""
        path, planes = self.path("projection", name), load(basis, Basis)
        surface = open_surface(run, load(images, Dataset), planes, spec, self.device)
        with stream(run, Trajectory) as file:
            found = project_trajectory(
                surface, planes, file["thetas"], file["buffers"], log, file.get("other_buffers")
            )
        save(path, found, _provenance(spec, images, run, basis))
        return path

    def distance(self, name: str, minimum: str, jumps: list[Path]) -> Path:
        """Measure a cloud of jumps, after which their weights are needed no longer."""
        path, run = self.path("distance", name), self.path("trajectory", minimum)
        spec = {"kind": "jumps", "minimum": minimum, "jumps": [jump.stem for jump in jumps]}
        sources = {f"{found.parent.name}/{found.stem}": found for found in (run, *jumps)}
        save(path, measure_cloud(spec, sources), _provenance(spec, run, *jumps))
        return path


def _provenance(spec: dict, *inputs: Path) -> Provenance:
    return trace_provenance(canonical_json(spec), CODE, inputs)


def measure_epoch(run: Run, folder: Path) -> float:
    """Return the seconds of an epoch with its snapshot and resume point, after a first one."""
    widths = run.widths()
    with closing(Checkpoint(folder / "probe", widths)) as checkpoint:
        for _ in range(3):
            started = time.monotonic()
            run.advance()
            run.measure()
            checkpoint.save(run.rows(), run.state())
        checkpoint.discard()
    return time.monotonic() - started


def synchronize(device: str) -> None:
    """Wait for the GPU."""
    if device == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    """Train one run in a process that may be killed: the specification is JSON on the command."""
    parser = argparse.ArgumentParser()
    for name in ("folder", "device", "spec"):
        parser.add_argument(name)
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    results = Results(Path(given.folder), given.device)
    spec = json.loads(given.spec)
    results.run(spec["run"], spec, results.path("dataset", "images"))


if __name__ == "__main__":
    main()
