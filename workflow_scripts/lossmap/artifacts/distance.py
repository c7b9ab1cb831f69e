"""The artifact `distance`: exact pairwise geometry of a cloud of weight vectors."""

from dataclasses import dataclass, replace

import numpy as np

from lossmap.artifacts.curves import CURVES
from lossmap.artifacts.declare import artifact, f64, i8, i64, members, text


@dataclass(frozen=True)
class Origins:
    """Where each row of a cloud comes from; an embedding holds the same datasets."""

    is_optimum: i8["rows"]
    """1 for the minimum that was jumped from, else 0 [flag]"""
    trajectory: i64["rows"]
    """Number of the trajectory, consecutive from 0; -1 for the optimum [index]"""
    source: i64["rows"]
    """The run or minimum, an index into `sources` [index]"""
    direction: i64["rows"]
    """Seed of the jump's direction; -1 where there is none [seed]"""
    step_size: f64["rows"]
    """Length of the jump in units of its direction; NaN where there is none [1]"""
    epoch: i64["rows"]
    """Since the jump or the initialization; -1 for the optimum [epochs]"""
    train_loss: f64["rows"]
    """Loss of the training images; NaN where unknown [nats per image]"""
    train_accuracy: f64["rows"]
    """Share of training images classified correctly; NaN where unknown [1]"""
    test_loss: f64["rows"]
    """Loss of the test images; NaN where unknown [nats per image]"""
    test_accuracy: f64["rows"]
    """Share of test images classified correctly; NaN where unknown [1]"""
    sources: text["sources"]
    """Names of the runs or of the minimum"""
    loss_label: text[()] | None = None
    """What the loss is called, with its unit; "loss (nats)" where absent"""

    def take(self, rows: np.ndarray) -> "Origins":
        """Return the origins of some rows."""
        per_row = [name for name in members(Origins) if name not in ("sources", "loss_label")]
        return replace(self, **{name: getattr(self, name)[rows] for name in per_row})


UNKNOWN = {
    "is_optimum": np.int8(0),
    "trajectory": -1,
    "source": 0,
    "direction": -1,
    "step_size": np.nan,
    "epoch": -1,
    **dict.fromkeys(CURVES, np.nan),
}
"""The origin of a row of which no more is known."""


def describe_rows(count: int, **known: object) -> dict[str, np.ndarray]:
    """Return the origins of some rows by name: what is known of them, a number or an array."""
    return {name: np.full(count, value) for name, value in (UNKNOWN | known).items()}


@artifact("distance", version=1)
class Cloud:
    """A set of weight vectors, known by its exact pairwise geometry."""

    gram: f64["rows", "rows"]
    """Inner products relative to the mean of the rows that are not the optimum [1]"""
    euclidean: f64["rows", "rows"]
    """L2 distances [1]"""
    cosine: f64["rows", "rows"]
    """1 - cosine of the angle between the vectors, which are not centered [1]"""
    norms: f64["rows"]
    """L2 norm of each vector [1]"""
    origins: Origins
