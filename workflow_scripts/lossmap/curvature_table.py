"""A table of minima: how curved the loss is there, and what else is known of them.

Reads curvatures, runs and clouds, computes nothing anew but means. Knows no matplotlib and no
torch.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from lossmap.artifacts.curvature import read_sharpness
from lossmap.artifacts.distance import Cloud
from lossmap.artifacts.provenance import Sources
from lossmap.artifacts.store import load, load_part
from lossmap.artifacts.trajectory import Trajectory
from lossmap.geometry.retraining import measure_return
from lossmap.pages import escape, format_number, page, table
from lossmap.tables import escape_latex, format_latex

NUMBERS = {
    "largest_eigenvalue": "largest eigenvalue",
    "trace": "trace",
    "scaled_trace": "scaled trace",
    "train_loss": "training loss",
    "test_accuracy": "test accuracy",
    "retraining_return": "return of retraining",
}
"""Columns of the compact table, by the names that they have in the long one."""
NOTE = (
    "Scaled trace: sum of θ² times the Hessian's diagonal, which no rescaling of weights changes "
    "that leaves the loss alone. Return: along at the end of retraining, 0 where it came back to "
    "the minimum, 1 where it is as far out as the jump. ±: standard error over random vectors."
)


def tabulate_curvatures(spec: Mapping[str, Any], sources: Sources) -> pd.DataFrame:
    """Return one row per minimum.

    Columns: `minimum`, `dataset`, `seed`, `epoch`, `bn_statistics`, `largest_eigenvalue`,
    `residual`, `trace`, `trace_error`, `scaled_trace`, `scaled_trace_error` (see
    artifacts/curvature.py), `train_loss`, `test_accuracy` and `retraining_return`: *along* at the
    last epoch of retraining (geometry/retraining.py), mean over jumps, NaN without a cloud.

    Parameters
    ----------
    spec : the table's specification
    sources : path of each artifact by ``stage/name``

    Raises
    ------
    LossmapError
        An artifact is damaged, or the run kept no snapshot at the curvature's epoch.
    """
    return pd.DataFrame([_row(entry, sources) for entry in spec["minima"]])


def _row(entry: Mapping[str, Any], sources: Sources) -> dict[str, Any]:
    history = load_part(sources[f"trajectory/{entry['run']}"], Trajectory, "history")
    found = read_sharpness(sources[f"curvature/{entry['curvature']}"], history)
    return {
        "minimum": entry["minimum"],
        "dataset": entry["dataset"],
        "seed": entry["seed"],
        "epoch": found.pop("epoch"),
        "bn_statistics": entry["bn_statistics"],
        **found,
        "retraining_return": _measure_end(entry, sources),
    }


def _measure_end(entry: Mapping[str, Any], sources: Sources) -> float:
    if "cloud" not in entry:
        return float("nan")
    cloud = load(sources[f"distance/{entry['cloud']}"], Cloud)
    return float(measure_return(cloud).along[:, -1].mean())


def render_latex(frame: pd.DataFrame) -> str:
    r"""Return a complete booktabs ``tabular``, a row per minimum; needs ``\usepackage{booktabs}``.

    The standard errors of traces stand in the long table.
    """
    heads = ["Minimum", "Seed", *(name.capitalize() for name in NUMBERS.values())]
    rows = [
        [
            escape_latex(f"{row['minimum']}, {row['dataset']}"),
            str(row["seed"]),
            *(format_latex(row[name]) for name in NUMBERS),
        ]
        for row in frame.to_dict("records")
    ]
    lines = [
        rf"\begin{{tabular}}{{l{'r' * (len(heads) - 1)}}}",
        r"\toprule",
        " & ".join(heads) + r" \\",
        r"\midrule",
        *(" & ".join(row) + r" \\" for row in rows),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def render_page(frame: pd.DataFrame, title: str) -> str:
    """Return a page with a row per minimum."""
    rows = [_page_row(row) for row in frame.to_dict("records")]
    head = ("minimum", "seed", *NUMBERS.values())
    shown = table(head, rows, numbers=range(1, len(head)))
    return page(title, [f"<p>{escape(NOTE)}</p>", shown])


def _page_row(row: Mapping[str, Any]) -> list[str]:
    cells = [escape(f"{row['minimum']}, {row['dataset']}"), str(row["seed"])]
    for name in NUMBERS:
        error = row.get(f"{name}_error", np.nan)
        spread = "" if np.isnan(error) else f"<br><small>± {format_number(error)}</small>"
        cells.append("" if np.isnan(row[name]) else format_number(row[name]) + spread)
    return cells
