"""An embedded cloud of weight vectors: jumps and retrainings, runs, or an artificial tree."""

from matplotlib.axes import Axes

from lossmap.figures.embedding.collect import collect_embedding
from lossmap.figures.embedding.family import EMBEDDING
from lossmap.figures.embedding.points import plot_embedding
from lossmap.figures.panel import Cell, Comparison, Kind, Options

SETTINGS = {
    "description": "An embedded cloud.",
    "with": "panel_shared",
    "required": ["embedding", "color"],
    "properties": {
        "share": {
            "type": "string",
            "absent": "colors of its own",
            "description": "a word of yours: panels of one word share colors and bars",
        },
        "embedding": {
            "type": "string",
            "refers": "embeddings",
            "description": "the embedding, `<cloud>-<technique>`",
        },
        "color": {
            "enum": ["epoch", "direction", "loss", "trajectory", "source"],
            "description": "what the color of a point says",
        },
        "hue": {
            "enum": ["ascending", "descending"],
            "default": "ascending",
            "description": "whether colors get darker or lighter with the epochs",
        },
        "marks": {
            "type": "array",
            "items": {"enum": ["jumps", "starts", "ends"]},
            "absent": "none",
            "description": "points that are marked: after a jump, first, last of each run",
        },
    },
}


def plot_cell(
    axes: Axes, cell: Cell, comparison: Comparison, options: Options, until: int | None = None
) -> Axes:
    """Draw an embedding panel of a figure, up to an epoch of an animation."""
    return plot_embedding(
        axes,
        cell.panel,
        comparison.shared,
        marks=cell.spec.get("marks", ()),
        lines=options["lines"],
        point_size=options["point_size"],
        until=until,
    )


KIND = Kind(EMBEDDING, collect_embedding, plot_cell, aspect=1.0, inset=(0.13, 0.13, 0.0, 0.0))
