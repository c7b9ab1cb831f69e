"""Table 1: every number comes from a projection, every term that is not finite is counted."""

import csv
import re

import numpy as np
import pandas as pd
import pytest

from lossmap.artifacts.figure import Table, load_panels, save_panels
from lossmap.artifacts.projection import Projection
from lossmap.artifacts.provenance import Provenance
from lossmap.artifacts.store import save
from lossmap.errors import LossmapError
from lossmap.tables import (
    escape_latex,
    format_latex,
    render_latex,
    render_page,
    save_page,
    save_table,
    table_panels,
    tabulate_fitting_errors,
)

PROVENANCE = Provenance("{}", "code", {})
FN = np.array([10.0, 1 / 3, 30.0, 40.0, 50.0])


def save_errors(path, errors, literal, non_finite):
    planes = len(errors)
    losses = np.ones((planes, 4))
    projection = Projection(
        np.zeros((4, 2)),
        np.arange(4),
        np.ones(4),
        np.arange(planes),
        losses,
        losses,
        errors,
        literal,
        np.zeros(planes, np.int64),
        non_finite,
    )
    save(path, projection, PROVENANCE)


@pytest.fixture
def sources(tmp_path):
    paths = {f"projection/{name}": tmp_path / f"{name}.h5" for name in ("fn", "pca")}
    infinite = np.where(np.arange(5) == 2, np.inf, 900.0)
    save_errors(paths["projection/fn"], FN, infinite, np.array([0, 0, 3, 0, 0]))
    save_errors(paths["projection/pca"], np.array([1.5]), np.array([123456.0]), np.array([0]))
    return paths


@pytest.fixture
def spec():
    names = {"fn": "fn", "pca": "pca"}
    column = {"dataset": "CIFAR-10", "projections": {"center": names, "batch": names}}
    return {
        "table": "ding2023_table1",
        "columns": [
            column | {"network": "ResNet20", "paper": {"fn": 77.42, "pca": 35.88}},
            column | {"network": "ResNet_32"},
        ],
    }


@pytest.fixture
def frame(spec, sources):
    return tabulate_fitting_errors(spec, sources)


def pick(frame, **values):
    for name, value in values.items():
        frame = frame[frame[name] == value]
    (row,) = frame.to_dict("records")
    return row


def test_there_is_a_row_for_every_network_reading_statistics_and_method(frame):
    keys = ["dataset", "network", "reading", "bn_statistics", "method"]
    assert len(frame) == 2 * 2 * 2 * 2
    assert not frame[keys].duplicated().any()


def test_fn_is_the_mean_and_range_over_planes(frame):
    default = {"network": "ResNet20", "reading": "orthogonal", "bn_statistics": "center"}
    row = pick(frame, method="FN", **default)
    expected = (FN.mean(), FN.min(), FN.max(), 5)
    assert tuple(row[k] for k in ("fitting_error", "lowest", "highest", "planes")) == expected
    assert row["paper"] == 77.42


def test_terms_that_are_not_finite_are_counted_and_never_dropped(frame):
    default = {"network": "ResNet20", "reading": "literal", "bn_statistics": "center"}
    row = pick(frame, method="FN", **default)
    assert (row["non_finite"], row["terms"]) == (3, 20)
    assert row["fitting_error"] == np.inf


def test_a_value_that_the_paper_does_not_give_is_nan(frame):
    assert frame[frame["network"] == "ResNet_32"]["paper"].isna().all()


def test_csv_keeps_every_digit(frame, tmp_path):
    save_table(frame, tmp_path / "t.csv", tmp_path / "t.tex")
    with open(tmp_path / "t.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == list(frame.columns)
    for name in ("fitting_error", "lowest", "highest", "paper"):
        np.testing.assert_array_equal([float(row[name]) for row in rows], frame[name])
    assert sorted(path.name for path in tmp_path.glob("t.*")) == ["t.csv", "t.tex"]


def test_latex_rows_have_as_many_cells_as_columns(frame):
    lines = render_latex(frame).splitlines()
    assert lines[0] == r"\begin{tabular}{llrrrrr}"
    assert lines[-1] == r"\end{tabular}"
    rows = [line for line in lines if " & " in line and "multicolumn" not in line]
    assert len(rows) == 1 + 4 * 2
    assert all(line.count("&") == 6 for line in rows)


def test_latex_shows_the_default_reading_first_beside_the_paper(frame):
    lines = render_latex(frame).splitlines()
    title, first = lines[lines.index(r"\midrule") + 1 :][:2]
    assert r"\emph{orthogonal reading, batch norm: center}" in title
    assert "& 26.07 & 0.3333--50 & 77.42 & 1.5 &" in first


def test_latex_counts_what_is_not_finite(frame):
    text = render_latex(frame)
    assert r"$\infty$\,[3/20] & 900--$\infty$ &" in text
    assert "terms are not finite" in text


def test_latex_escapes_names(frame):
    assert r"ResNet\_32" in render_latex(frame)
    assert escape_latex(r"a_b & 5%~\x") == r"a\_b \& 5\%\textasciitilde{}\textbackslash{}x"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (35.88, "35.88"),
        (0.82, "0.82"),
        (12345.6, "12346"),
        (123456.0, r"$1.23\times10^{5}$"),
        (np.inf, r"$\infty$"),
        (np.nan, "n/a"),
    ],
)
def test_numbers_are_short_in_latex(value, text):
    assert format_latex(value) == text


def test_panels_survive_their_file(frame, tmp_path):
    save_panels(tmp_path / "t.h5", Table, table_panels(frame), PROVENANCE)
    loaded = load_panels(tmp_path / "t.h5", Table)["table"]
    pd.testing.assert_frame_equal(
        pd.DataFrame(loaded)[list(frame.columns)], frame, check_exact=True
    )


def test_what_is_missing_or_unknown_is_named(spec, sources):
    with pytest.raises(LossmapError, match="projection/pca is not among the inputs"):
        tabulate_fitting_errors(spec, {"projection/fn": sources["projection/fn"]})
    spec["columns"][0]["projections"] = {"frozen": {"fn": "fn"}}
    with pytest.raises(LossmapError, match="bn_statistics is 'frozen', expected one of center"):
        tabulate_fitting_errors(spec, sources)


def test_page_shows_ours_beside_the_paper_and_the_ratio(frame, tmp_path):
    save_page(frame, "ding2023_table1", tmp_path / "t.html")
    page = (tmp_path / "t.html").read_text(encoding="utf-8")
    assert page == render_page(frame, "ding2023_table1")
    default, literal, *others = page.split("<h2>")[1:]
    assert default.startswith("orthogonal reading of Eq. 4, batch-norm statistics: center (the def")
    assert len(others) == 2
    cells = re.findall(r'<td class="number">(.*)</td>', default)[:6]
    assert cells[0] == "26.07<br><small>5 planes: 0.3333 to 50</small>"
    assert cells[1:] == ["1.5", "77.42", "35.88", "17.38", "2.158"]
    assert "3 of 20 terms not finite" in literal
    assert "∞" in literal
    assert 'scope="row">CIFAR-10, ResNet_32</th>' in default


def test_page_leaves_out_what_the_paper_does_not_give(frame):
    row = render_page(frame, "t").split("ResNet_32</th>")[1].split("</tr>")[0]
    assert re.findall(r'<td class="number">(.*)</td>', row)[2:4] == ["", ""]
