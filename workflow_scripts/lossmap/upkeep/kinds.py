"""The kind of file that each stage holds."""

from lossmap.artifacts import basis, dataset, distance, embedding, grid, jumps, projection
from lossmap.artifacts import trajectory as run
from lossmap.artifacts.figure import ANIMATION, FIGURE, TABLE
from lossmap.claims import ledger

KINDS = {
    "dataset": dataset.KIND,
    "trajectory": run.KIND,
    "basis": basis.KIND,
    "grid": grid.KIND,
    "projection": projection.KIND,
    "jumps": jumps.KIND,
    "distance": distance.KIND,
    "embedding": embedding.KIND,
    "figure": FIGURE,
    "table": TABLE,
    "animation": ANIMATION,
    "claims": ledger.KIND,
}
