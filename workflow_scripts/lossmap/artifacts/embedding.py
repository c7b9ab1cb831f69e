"""The artifact `embedding`: a cloud in two dimensions, with the origins of its points."""

from typing import TypedDict

from lossmap.artifacts.declare import artifact, f64, group, i64
from lossmap.artifacts.distance import Origins


class Continuity(TypedDict):
    """How well an embedding keeps trajectories whole; see geometry/continuity.py."""

    long_steps: f64[()]
    """Share of steps along trajectories that are many times their median; 0 is whole [1]"""
    longest_gap: f64[()]
    """Longest edge of the minimum spanning tree over the rms radius of the points [1]"""
    components: f64[()]
    """Connected components of the nearest-neighbor graph of the points [count]"""
    order: f64[()]
    """Mean rank correlation of distances along trajectories with those in time; 1 is best [1]"""


class Diagnostics(TypedDict, total=False):
    """What the method reports; each dataset exists for one method only."""

    t: i64[()]
    """PHATE: steps of the diffusion [count]"""
    entropy: f64["times"]
    """PHATE: von Neumann entropy of the diffusion after each number of steps [nats]"""
    potential: f64["rows", "rows"]
    """PHATE: distances of the diffusion potentials [nats]"""
    graph_components: i64[()]
    """PHATE: connected components of the neighbor graph [count]"""
    kl_divergence: f64[()]
    """t-SNE: the divergence that was minimized [nats]"""
    explained_variance_ratio: f64["two"]
    """PCA: share of the variance along both axes [1]"""


AXIS_NAMES = {"phate": "PHATE", "tsne": "t-SNE", "umap": "UMAP", "pca": "PC"}
"""What the axes are called where that is not the technique's own word."""
CONTINUITY = tuple(Continuity.__annotations__)


@artifact("embedding", version=1)
class Embedding:
    """A cloud seen in two dimensions."""

    points: f64["rows", "two"]
    """Centered positions, along their principal axes [1]"""
    rows: i64["rows"]
    """Row of the cloud that each point shows [index]"""
    origins: Origins
    continuity: group[Continuity]
    diagnostics: Diagnostics
