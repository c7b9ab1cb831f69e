"""The artifact `topology`: minima and loops of a loss that is known at points, and their depths."""

from lossmap.artifacts.declare import artifact, f64, i64, text


@artifact("topology", version=1)
class Topology:
    """Persistent homology of the sets of points whose loss is at most a level, as the level rises.

    In dimension 0 a class is a minimum: a part of the set is born there and dies where it meets
    one with a lower minimum. In dimension 1 it is a loop: born where it closes around higher loss,
    it dies where that is filled. Classes are sorted by dimension and persistence, the longest
    first.
    """

    dimension: i64["classes"]
    """0 for a minimum, 1 for a loop [count]"""
    birth: f64["classes"]
    """Loss at which it appears [nats per image]"""
    death: f64["classes"]
    """Loss at which it is gone; inf where it never is [nats per image]"""
    persistence: f64["classes"]
    """Death minus birth, of the losses or of their log10 as `is_log` says [1]"""
    born_at: i64["classes"]
    """Point at which it appears: into a grid's losses row by row, or a cloud's rows [index]"""
    died_at: i64["classes"]
    """Point at which it is gone, -1 where it never is [index]"""
    parent: i64["classes"]
    """Class that a minimum merges into where it is gone, the lowest of those it meets: with birth
    and death the merge tree; -1 where there is none, and of loops [index]"""
    highest: f64[()]
    """Highest finite loss of all points [nats per image]"""
    is_log: i64[()]
    """1 where persistence is a difference of log10 of losses, 0 of losses [flag]"""
    threshold: f64[()]
    """Persistence from which on a minimum is counted [1]"""
    minima: i64[()]
    """Classes of dimension 0 that persist so long [count]"""
    loss_label: text[()] | None = None
    """What the loss is called, with its unit; "loss (nats)" where absent"""
