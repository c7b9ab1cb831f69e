"""The spectrum panel draws as many eigenvalues as there are, where they are."""

import numpy as np
import pytest

from lossmap.artifacts.curvature import Curvature
from lossmap.artifacts.provenance import Provenance
from lossmap.artifacts.store import save
from lossmap.figures.collect import collect_panels
from lossmap.figures.compose import draw_figure

SPEC = {
    "figure": "fig",
    "columns": 1,
    "options": {},
    "panels": [{"draw": "spectrum", "curvature": "c"}],
}
NODES = np.array([[-1.0, 0.0, 9.0], [-1.0, 0.5, 9.0]])
WEIGHTS = np.array([[0.1, 0.8, 0.1], [0.2, 0.7, 0.1]])


@pytest.fixture
def panel(tmp_path):
    vectors = np.eye(2, 20, dtype=np.float32)
    traces = np.array([10.0, 14.0])
    values = np.array([9.0, 4.0]), vectors, np.zeros(2)
    found = Curvature(0, 1.0, 0.0, *values, traces, traces, NODES, WEIGHTS)
    save(tmp_path / "c.h5", found, Provenance("{}", "c0de", {}))
    return collect_panels(SPEC, {"curvature/c": tmp_path / "c.h5"})["panel-a"]


def count_between(panel, low, high) -> float:
    at, density = panel["curvature"], panel["density"]
    inside = (at >= low) & (at <= high)
    return np.trapezoid(density[inside], at[inside])


def test_area_is_the_number_of_eigenvalues(panel):
    assert count_between(panel, -np.inf, np.inf) == pytest.approx(20, rel=1e-3)
    assert count_between(panel, 8, 10) == pytest.approx(0.1 * 20, rel=1e-2)
    assert count_between(panel, -2, -0.6) == pytest.approx(0.15 * 20, rel=1e-2)
    assert count_between(panel, 3, 5) == pytest.approx(0, abs=1e-12)


def test_leading_eigenvalues_are_marked_on_a_logarithmic_density(panel):
    (axes,) = draw_figure(SPEC, {"panel-a": panel}).axes
    marked = axes.findobj(lambda item: item.get_gid() == "eigenvalue")
    assert [line.get_xdata()[0] for line in marked] == [9, 4]
    assert axes.get_yscale() == "log"
    peak = 1 / (0.01 * 10 * np.sqrt(2 * np.pi))  # of one eigenvalue
    assert axes.get_ylim()[0] == pytest.approx(0.1 * peak, rel=1e-2)
    (notes,) = axes.findobj(lambda item: item.get_gid() == "notes")
    assert notes.get_text() == "largest 9, trace 12 ± 2"


def test_a_matrix_of_one_eigenvalue_can_be_drawn(panel):
    flat = {"curvature": np.linspace(0, 1, 9), "density": np.zeros(9), "eigenvalues": [0.0, 0.0]}
    (axes,) = draw_figure(SPEC, {"panel-a": flat | {"trace": 0.0, "trace_error": np.nan}}).axes
    low, high = axes.get_ylim()
    assert 0 < low < high


def test_the_axis_says_which_loss(panel):
    named = panel | {"loss_label": ["squared error"]}
    for given, label in ((panel, "loss (nats)"), (named, "squared error")):
        (axes,) = draw_figure(SPEC, {"panel-a": given}).axes
        assert axes.get_xlabel() == f"eigenvalue of the Hessian of the {label}"
