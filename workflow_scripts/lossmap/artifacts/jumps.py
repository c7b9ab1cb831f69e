"""The artifact `jumps`: retraining from one minimum after jumps along one direction."""

from collections.abc import Mapping

from lossmap.artifacts.canonical import canonical_json
from lossmap.artifacts.declare import artifact, f32, f64, i64, text

FINISHED = "finished.h5"
"""File name, among a direction's resume points, of a hard link to its artifact."""


@artifact("jumps", version=1)
class Jumps:
    """The retraining of one direction, from jumps of several sizes."""

    thetas: f32["steps", "epochs", "params"]
    """Parameters as one flat vector; epoch 0 of each step size is the jump point [1]"""
    step_sizes: f64["steps"]
    """Length of each jump in units of the direction [1]"""
    epochs: i64["epochs"]
    """Since the jump [epochs]"""
    direction: f32["params"]
    """Filter-normalized direction of the jumps [1]"""
    direction_seed: i64[()]
    """Seed that the direction was drawn with [seed]"""
    train_loss: f64["steps", "epochs"]
    """Loss of the training images [nats per image]"""
    train_accuracy: f64["steps", "epochs"]
    """Share of training images classified correctly [1]"""
    test_loss: f64["steps", "epochs"]
    """Loss of the test images [nats per image]"""
    test_accuracy: f64["steps", "epochs"]
    """Share of test images classified correctly [1]"""
    theta_norm: f64["steps", "epochs"]
    """L2 norm of the parameters [1]"""
    loss_label: text[()] | None = None
    """What the loss is called, with its unit; "loss (nats)" where absent"""


def spec_of_resume_points(spec: Mapping) -> str:
    """Return what a direction's resume points depend on: everything but its step sizes.

    Canonical JSON of the specification without ``step_sizes``.
    """
    return canonical_json({key: value for key, value in spec.items() if key != "step_sizes"})
