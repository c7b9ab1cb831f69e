"""The star of horoi2021 on a GPU: two minima, then retraining of one direction after another.

Everything goes on where an earlier call stopped. Of the weights only distances are kept.
"""

import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from materials import (
    PLAIN,
    Results,
    describe_retraining,
    describe_training,
    log,
    measure_epoch,
    with_precision,
)
from star_rows import MINIMA

from lossmap.artifacts.dataset import Dataset
from lossmap.artifacts.jumps import Jumps
from lossmap.artifacts.store import load, stream
from lossmap.artifacts.trajectory import Trajectory
from lossmap.network.training import Run

STEP_SIZES = (1.0, 0.25, 0.5, 0.75)
"""In the order in which they are trained, should there be no time for all."""
RETRAINING_EPOCHS, MOST_EPOCHS, LEAST_EPOCHS = 50, 200, 10


@dataclass
class Star:
    """What is trained, and until when.

    Attributes
    ----------
    images : path of the images in the results
    precision : of training and retraining
    network, width, batch, retraining_epochs : the paper's, or smaller ones to try the code
    """

    results: Results
    images: Path
    precision: str = "float32"
    network: str = "wide-resnet28-2"
    width: float = 1.0
    batch: int = 128
    retraining_epochs: int = RETRAINING_EPOCHS
    metrics: int = 1000

    def training(self, name: str, epochs: int) -> dict:
        """Return the specification of a minimum: bad has neither weight decay nor augmentation."""
        changes = {
            "run": name,
            "epochs": epochs,
            "batch_size": self.batch,
            "snapshot_every": epochs,
            "metrics": {"images": self.metrics},
            "schedule": {"name": "steps", "milestones": [round(0.75 * epochs)], "factor": 0.1},
        }
        spec = describe_training(self.network, **changes)
        spec["network"] = spec["network"] | {"width": self.width}
        if name == "bad":
            spec |= {"augmentation": PLAIN}
            spec["optimizer"] = spec["optimizer"] | {"weight_decay": 0.0}
        return with_precision(spec, self.precision)

    def plan_epochs(self, seconds: float) -> dict:
        """Return how many epochs both minima are trained in so many seconds; decided once."""
        path = self.results.folder / "plan.json"
        if not path.exists():
            spec = self.training("good", MOST_EPOCHS)
            run = Run(load(self.images, Dataset), spec, self.results.device)
            each = measure_epoch(run, self.results.folder)
            fitting = int(seconds / len(MINIMA) / each)
            epochs = min(max(fitting, LEAST_EPOCHS), MOST_EPOCHS)
            path.write_text(json.dumps({"epochs": epochs, "seconds_per_epoch": each}))
        return json.loads(path.read_text())

    def train_minima(self, seconds: float) -> dict:
        """Train both minima, in about so many seconds, and return how good they are."""
        plan = self.plan_epochs(seconds)
        found: dict = {"precision": self.precision, **plan}
        for name in MINIMA:
            path = self.results.path("trajectory", name)
            if not path.exists():
                self.results.run(name, self.training(name, plan["epochs"]), self.images)
            history = load(path, Trajectory).history
            curves = ("train_loss", "train_accuracy", "test_loss", "test_accuracy", "theta_norm")
            found[name] = {curve: float(getattr(history, curve)[-1]) for curve in curves}
        return found

    def retrain(self, end: float, most_directions: int = 100) -> dict:
        """Retrain round after round while one fits in before `end`, seconds since the epoch.

        A round is one direction and step size from both minima, so that both have the same.
        """
        plan = json.loads((self.results.folder / "plan.json").read_text())
        each = plan.get("round_seconds") or 2 * self.retraining_epochs * plan["seconds_per_epoch"]
        measuring, rounds, direction = 10.0, 0, 0
        while direction < most_directions:
            left = self._missing(direction)
            for size in left:
                if time.time() + each + measuring > end:
                    self._measure(direction, plan)
                    return {"rounds": rounds, "round_seconds": each, "stopped": "no time was left"}
                started = time.monotonic()
                self._retrain_both(direction, size, plan["epochs"])
                each, rounds = time.monotonic() - started, rounds + 1
                plan |= {"round_seconds": each}
                (self.results.folder / "plan.json").write_text(json.dumps(plan))
            started = time.monotonic()
            if left or not self._distance("bad", direction).exists():
                self._measure(direction, plan)
                measuring = 2 * (time.monotonic() - started)
            direction += 1
        return {"rounds": rounds, "round_seconds": each, "stopped": "all directions are done"}

    def _distance(self, minimum: str, direction: int) -> Path:
        return self.results.path("distance", f"{minimum}-d{direction}")

    def _jumps(self, minimum: str, direction: int) -> Path:
        return self.results.path("jumps", f"{minimum}-d{direction}")

    def _made(self, minimum: str, direction: int) -> set[float]:
        """Return the step sizes that were trained, their weights kept or measured and dropped."""
        if self._jumps(minimum, direction).exists():
            with stream(self._jumps(minimum, direction), Jumps) as file:
                return set(file["step_sizes"][()].tolist())
        if self._distance(minimum, direction).exists():
            return set(STEP_SIZES)
        return set()

    def _missing(self, direction: int) -> list[float]:
        made = set.intersection(*(self._made(name, direction) for name in MINIMA))
        return [size for size in STEP_SIZES if size not in made]

    def _retrain_both(self, direction: int, size: float, epochs: int) -> None:
        for name in MINIMA:
            made = self._made(name, direction)
            if size not in made:
                sizes = sorted({*made, size})
                training = self.training(name, epochs)
                spec = describe_retraining(training, direction, sizes, self.retraining_epochs)
                self.results.jumps(name, spec, self.images)

    def _measure(self, direction: int, plan: dict) -> None:
        """Measure the clouds of a direction and drop its weights where every step size is there."""
        for name in MINIMA:
            jumps = self._jumps(name, direction)
            if not jumps.exists():
                continue
            made = self._made(name, direction)
            self.results.distance(f"{name}-d{direction}", name, [jumps])
            if made == set(STEP_SIZES):
                jumps.unlink()
                for left in (self.results.folder / ".resume" / "jumps").glob(f"{jumps.stem}-*"):
                    shutil.rmtree(left) if left.is_dir() else left.unlink()
        log.info("direction %d is measured, %d epochs of training", direction, plan["epochs"])
