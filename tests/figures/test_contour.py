"""The contour map shows the grid the right way round, with labeled levels."""

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from lossmap.figures.panels.contour import plot_contour
from lossmap.figures.scale import fit_scale
from lossmap.figures.style import CENTER, CONVERGED


def draw(panel, name="log"):
    figure = Figure()
    axes = figure.add_subplot()
    scale = fit_scale(name, [panel["loss"]])
    assert plot_contour(axes, panel, scale) is axes
    figure.canvas.draw()
    return axes, scale


def artists(axes, gid):
    return axes.findobj(lambda item: item.get_gid() == gid)


def test_alpha_runs_to_the_right(landscape):
    panel = landscape(size=21)
    panel["loss"] = np.repeat(10.0 ** panel["alphas"][:, None], 21, axis=1)
    axes, _ = draw(panel)
    (lines,) = artists(axes, "levels")
    for level, path in zip(lines.levels, lines.get_paths(), strict=True):
        np.testing.assert_allclose(path.vertices[:, 0], level, atol=1e-9)


def test_map_and_levels_share_the_norm_of_the_scale(landscape):
    axes, scale = draw(landscape())
    (filled,) = artists(axes, "map")
    assert filled.norm is scale.norm
    assert (filled.levels[0], filled.levels[-1]) == (scale.norm.vmin, scale.norm.vmax)


def test_levels_are_labeled_in_nats(landscape):
    axes, _ = draw(landscape(size=41))
    labels = {label.get_text() for label in artists(axes, "level")}
    assert {"0.1", "1"} <= labels


def test_marks_lie_at_their_coordinates(landscape):
    axes, _ = draw(landscape(converged=np.array([0.4, -0.3, 1.0])))
    for name, color, place in (("center", CENTER, [0, 0]), ("converged", CONVERGED, [0.4, -0.3])):
        (mark,) = artists(axes, name)
        assert to_hex(mark.get_color()) == color
        np.testing.assert_array_equal(np.ravel(mark.get_data()), place)


def test_gaps_show_a_hatched_ground_and_a_note(landscape):
    panel = landscape()
    assert not artists(draw(panel)[0], "gaps")
    panel["loss"][0, 0] = np.inf
    axes, _ = draw(panel)
    (ground,) = artists(axes, "gaps")
    (note,) = artists(axes, "notes")
    assert ground.get_hatch()
    assert note.get_text() == "not finite: 1 point"


def test_both_axes_have_one_scale_and_names(landscape):
    axes, _ = draw(landscape())
    assert axes.get_aspect() == 1
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("α", "β")


@pytest.mark.parametrize("name", ["log", "linear"])
@pytest.mark.parametrize("value", [np.inf, np.nan, 2.3, 0.0])
def test_a_landscape_without_relief_is_drawn(landscape, name, value):
    panel = landscape(size=5)
    panel["loss"] = np.full((5, 5), value)
    draw(panel, name)


def test_trajectory_is_drawn_with_its_direction(landscape):
    trajectory = np.column_stack([np.linspace(0, 0.8, 9), np.zeros(9), np.ones(9)])
    axes, _ = draw(landscape(trajectory=trajectory, epochs=np.arange(9)))
    (line,) = artists(axes, "trajectory")
    np.testing.assert_array_equal(line.get_segments()[0], trajectory[:2, :2])
    assert artists(axes, "direction")
    assert artists(axes, "start")
    assert artists(axes, "end")


@pytest.mark.parametrize("corner", [(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0)])
def test_no_label_is_cut_at_the_edge(landscape, corner):
    panel = landscape(size=21)
    alphas, betas = np.meshgrid(panel["alphas"], panel["betas"], indexing="ij")
    panel["loss"] = 0.01 + (alphas - corner[0]) ** 2 + (betas - corner[1]) ** 2
    axes, _ = draw(panel)
    frame, labels = axes.get_window_extent(), artists(axes, "level")
    assert labels
    for label in labels:
        drawn = label.get_window_extent()
        assert frame.x0 <= drawn.x0 < drawn.x1 <= frame.x1
        assert frame.y0 <= drawn.y0 < drawn.y1 <= frame.y1
