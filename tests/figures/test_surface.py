"""The drawn surface is the grid, and what is marked on it lies where it should."""

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from lossmap.figures.panels.surface import floor_of, plot_surface
from lossmap.figures.scale import fit_scale
from lossmap.figures.style import CENTER, CONVERGED


def draw(panel, **options):
    figure = Figure()
    axes = figure.add_subplot(projection="3d", computed_zorder=False)
    others = [panel["trajectory"][:, 2]] if "trajectory" in panel else []
    scale = fit_scale("log", [panel["loss"]], others)
    assert plot_surface(axes, panel, scale, **options) is axes
    figure.canvas.draw()
    return axes, scale


def artist(axes, gid):
    found = axes.findobj(lambda item: item.get_gid() == gid)
    assert len(found) == 1, f"{len(found)} artists '{gid}'"
    return found[0]


def facets_of(axes):
    """Return the corners of every facet, (facets, 4, 3)."""
    return np.asarray(artist(axes, "surface")._faces)


def test_center_is_a_red_point_at_its_loss(landscape):
    axes, _ = draw(landscape())
    mark = artist(axes, "center")
    assert to_hex(mark.get_color()) == CENTER
    np.testing.assert_allclose(np.ravel(mark.get_data_3d()), [0, 0, np.log10(0.01)])


def test_converged_is_a_green_point_at_its_loss(landscape):
    axes, _ = draw(landscape(converged=np.array([0.4, -0.3, 0.1])))
    mark = artist(axes, "converged")
    assert to_hex(mark.get_color()) == CONVERGED
    np.testing.assert_allclose(np.ravel(mark.get_data_3d()), [0.4, -0.3, -1])


def test_marks_are_drawn_above_the_surface_with_a_stem_to_the_floor(landscape):
    axes, scale = draw(landscape())
    assert artist(axes, "center").get_zorder() > artist(axes, "surface").get_zorder()
    stem = np.array(artist(axes, "center-stem").get_data_3d())
    np.testing.assert_allclose(stem, [[0, 0], [0, 0], [floor_of(scale), np.log10(0.01)]])


def test_a_mark_of_unknown_loss_stands_hollow_on_the_floor(landscape):
    axes, scale = draw(landscape(converged=np.array([1.5, 0.0, np.nan])))
    mark = artist(axes, "converged")
    np.testing.assert_allclose(np.ravel(mark.get_data_3d()), [1.5, 0, floor_of(scale)])
    assert mark.get_markerfacecolor() == "none"
    assert axes.get_xlim()[1] > 1.5


def test_every_grid_point_is_a_corner_of_the_surface(landscape):
    panel = landscape(size=5)
    panel["loss"] = panel["loss"] * np.linspace(1, 2, 5)[:, None]  # alpha and beta differ
    axes, _ = draw(panel)
    corners = {tuple(np.round(corner, 9)) for corner in facets_of(axes).reshape(-1, 3)}
    expected = {
        (round(alpha, 9), round(beta, 9), round(np.log10(panel["loss"][i, j]), 9))
        for i, alpha in enumerate(panel["alphas"])
        for j, beta in enumerate(panel["betas"])
    }
    assert corners == expected


def test_facets_are_colored_by_their_height(landscape):
    axes, scale = draw(landscape())
    surface = artist(axes, "surface")
    assert surface.norm is scale.norm
    np.testing.assert_allclose(surface.get_array(), facets_of(axes)[:, :, 2].mean(axis=1))


def test_facets_that_are_not_finite_are_gaps_marked_on_the_floor(landscape):
    panel = landscape(size=7)
    panel["loss"][0, 0] = np.inf
    panel["loss"][3, 3] = np.nan
    axes, scale = draw(panel)
    assert len(facets_of(axes)) == 36 - 1 - 4
    gaps = artist(axes, "gaps")
    assert len(gaps._faces) == 5
    np.testing.assert_array_equal(np.asarray(gaps._faces)[:, :, 2], floor_of(scale))
    assert gaps.get_hatch()
    assert artist(axes, "notes").get_text() == "not finite: 1 point\nnot evaluated: 1 point"


@pytest.mark.parametrize("value", [np.inf, np.nan, 2.3])
def test_a_landscape_without_relief_is_drawn(landscape, value):
    panel = landscape(size=5)
    panel["loss"] = np.full((5, 5), value)
    draw(panel | {"center": np.array([0, 0, value])})


def test_loss_axis_is_ticked_in_nats_on_a_log_scale(landscape):
    axes, _ = draw(landscape())
    labels = [label.get_text() for label in axes.get_zticklabels()]
    assert labels == ["0.01", "0.1", "1", "10", "100"]
    np.testing.assert_allclose(axes.get_zticks(), np.log10([float(label) for label in labels]))


def test_axes_are_named(landscape):
    axes, _ = draw(landscape())
    names = axes.get_xlabel(), axes.get_ylabel(), axes.get_zlabel()
    assert names == ("α", "β", "loss (nats)")


def test_camera_is_the_one_asked_for(landscape):
    axes, _ = draw(landscape(), camera=(20, 45))
    assert (axes.elev, axes.azim) == (20, 45)


@pytest.fixture
def traveled(landscape):
    share = np.linspace(0, 1, 11)
    trajectory = np.column_stack([0.8 * share, 0.2 * share, 10.0 ** (1 - 2 * share)])
    return landscape(trajectory=trajectory, epochs=np.arange(11))


def test_trajectory_runs_through_its_points_colored_by_epoch(traveled):
    axes, _ = draw(traveled)
    path = np.array(artist(axes, "casing").get_data_3d()).T
    expected = traveled["trajectory"].copy()
    expected[:, 2] = np.log10(expected[:, 2])
    np.testing.assert_allclose(path, expected)
    np.testing.assert_allclose(artist(axes, "trajectory").get_array(), np.arange(10) + 0.5)


def test_trajectory_has_start_end_and_arrows_in_its_direction(traveled):
    axes, _ = draw(traveled)
    start, end = (np.ravel(artist(axes, name).get_data_3d()) for name in ("start", "end"))
    np.testing.assert_allclose(start, [0, 0, 1])
    np.testing.assert_allclose(end, [0.8, 0.2, -1])
    arrows = axes.findobj(lambda item: item.get_gid() == "direction")
    assert arrows
    for arrow in arrows:
        assert (arrow.ends[1] - arrow.ends[0]) @ (end - start) > 0


def test_a_trajectory_at_one_position_is_a_vertical_line(traveled):
    traveled["trajectory"][:, :2] = 0.0
    axes, _ = draw(traveled)
    for arrow in axes.findobj(lambda item: item.get_gid() == "direction"):
        tail, head = arrow.ends
        assert head[2] < tail[2]
        np.testing.assert_array_equal(tail[:2], head[:2])


def test_a_trajectory_point_without_loss_breaks_the_line(traveled):
    traveled["trajectory"][4, 2] = np.inf
    axes, _ = draw(traveled)
    assert len(artist(axes, "trajectory").get_array()) == 10 - 2
    assert "1 of 11 without finite loss" in artist(axes, "notes").get_text()
