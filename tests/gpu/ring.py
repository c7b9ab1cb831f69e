"""ding2023 on a GPU: rings around centers on FN and PCA planes, the way down, Fitting Errors."""

import time
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from materials import (
    Results,
    describe_evaluation,
    describe_training,
    log,
    measure_epoch,
    with_precision,
)

from lossmap.artifacts.basis import Basis
from lossmap.artifacts.dataset import Dataset
from lossmap.artifacts.projection import Projection
from lossmap.artifacts.ring import Ring
from lossmap.artifacts.store import load
from lossmap.network.ring import measure_ring
from lossmap.network.surface import open_surface
from lossmap.network.training import Run

RADIUS, POINTS, MARGIN = 0.2, 16, 0.95
MOMENTS = (0.0, 0.2, 0.5, 1.0)
SEEDS = [0, 1, 2, 3, 4]
MOST_EPOCHS, LEAST_EPOCHS = 100, 10
TRAINING_SHARE = 0.4
"""Of the time that is left; rings and Fitting Errors need the rest."""


@dataclass
class Ding:
    """What is trained and looked at."""

    results: Results
    images: Path
    precision: str = "float32"
    width: float = 1.0
    batch: int = 128
    evaluated: int = 5000
    evaluation_batch: int = 250
    most_epochs: int = MOST_EPOCHS

    def training(self, epochs: int) -> dict:
        """Return the specification of the run: the paper's recipe."""
        changes = {"run": "ding", "epochs": epochs, "batch_size": self.batch}
        spec = describe_training("resnet20", **changes, metrics={"images": self.evaluated // 5})
        spec["network"] = spec["network"] | {"width": self.width}
        return with_precision(spec, self.precision)

    def make(self, end: float) -> dict:
        """Train, look, and return what is seen; as many epochs as the time to `end` allows."""
        run = self.results.path("trajectory", "ding")
        if not run.exists():
            probe = Run(load(self.images, Dataset), self.training(MOST_EPOCHS), self.results.device)
            each = measure_epoch(probe, self.results.folder)
            fitting = int(TRAINING_SHARE * (end - time.time()) / each)
            epochs = min(max(fitting, LEAST_EPOCHS), self.most_epochs)
            self.results.run("ding", self.training(epochs), self.images)
        with h5py.File(run) as file:
            epochs = int(file["epochs"][-1])
            names = ("train_loss", "train_accuracy", "test_accuracy")
            found = {name: float(file[name][-1]) for name in names}
        found |= {"epochs": epochs, "precision": self.precision, "centers": []}
        for moment in MOMENTS:
            found["centers"].append(self._look(run, round(moment * epochs)))
        return found

    def _planes(self, run: Path, epoch: int) -> dict[str, Path]:
        specs = {
            "fn": {"method": "fn", "center_epoch": epoch, "seeds": SEEDS, "ignore": "bias_bn"},
            "pca": {"method": "pca", "center_epoch": epoch, "window": None},
        }
        return {n: self.results.basis(f"ding-{n}-{epoch}", s, run) for n, s in specs.items()}

    def _look(self, run: Path, epoch: int) -> dict:
        """Return rings on all planes of one center, and the way down on PCA's."""
        found: dict = {"epoch": epoch}
        spec = describe_evaluation(self.evaluated, self.evaluation_batch)
        for name, path in self._planes(run, epoch).items():
            basis = load(path, Basis)
            images = load(self.images, Dataset)
            surface = open_surface(run, images, basis, spec, self.results.device)
            ring = measure_ring(surface, basis, RADIUS, POINTS, log)
            found[name] = describe_ring(ring)
            if name == "pca" and epoch != basis.epochs[-1]:
                found["direction"] = describe_way_down(ring)
        return found

    def measure_fitting_errors(self) -> dict:
        """Return the Fitting Error of both planes around the last epoch, and their ratio."""
        run = self.results.path("trajectory", "ding")
        with h5py.File(run) as file:
            epochs = int(file["epochs"][-1])
        spec, found = describe_evaluation(self.evaluated, self.evaluation_batch), {}
        for name in ("fn", "pca"):
            basis = self.results.path("basis", f"ding-{name}-{epochs}")
            path = self.results.projection(f"ding-{name}", spec, run, basis, self.images)
            errors = load(path, Projection).fitting_error_orthogonal
            found[name] = [float(error) for error in errors]
        return found | {"ratio": float(np.mean(found["fn"]) / found["pca"][0])}


def describe_ring(ring: Ring) -> list[dict]:
    """Return by plane the center's loss, the share of the ring below 0.95 of it, and the ring."""
    return [
        {
            "center": ring.center_loss,
            "share": float(np.mean(losses < MARGIN * ring.center_loss)),
            "losses": losses.tolist(),
        }
        for losses in ring.loss
    ]


def describe_way_down(ring: Ring) -> dict:
    """Return the cosine between the way down and the way to the end, both seen in the plane.

    Also the loss at the projected last point.
    """
    steepest, ahead, gram = (
        -np.linalg.solve(ring.gram[0], ring.slope[0]),
        ring.converged[0],
        ring.gram[0],
    )
    lengths = np.sqrt((steepest @ gram @ steepest) * (ahead @ gram @ ahead))
    return {
        "cosine": float(steepest @ gram @ ahead / lengths),
        "center": ring.center_loss,
        "loss_at_projected_end": float(ring.converged_loss[0]),
    }
