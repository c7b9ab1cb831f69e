"""The table of minima: every number comes from a curvature, a run or a cloud."""

import numpy as np
import pandas as pd
import pytest

from lossmap.artifacts.curvature import Curvature
from lossmap.artifacts.distance import Cloud, Origins, describe_rows
from lossmap.artifacts.layout import Layout
from lossmap.artifacts.provenance import Provenance
from lossmap.artifacts.store import save
from lossmap.artifacts.trajectory import History, Trajectory
from lossmap.curvature_table import render_latex, render_page, tabulate_curvatures
from lossmap.geometry.distances import measure_cloud_geometry
from lossmap.tables import save_page, save_table

PROVENANCE = Provenance("{}", "c0de", {})


def make_cloud() -> Cloud:
    """Return a minimum at 0 and two jumps that come back to a half and not at all."""
    vectors = np.zeros((5, 4), np.float32)
    vectors[:, 1] = 1
    vectors[1:, 0] = 2, 1, 3, 3
    optimum = describe_rows(1, is_optimum=np.int8(1))
    jumps = describe_rows(
        4,
        trajectory=np.array([0, 0, 1, 1]),
        direction=0,
        step_size=np.array([1.0, 1, 2, 2]),
        epoch=np.array([0, 1, 0, 1]),
    )
    rows = {name: np.concatenate([optimum[name], jumps[name]]) for name in optimum}
    return measure_cloud_geometry({"all": vectors}, Origins(**rows, sources=["m"]))


@pytest.fixture
def frame(tmp_path) -> pd.DataFrame:
    epochs, curve = np.array([0, 5]), np.array([9.0, 9.0])
    history = History(epochs, np.array([2.0, 0.25]), curve, curve, np.array([0.1, 0.8]), curve)
    layouts = Layout(["w"], ["linear"], [(4,)]), Layout(["m"], ["buffer"], [(1,)])
    vectors = np.zeros((2, 4), np.float32), np.zeros((2, 1), np.float32)
    run = Trajectory(*vectors, history, *(layout.to_tensors() for layout in layouts))
    eigen = np.array([7.0, 3.0]), np.eye(2, 4, dtype=np.float32), np.array([0.01, 0.02])
    traces = np.array([10.0, 12.0])
    ones = np.ones((2, 1))
    curvature = Curvature(5, 0.3, 0.0, *eigen, traces, 0.1 * traces, ones, ones)
    sources = {}
    for name, made in (
        ("trajectory/r", run),
        ("curvature/c", curvature),
        ("distance/d", make_cloud()),
    ):
        sources[name] = tmp_path / f"{made.KIND.name}.h5"
        save(sources[name], made, PROVENANCE)
    told = {"curvature": "c", "run": "r", "minimum": "good_1", "dataset": "digits", "seed": 2}
    told |= {"bn_statistics": "center"}
    return tabulate_curvatures({"table": "t", "minima": [told | {"cloud": "d"}, told]}, sources)


def test_numbers_are_those_of_the_artifacts_at_the_epoch(frame):
    first, second = frame.to_dict("records")
    assert (first["largest_eigenvalue"], first["residual"]) == (7, 0.01)
    assert (first["trace"], first["trace_error"]) == (11, pytest.approx(1))
    assert first["scaled_trace_error"] == pytest.approx(0.1)
    assert (first["epoch"], first["train_loss"], first["test_accuracy"]) == (5, 0.25, 0.8)
    assert first["retraining_return"] == pytest.approx((1 / 2 + 1) / 2)
    assert np.isnan(second["retraining_return"])


def test_latex_has_a_row_per_minimum(frame, tmp_path):
    save_table(frame, tmp_path / "a.csv", tmp_path / "a.tex", render_latex)
    lines = (tmp_path / "a.tex").read_text().splitlines()
    assert r"good\_1, digits & 2 & 7 & 11 & 1.1 & 0.25 & 0.8 & 0.75 \\" in lines
    assert r"good\_1, digits & 2 & 7 & 11 & 1.1 & 0.25 & 0.8 & n/a \\" in lines
    assert lines[0].count("r") - len("begin{tabular}") <= 9
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "a.csv"), frame)


def test_page_has_errors_and_leaves_unknown_cells_empty(frame, tmp_path):
    save_page(frame, "title", tmp_path / "a.html", render_page)
    text = (tmp_path / "a.html").read_text()
    assert "11<br><small>± 1</small>" in text
    assert text.count("0.75") == 1
    assert "not a number" not in text
