"""Table 1 of ding2023: Fitting Errors, as a tidy table, as LaTeX and as a page.

Reads projections, computes nothing anew but means and ranges over planes. Knows no matplotlib and
no torch.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lossmap.artifacts.files import write_text
from lossmap.artifacts.projection import Projection
from lossmap.artifacts.store import load
from lossmap.errors import LossmapError
from lossmap.kinds import check_choice
from lossmap.pages import escape, format_number, page, table

Render = Callable[[pd.DataFrame], str]
RenderPage = Callable[[pd.DataFrame, str], str]
METHODS = {"fn": "FN", "pca": "PCA"}
READINGS = ("orthogonal", "literal")
STATISTICS = ("center", "batch")
BLOCKS = [(reading, statistics) for statistics in STATISTICS for reading in READINGS]
"""Reading of Eq. 4 and batch-norm statistics, the default first."""
_ESCAPES = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{character: rf"\{character}" for character in "&%$#_{}"},
}


def tabulate_fitting_errors(spec: Mapping[str, Any], sources: Mapping[str, Path]) -> pd.DataFrame:
    """Return Table 1 in long form: one row per network, reading, batch-norm statistics and method.

    Columns: `dataset`, `network`, `reading` (``orthogonal``: projection onto the plane, or
    ``literal``: Eq. 4 as printed), `bn_statistics` (``center`` or ``batch``), `method` (``FN`` or
    ``PCA``), `planes`, `fitting_error` (Eq. 3, mean over planes), `lowest`, `highest` (over
    planes), `non_finite` (terms of Eq. 3 that are not finite, all planes), `terms` and `paper`, the
    printed value, NaN where the paper has none. A plane with a term that is not finite keeps the
    value its projection holds; nothing is left out of a mean.

    Parameters
    ----------
    spec : the table's entry of the registry
    sources : path of each projection, by ``projection/<name>``

    Raises
    ------
    LossmapError
        A projection is not among the sources or is damaged, or a key is unknown.
    """
    rows = []
    for column in spec["columns"]:
        for statistics, names in column["projections"].items():
            where = f"{spec['table']} {column['dataset']} {column['network']}"
            check_choice(f"{where}: bn_statistics", statistics, STATISTICS)
            for method, name in names.items():
                check_choice(f"{where}: method", method, METHODS)
                rows += _rows(column, statistics, method, _source(name, sources, where))
    return pd.DataFrame(rows)


def _rows(column: Mapping[str, Any], statistics: str, method: str, path: Path) -> list[dict]:
    projection = load(path, Projection)
    rows = []
    for reading in READINGS:
        errors = getattr(projection, f"fitting_error_{reading}")
        rows.append(
            {
                "dataset": column["dataset"],
                "network": column["network"],
                "reading": reading,
                "bn_statistics": statistics,
                "method": METHODS[method],
                "planes": len(errors),
                "fitting_error": float(errors.mean()),
                "lowest": float(errors.min()),
                "highest": float(errors.max()),
                "non_finite": int(getattr(projection, f"non_finite_{reading}").sum()),
                "terms": int(getattr(projection, f"projected_loss_{reading}").size),
                "paper": float(column.get("paper", {}).get(method, np.nan)),
            }
        )
    return rows


def _source(name: str, sources: Mapping[str, Path], where: str) -> Path:
    if f"projection/{name}" not in sources:
        raise LossmapError(f"{where}: projection/{name} is not among the inputs of this table")
    return sources[f"projection/{name}"]


def table_panels(frame: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Return a table's columns as arrays, words as lists, for `lossmap.artifacts.figure`."""
    numeric = pd.api.types.is_numeric_dtype
    columns = {
        str(name): values.to_numpy() if numeric(values) else [str(value) for value in values]
        for name, values in frame.items()
    }
    return {"table": columns}


def save_table(
    frame: pd.DataFrame, csv_path: str | Path, tex_path: str | Path, render: Render | None = None
) -> None:
    """Write the long table as CSV (every digit) and the compact one as a LaTeX ``tabular``.

    The latter as `render` makes it, Table 1's `render_latex` by default.

    Raises
    ------
    LossmapError
        A file cannot be written.
    """
    write_text(Path(csv_path), frame.to_csv(index=False, lineterminator="\n", na_rep="nan"))
    write_text(Path(tex_path), (render or render_latex)(frame))


def render_latex(frame: pd.DataFrame) -> str:
    r"""Return a complete booktabs ``tabular``: a block of rows per reading, a row per network.

    The first block is the default reading (orthogonal, statistics of the center); the paper's
    values stand beside ours. Narrow enough for a page of 5.5 inches. Needs
    ``\usepackage{booktabs}``.
    """
    heads = [rf"{name} & {'range & ' * (name == 'FN')}paper" for name in METHODS.values()]
    lines = [
        r"\begin{tabular}{llrrrrr}",
        r"\toprule",
        " & ".join(["Data set", "Network", *heads]) + r" \\",
        r"\midrule",
    ]
    body = [_block(*block) for block in _blocks_in(frame)]
    lines += [line for block in body for line in [*block, r"\midrule"]][:-1]
    lines += [r"\bottomrule", *_footnotes(frame), r"\end{tabular}"]
    return "\n".join(lines) + "\n"


def _blocks_in(frame: pd.DataFrame) -> list[tuple[str, str, pd.DataFrame]]:
    """Return reading, batch-norm statistics and rows of each block, the default first."""
    found = dict(list(frame.groupby(["reading", "bn_statistics"])))
    return [(*block, found[block]) for block in BLOCKS if block in found]


def _block(reading: str, statistics: str, chosen: pd.DataFrame) -> list[str]:
    title = escape_latex(f"{reading} reading, batch norm: {statistics}")
    lines = [rf"\multicolumn{{7}}{{l}}{{\emph{{{title}}}}} \\"]
    for names, rows in chosen.groupby(["dataset", "network"], sort=False):
        found = {row["method"]: row for row in rows.to_dict("records")}
        cells = [escape_latex(name) for name in names]
        for method in METHODS.values():
            ours, span, paper = _cells(found.get(method))
            cells += [ours, span, paper] if method == "FN" else [ours, paper]
        lines.append(" & ".join(cells) + r" \\")
    return lines


def _cells(row: Mapping[str, Any] | None) -> tuple[str, str, str]:
    """Return our value, its range over planes and the paper's value."""
    if row is None:
        return "--", "", "--"
    ours, span = format_latex(row["fitting_error"]), ""
    if row["planes"] > 1:
        span = f"{format_latex(row['lowest'])}--{format_latex(row['highest'])}"
    if row["non_finite"]:
        ours += rf"\,[{row['non_finite']}/{row['terms']}]"
    return ours, span, "--" if np.isnan(row["paper"]) else f"{row['paper']:.2f}"


def _footnotes(frame: pd.DataFrame) -> list[str]:
    notes = []
    if (frame["planes"] > 1).any():
        notes.append("FN: mean and range over planes of different seeds.")
    if frame["non_finite"].any():
        notes.append(r"[\emph{n}/\emph{m}]: \emph{n} of \emph{m} terms are not finite.")
    return [rf"\multicolumn{{7}}{{l}}{{\footnotesize {note}}} \\" for note in notes]


def format_latex(value: float) -> str:
    """Return a number with four significant digits, powers of ten from 10^5 and below 10^-3."""
    if np.isnan(value):
        return "n/a"
    if np.isinf(value):
        return r"$\infty$" if value > 0 else r"$-\infty$"
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"
    mantissa, exponent = f"{value:.2e}".split("e")
    return rf"${mantissa}\times10^{{{int(exponent)}}}$"


def escape_latex(text: str) -> str:
    """Return text in which LaTeX sees no command."""
    return "".join(_ESCAPES.get(character, character) for character in text)


def save_page(
    frame: pd.DataFrame, title: str, path: str | Path, render: RenderPage | None = None
) -> None:
    """Write the long table as a page for people; raises LossmapError when that fails."""
    write_text(Path(path), (render or render_page)(frame, title))


def render_page(frame: pd.DataFrame, title: str) -> str:
    """Return a page with a table for each reading and batch-norm statistics, the default first."""
    head = ("data set, network", *(f"{m} {w}" for w in ("ours", "paper") for m in METHODS.values()))
    ratios = tuple(f"{'/'.join(METHODS.values())} {whose}" for whose in ("ours", "paper"))
    body = ["<p>Fitting Error, Eq. 3: the smaller, the better the plane shows the trajectory.</p>"]
    for number, (reading, statistics, chosen) in enumerate(_blocks_in(frame)):
        default = " (the default)" if number == 0 else ""
        heading = f"{reading} reading of Eq. 4, batch-norm statistics: {statistics}{default}"
        body.append(f"<h2>{escape(heading)}</h2>")
        rows = [_page_row(*each) for each in chosen.groupby(["dataset", "network"], sort=False)]
        body.append(table((*head, *ratios), rows, numbers=range(1, 7)))
    return page(title, body)


def _page_row(network: tuple[str, str], rows: pd.DataFrame) -> list[str]:
    by_method = {row["method"]: row for row in rows.to_dict("records")}
    found = [by_method[method] for method in METHODS.values()]
    ours, paper = ([row[key] for row in found] for key in ("fitting_error", "paper"))
    return [
        escape(", ".join(network)),
        *(_page_cell(row) for row in found),
        *("" if np.isnan(value) else f"{value:.2f}" for value in paper),
        format_number(float(np.divide(*ours))),
        "" if np.isnan(paper).any() else format_number(float(np.divide(*paper))),
    ]


def _page_cell(row: dict[str, Any]) -> str:
    text = format_number(row["fitting_error"])
    if row["planes"] > 1:
        text += f"<br><small>{row['planes']} planes: {format_number(row['lowest'])} to "
        text += f"{format_number(row['highest'])}</small>"
    if row["non_finite"]:
        text += f"<br><small>{row['non_finite']} of {row['terms']} terms not finite</small>"
    return text
