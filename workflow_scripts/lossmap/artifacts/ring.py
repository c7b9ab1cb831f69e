"""The artifact `ring`: losses on a ring around a center, and the gradient there."""

from lossmap.artifacts.declare import artifact, f64, i64, text


@artifact("ring", version=1)
class Ring:
    """The nearest surroundings of a center, evaluated where they are and not read off a grid.

    Point k of a plane is center + radius (cos(angles[k]) d_0 + sin(angles[k]) d_1). The gradient is
    that of automatic differentiation; `slope` and `gram` hold what follows from it in each plane:
    its part in the plane is (d_0, d_1) gram^-1 slope. A loss that is not finite is stored as inf.
    """

    radius: f64[()]
    """Distance of the points from the center, in lengths of the directions [1]"""
    angles: f64["points"]
    """Where each point lies on the ring [radians]"""
    seeds: i64["planes"]
    """Seed of each plane; -1 for PCA, which has none [seed]"""
    center_epoch: i64[()]
    """Epoch of the snapshot that is the center [epochs]"""
    center_loss: f64[()]
    """Loss at the center [nats per image]"""
    loss: f64["planes", "points"]
    """Loss at each point [nats per image]"""
    gradient_norm: f64[()]
    """L2 norm of the whole gradient at the center [nats per image]"""
    slope: f64["planes", "two"]
    """Inner products of the gradient with d_0 and d_1 [nats per image]"""
    gram: f64["planes", "two", "two"]
    """Inner products of d_0 and d_1 [1]"""
    converged: f64["planes", "two"]
    """Least-squares position of the run's last snapshot along d_0 and d_1 [1]"""
    converged_loss: f64["planes"]
    """Loss at that position in the plane [nats per image]"""
    loss_label: text[()] | None = None
    """What the loss is called, with its unit; "loss (nats)" where absent"""
