from dataclasses import replace

import numpy as np
import pytest

from lossmap.geometry.interpolation import interpolate_loss
from lossmap.interactive.landscape import MAP, POINTS, SURFACE, Center, draw_landscape


def bowl(name="epoch 0", path=None, epochs=None, size=5):
    alphas, betas = np.linspace(-1, 1, size), np.linspace(-1, 1, size + 2)
    loss = 1.0 + alphas[:, None] ** 2 + 3.0 * betas[None] ** 2
    return Center(name, alphas, betas, loss, 1.0 / (1.0 + loss), path, epochs)


def trace(figure, kind):
    return next(figure.select_traces({"type": kind}))


def test_surface_and_map_show_the_loss_at_its_alpha_and_beta():
    center = bowl()
    figure = draw_landscape([center])
    surface = trace(figure, "surface")
    i, j = 1, 4
    assert surface.x[i] == center.alphas[i]
    assert surface.y[j] == center.betas[j]
    assert surface.z[j][i] == pytest.approx(center.loss[i, j])
    assert surface.customdata[j][i][1] == pytest.approx(center.accuracy[i, j])
    assert trace(figure, "heatmap").z[j][i] == pytest.approx(np.log10(center.loss[i, j]))


def test_path_lies_on_the_surface_and_leaves_out_what_lies_outside():
    path = np.array([[0.5, 0.5], [3.0, 0.0], [1.0, 1.0], [-1.0, -1.0]])
    figure = draw_landscape([bowl(path=path, epochs=np.arange(4), size=201)])
    drawn = trace(figure, "scatter3d")
    wanted = 1.0 + path[:, 0] ** 2 + 3.0 * path[:, 1] ** 2
    assert np.isnan([drawn.x[1], drawn.z[1]]).all()
    assert np.delete(drawn.z, 1) == pytest.approx(np.delete(wanted, 1), rel=1e-3)
    assert drawn.text[3] == "epoch 3"


def test_losses_that_are_not_finite_are_gaps():
    center = bowl()
    center.loss[0, 0], center.loss[1, 1] = np.inf, np.nan
    surface = trace(draw_landscape([center]), "surface")
    assert np.isnan([surface.z[0][0], surface.z[1][1]]).all()
    assert np.isfinite(surface.cmax)


def test_centers_are_stops_of_a_slider_and_share_colors():
    low, high = bowl("epoch 0"), bowl("epoch 9")
    high.loss[:] *= 100.0
    figure = draw_landscape([low, high])
    (slider,) = figure.layout.sliders
    assert [step.label for step in slider.steps] == ["epoch 0", "epoch 9"]
    assert [frame.name for frame in figure.frames] == ["epoch 0", "epoch 9"]
    assert figure.frames[1].data[0].z[0][0] == pytest.approx(high.loss[0, 0])
    assert trace(figure, "surface").cmax == pytest.approx(np.log10(high.loss.max()))


def test_a_single_center_has_no_slider():
    assert not draw_landscape([bowl()]).layout.sliders[0].visible


def test_view_switch_shows_either_the_surface_or_the_map():
    menu = draw_landscape([bowl()]).layout.updatemenus[0]
    shown = [button.args[0]["visible"] for button in menu.buttons]
    assert shown == [[True] * 3 + [False] * 3, [False] * 3 + [True] * 3]


def test_points_of_the_plane_stand_on_the_surface_and_on_the_map():
    points = np.array([[0.0, 0.0], [0.5, -0.25], [3.0, 0.0]])
    figure = draw_landscape([replace(bowl(), points=points)])
    on_surface, on_map = (figure.data[traces[2]] for traces in (SURFACE, MAP))
    center = bowl()
    assert on_surface.z[1] == pytest.approx(interpolate_loss(center, 0.5, -0.25), rel=1e-6)
    for trace in (on_surface, on_map):
        assert list(trace.x[:2]) == [0.0, 0.5]
        assert np.isnan(trace.x[2]), "outside of the square"
        assert trace.text == POINTS
    assert (on_surface.visible, on_map.visible) == (None, False)
