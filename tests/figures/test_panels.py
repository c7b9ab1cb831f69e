"""Panels hold exactly what the artifacts say, at the positions that are marked."""

import numpy as np
import pytest

from lossmap.artifacts.figure import Figure, load_panels, save_panels
from lossmap.artifacts.grid import Grid
from lossmap.artifacts.provenance import Provenance
from lossmap.errors import LossmapError
from lossmap.figures.collect import collect_panels
from lossmap.geometry.interpolation import interpolate_loss


def spec_of(**panel):
    return {"figure": "fig", "columns": 1, "options": {}, "panels": [panel]}


def collect(sources, **panel):
    return collect_panels(spec_of(**panel), sources)["panel-a"]


def test_landscape_arrays_are_the_grid_s(sources, bowl):
    panel = collect(sources, draw="surface", grid="bowl")
    assert set(panel) == {"alphas", "betas", "loss"}
    for name in panel:
        np.testing.assert_array_equal(panel[name], getattr(bowl, name))


def test_center_has_the_loss_of_the_grid_point_in_the_middle(sources, bowl):
    panel = collect(sources, draw="surface", grid="bowl", marks=["center"])
    np.testing.assert_array_equal(panel["center"], [0.0, 0.0, bowl.loss[4, 3]])


def test_converged_lies_at_the_last_epoch_on_the_surface(sources):
    panel = collect(sources, draw="contour", grid="bowl", basis="bowl", marks=["converged"])
    expected = [0.3, -0.2, np.exp(2.0 * 0.3 + 0.2) / 4]
    np.testing.assert_allclose(panel["converged"], expected, rtol=1e-12)


def test_converged_takes_the_projected_loss_when_a_projection_is_named(sources, descent):
    names = {"grid": "bowl", "basis": "bowl", "projection": "bowl"}
    panel = collect(sources, draw="surface", marks=["converged"], **names)
    np.testing.assert_array_equal(panel["converged"], [0.3, -0.2, 1.5 * descent[1][-1]])


@pytest.mark.parametrize(("heights", "factor"), [("true", 1.0), ("projected", 1.5)])
def test_trajectory_heights_are_true_or_projected_losses(sources, descent, heights, factor):
    names = {"grid": "bowl", "projection": "bowl", "heights": heights}
    panel = collect(sources, draw="surface", trajectory=True, **names)
    coordinates, loss = descent
    expected = np.column_stack([coordinates, factor * loss])
    np.testing.assert_array_equal(panel["trajectory"], expected)
    np.testing.assert_array_equal(panel["epochs"], np.arange(11))


def test_trajectory_is_drawn_at_its_true_loss_by_default(sources, descent):
    panel = collect(sources, draw="surface", grid="bowl", projection="bowl", trajectory=True)
    np.testing.assert_array_equal(panel["trajectory"][:, 2], descent[1])


def test_interpolation_is_bilinear_in_the_log_loss(bowl):
    rng = np.random.default_rng(0)
    for alpha, beta in rng.uniform(-1, 1, (20, 2)):
        expected = np.exp(2.0 * alpha - beta) / 4
        assert interpolate_loss(bowl, alpha, beta) == pytest.approx(expected, rel=1e-12)


def test_interpolation_is_unknown_outside_the_grid(bowl):
    assert np.isnan(interpolate_loss(bowl, 1.01, 0.0))
    assert np.isnan(interpolate_loss(bowl, 0.0, -1.01))


def test_interpolation_is_unknown_beside_a_loss_that_is_not_finite(bowl):
    loss = bowl.loss.copy()
    loss[4, 3] = np.inf
    grid = Grid(bowl.alphas, bowl.betas, loss, bowl.accuracy)
    assert np.isnan(interpolate_loss(grid, 0.1, 0.1))
    assert interpolate_loss(grid, 0.0, 0.0) == np.inf


def test_running_mean_is_the_mean_of_the_iterations_before(sources):
    panel = collect(sources, draw="curve", run="run", epochs=[5], window=4)
    losses = panel["iteration_loss"]
    for iteration, mean in zip(panel["mean_iteration"], panel["running_mean"], strict=True):
        assert mean == pytest.approx(losses[iteration - 3 : iteration + 1].mean())


def test_window_of_the_running_mean_is_an_epoch_by_default(sources):
    assert collect(sources, draw="curve", run="run")["mean_iteration"][0] == 4 - 1


def test_marked_epochs_lie_at_their_steps(sources):
    panel = collect(sources, draw="curve", run="run", epochs=[5, 10])
    np.testing.assert_array_equal(panel["epoch_iterations"], [20, 40])


def test_panels_survive_their_file(sources, tmp_path):
    curve = {"draw": "curve", "run": "run"}
    surface = {"draw": "surface", "grid": "bowl", "marks": ["center"]}
    panels = collect_panels({"figure": "fig", "panels": [curve, surface]}, sources)
    save_panels(tmp_path / "fig.h5", Figure, panels, Provenance("{}", "code", {}))
    loaded = load_panels(tmp_path / "fig.h5", Figure)
    assert {name: set(panel) for name, panel in loaded.items()} == {
        name: set(panel) for name, panel in panels.items()
    }
    np.testing.assert_array_equal(loaded["panel-b"]["loss"], panels["panel-b"]["loss"])


@pytest.mark.parametrize(
    ("panel", "message"),
    [
        (
            {"draw": "pie", "grid": "bowl"},
            "draw is 'pie', expected one of contour, curve",
        ),
        ({"draw": "surface"}, "'surface' needs 'grid'"),
        ({"draw": "surface", "grid": "other"}, "grid/other is not among the inputs"),
        ({"draw": "surface", "grid": "bowl", "marks": ["top"]}, "marks is 'top'"),
        ({"draw": "surface", "grid": "bowl", "trajectory": True}, "needs 'projection'"),
        (
            {
                "draw": "surface",
                "grid": "bowl",
                "projection": "bowl",
                "trajectory": True,
                "heights": "high",
            },
            "heights is 'high', expected one of true, projected",
        ),
        ({"draw": "curve", "run": "run", "epochs": [77]}, "no snapshot at epoch 77"),
        ({"draw": "curve", "run": "run", "window": 41}, "window is 41 iterations"),
    ],
)
def test_what_a_panel_cannot_have_is_named(sources, panel, message):
    with pytest.raises(LossmapError, match=message):
        collect(sources, **panel)
