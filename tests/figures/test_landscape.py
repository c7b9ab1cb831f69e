"""Extents, notes and arrows: nothing that is drawn lies outside, nothing left out goes unsaid."""

import numpy as np

from lossmap.figures.landscape.marks import (
    MOST_ARROWS,
    extent_of,
    missing_cells,
    notes_of,
    place_arrows,
)
from lossmap.figures.scale import fit_scale

SCALE = fit_scale("log", [np.array([0.01, 100.0])])


def test_extent_is_the_grid_s_when_everything_lies_inside(landscape):
    panel = landscape(converged=np.array([0.5, 0.5, 1.0]))
    assert extent_of(panel) == ((-1, 1), (-1, 1))


def test_extent_grows_to_a_point_outside(landscape):
    panel = landscape(converged=np.array([1.7, -2.5, np.nan]))
    (left, right), (bottom, top) = extent_of(panel)
    assert (left, top) == (-1, 1)
    assert right > 1.7
    assert bottom < -2.5


def test_extent_grows_to_a_trajectory_outside(landscape):
    trajectory = np.array([[0, 0, 1], [0, 3, 1], [0, 0, 1.0]])
    assert extent_of(landscape(trajectory=trajectory))[1][1] > 3


def test_a_clean_panel_has_no_notes(landscape):
    assert notes_of(landscape(), SCALE) == []


def test_every_point_that_is_not_drawn_is_counted(landscape):
    panel = landscape()
    panel["loss"][0, :3], panel["loss"][1, :2], panel["loss"][6, 6] = np.inf, np.nan, 0.0
    expected = ["not finite: 3 points", "not evaluated: 2 points", "loss of zero: 1 point"]
    assert notes_of(panel, SCALE) == expected


def test_a_loss_of_zero_is_drawn_on_a_linear_scale(landscape):
    panel = landscape()
    panel["loss"][6, 6] = 0.0
    assert notes_of(panel, fit_scale("linear", [panel["loss"]])) == []


def test_points_outside_or_without_loss_are_said_to_be(landscape):
    outside = landscape(converged=np.array([1.7, 0.0, np.nan]))
    assert notes_of(outside, SCALE) == ["converged point outside the grid, loss unknown"]
    infinite = landscape(center=np.array([0.0, 0.0, np.inf]))
    assert notes_of(infinite, SCALE) == ["center point without finite loss"]


def test_trajectory_points_outside_or_without_loss_are_counted(landscape):
    trajectory = np.array([[0, 0, 1], [2, 0, 1], [0, 0, np.inf], [0, 0, 1]])
    notes = notes_of(landscape(trajectory=trajectory), SCALE)
    assert "trajectory: 1 of 4 outside the grid" in notes
    assert "trajectory: 1 of 4 without finite loss" in notes


def test_a_cell_is_missing_when_one_of_its_corners_is():
    heights = np.zeros((4, 5))
    heights[1, 2] = np.nan
    expected = np.zeros((3, 4), bool)
    expected[0:2, 1:3] = True
    np.testing.assert_array_equal(missing_cells(heights), expected)


def test_arrows_point_along_the_path():
    path = np.column_stack([np.linspace(0, 1, 20), np.zeros(20)])
    arrows = place_arrows(path, np.ones(2))
    assert len(arrows) == MOST_ARROWS
    assert all(head[0] > tail[0] and head[1] == tail[1] for tail, head in arrows)


def test_a_short_path_has_one_arrow_and_a_point_none():
    path = np.column_stack([np.linspace(0, 0.1, 20), np.zeros(20)])
    assert len(place_arrows(path, np.ones(2))) == 1
    assert place_arrows(np.zeros((5, 2)), np.ones(2)) == []
    assert place_arrows(np.full((5, 2), np.nan), np.ones(2)) == []
