"""The artifact `line`: loss and accuracy along a straight line."""

from lossmap.artifacts.declare import artifact, f64, text


@artifact("line", version=1)
class Line:
    """Loss and accuracy along a straight line in the space of parameters.

    Between two snapshots, position t is (1 - t) from + t to; through the center of a plane, it is
    center + t d, d a direction of the plane. A loss that is not finite is stored as inf. The three
    barriers compare the highest loss at the positions with the losses of the two ends of the line.
    """

    positions: f64["points"]
    """Where each point lies: 0 and 1 are the two snapshots, or 0 is the center [1]"""
    loss: f64["points"]
    """Mean cross-entropy over the evaluation subset [nats per image]"""
    accuracy: f64["points"]
    """Share of the subset that is classified correctly [1]"""
    length: f64[()]
    """L2 distance between the positions 0 and 1 [1]"""
    barrier: f64[()]
    """Largest rise of `loss` above the linear interpolation between its ends: the barrier of
    Entezari et al. 2022 [nats per image]"""
    barrier_mean: f64[()]
    """Highest `loss` minus the mean of both ends: the barrier of Frankle et al. 2020, who take the
    error [nats per image]"""
    barrier_end: f64[()]
    """Highest `loss` minus the higher end: 0 where no saddle lies between (Draxler et al. 2018)
    [nats per image]"""
    test_loss: f64["points"] | None = None
    """Mean cross-entropy over a like subset of the test images [nats per image]"""
    test_accuracy: f64["points"] | None = None
    """Share of the test subset that is classified correctly [1]"""
    loss_label: text[()] | None = None
    """What the loss is called, with its unit; "loss (nats)" where absent"""
