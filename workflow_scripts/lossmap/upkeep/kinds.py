"""The kind of file that each stage holds."""

from lossmap.artifacts.basis import Basis
from lossmap.artifacts.claims import Claim
from lossmap.artifacts.dataset import Dataset
from lossmap.artifacts.distance import Cloud
from lossmap.artifacts.embedding import Embedding
from lossmap.artifacts.figure import Animation, Figure, Table
from lossmap.artifacts.grid import Grid
from lossmap.artifacts.jumps import Jumps
from lossmap.artifacts.projection import Projection
from lossmap.artifacts.trajectory import Trajectory

_DECLARED = (
    Dataset,
    Trajectory,
    Basis,
    Grid,
    Projection,
    Jumps,
    Cloud,
    Embedding,
    Figure,
    Table,
    Animation,
    Claim,
)
KINDS = {declared.KIND.name: declared.KIND for declared in _DECLARED}
