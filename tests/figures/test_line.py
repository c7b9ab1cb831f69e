"""Lines: values where they were measured, the barrier where it is largest, a scale that suits."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from lossmap.artifacts.basis import Basis
from lossmap.artifacts.grid import Grid
from lossmap.artifacts.line import Line
from lossmap.artifacts.provenance import Provenance
from lossmap.artifacts.store import load, save
from lossmap.errors import LossmapError
from lossmap.figures.collect import collect_panels
from lossmap.figures.compose import draw_figure
from lossmap.figures.panels.line import plot_line
from lossmap.geometry.lines import measure_barriers

PROVENANCE = Provenance("{}", "code", {})
POSITIONS = np.linspace(0, 1, 11)
FLAT, HILL = 0.02 * np.ones(11), 0.05 + np.sin(np.pi * POSITIONS)


@pytest.fixture
def lines(tmp_path):
    """Give a flat line and one over a hill."""
    found = {}
    for name, loss in (("flat", FLAT), ("hill", HILL)):
        found[f"line/{name}"] = tmp_path / f"{name}.h5"
        accuracy = np.linspace(0.5, 1.0, 11)
        barriers = measure_barriers(POSITIONS, loss)
        line = Line(POSITIONS, loss, accuracy, 3.0, *barriers, 2 * loss, accuracy / 2)
        save(found[f"line/{name}"], line, PROVENANCE)
    return found


def collect(sources, **keys):
    entry = {"draw": "line", "lines": ["flat", "hill"], "labels": {"hill": "over the hill"}} | keys
    spec = {"figure": "fig", "columns": 1, "options": {}, "panels": [entry]}
    return spec, collect_panels(spec, sources)


def drawn(axes, gid):
    return next(line for line in axes.lines if line.get_gid() == gid)


def test_values_are_drawn_where_they_were_measured(lines):
    spec, panels = collect(lines)
    (axes,) = draw_figure(spec, panels).axes
    for index, loss in enumerate((FLAT, HILL)):
        np.testing.assert_array_equal(drawn(axes, f"line-{index}").get_xdata(), POSITIONS)
        np.testing.assert_array_equal(drawn(axes, f"line-{index}").get_ydata(), loss)
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["flat", "over the hill, barrier 1"]


def test_barrier_stands_where_the_rise_above_the_ends_is_largest(lines):
    spec, panels = collect(lines)
    (axes,) = draw_figure(spec, panels).axes
    barrier = drawn(axes, "barrier-1")
    assert list(barrier.get_xdata()) == [0.5, 0.5]
    assert barrier.get_ydata() == pytest.approx([0.05, 1.05])
    assert "barrier-0" not in [line.get_gid() for line in axes.lines]


def test_a_loss_that_falls_all_the_way_has_no_barrier_however_it_bends(tmp_path):
    loss = 2.0 - POSITIONS**2  # above the chord by a quarter
    line = Line(POSITIONS, loss, loss, 1.0, *measure_barriers(POSITIONS, loss))
    save(tmp_path / "a.h5", line, PROVENANCE)
    assert line.barrier == pytest.approx(0.25)
    spec, panels = collect({"line/slope": tmp_path / "a.h5"}, lines=["slope"])
    assert panels["panel-a"]["barriers"].tolist() == [0.0]
    (axes,) = draw_figure(spec, panels).axes
    assert [line.get_gid() for line in axes.lines] == ["line-0"]


@pytest.mark.parametrize(
    ("measure", "factor"), [("test_loss", 2.0), ("accuracy", None), ("test_accuracy", None)]
)
def test_other_measures(lines, measure, factor):
    spec, panels = collect(lines, measure=measure)
    panel = panels["panel-a"]
    wanted = getattr(load(lines["line/hill"], Line), measure)
    np.testing.assert_array_equal(panel["values_1"], wanted)
    (axes,) = draw_figure(spec, panels).axes
    if factor:
        assert panel["barriers"] == pytest.approx([0.0, factor])
    else:
        assert "barriers" not in panel
        assert axes.get_ylim() == pytest.approx((-0.03, 1.03))


def test_a_wide_range_of_losses_is_logarithmic_unless_told_otherwise(lines):
    for keys, scale in (
        ({}, "log"),
        ({"y_scale": "linear"}, "linear"),
        ({"lines": ["hill"]}, "linear"),
    ):
        spec, panels = collect(lines, **keys)
        assert draw_figure(spec, panels).axes[0].get_yscale() == scale


def test_losses_that_are_not_finite_are_gaps_with_a_note():
    panel = {"label_names": ["mine"], "positions_0": POSITIONS, "values_0": HILL.copy()}
    panel["values_0"][3], panel["barriers"] = np.inf, np.array([np.inf])
    axes = plot_line(Figure().add_subplot(), panel)
    assert np.isnan(drawn(axes, "line-0").get_ydata()).sum() == 1
    assert [text.get_text() for text in axes.texts] == ["not finite: 1 of 11 points"]


def test_line_that_is_no_source_is_named(lines):
    with pytest.raises(LossmapError, match="fig panel-a: line/mine is not among the inputs"):
        collect(lines, lines=["mine"])


# --- the points of a plane ------------------------------------------------------------------------


@pytest.mark.parametrize("draw", ["contour", "surface"])
def test_points_of_a_plane_are_marked_on_it(tmp_path, draw):
    places = np.array([[0.0, 0.0], [1.0, 0.0], [0.4, 0.8]])
    alphas, betas = places.mean(axis=0)[:, None] + np.linspace(-1, 1, 5)
    loss = np.exp(alphas[:, None] + 2 * betas)  # linear in its logarithm: interpolated exactly
    one, axes = np.ones(1), np.eye(2, 3, dtype=np.float32)
    seeds, epochs = np.array([-1]), np.arange(3)
    shape = (np.zeros(3, np.float32), 2, axes, np.ones(2), seeds, one, one)
    basis = Basis(*shape, np.zeros((3, 2)), epochs, one, places)
    sources = {"grid/mine": tmp_path / "grid.h5", "basis/mine": tmp_path / "basis.h5"}
    save(sources["grid/mine"], Grid(alphas, betas, loss, loss), PROVENANCE)
    save(sources["basis/mine"], basis, PROVENANCE)
    panel = {"draw": draw, "grid": "mine", "basis": "mine", "marks": ["center", "points"]}
    spec = {"figure": "fig", "columns": 1, "options": {}, "panels": [panel]}

    panels = collect_panels(spec, sources)
    figure = draw_figure(spec, panels)

    for name, place in zip(("center", "second", "third"), places, strict=True):
        expected = [*place, np.exp(place[0] + 2 * place[1])]
        np.testing.assert_allclose(panels["panel-a"][name], expected)
    gids = {line.get_gid() for line in figure.axes[0].lines}
    assert {"center", "second", "third"} <= gids
    shown = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    assert shown == ["center", "second point", "third point"]
