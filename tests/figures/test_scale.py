"""Heights, norms and tick labels agree with the losses they stand for."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from lossmap.errors import LossmapError
from lossmap.figures.scale import fit_scale, format_loss, tick_epochs


def test_height_is_the_logarithm_and_inverts():
    scale = fit_scale("log", [np.array([0.01, 100.0])])
    np.testing.assert_allclose(scale.to_height([0.01, 100.0]), [-2, 2])
    np.testing.assert_allclose(scale.to_loss(scale.to_height([0.3, 7.0])), [0.3, 7.0])


@pytest.mark.parametrize("loss", [np.inf, -np.inf, np.nan, 0.0, -1.0])
def test_what_has_no_logarithm_has_no_height(loss):
    assert np.isnan(fit_scale("log", [np.array([1.0, 2.0])]).to_height(loss))


def test_linear_height_of_zero_is_zero():
    assert fit_scale("linear", [np.array([0.0, 2.0])]).to_height(0.0) == 0.0


def test_norm_spans_the_finite_losses_of_all_grids():
    scale = fit_scale("log", [np.array([0.1, np.inf]), np.array([np.nan, 1000.0])])
    assert (scale.norm.vmin, scale.norm.vmax) == pytest.approx((-1, 3))


def test_marks_widen_the_axis_but_not_the_colors():
    scale = fit_scale("log", [np.array([0.1, 10.0])], [np.array([0.001, np.nan])])
    assert (scale.norm.vmin, scale.norm.vmax) == pytest.approx((-1, 1))
    assert (scale.bottom, scale.top) == pytest.approx((-3, 1))


@pytest.mark.parametrize("losses", [[np.inf, np.nan], [2.3, 2.3], [1.0, 1.0]])
def test_a_landscape_without_range_still_has_a_scale(losses):
    for name in ("log", "linear"):
        scale = fit_scale(name, [np.array(losses)])
        assert scale.bottom < scale.top
        assert len(scale.choose_levels(scale.bottom, scale.top, 6)) >= 1


@pytest.mark.parametrize("name", ["log", "linear"])
@pytest.mark.parametrize("span", [(2.3, 2.31), (0.9, 9.0), (1e-3, 1e4), (3e-9, 7e17)])
def test_levels_are_few_round_and_inside(name, span):
    scale = fit_scale(name, [np.array(span)])
    levels = scale.choose_levels(scale.bottom, scale.top, 6)
    assert 2 <= len(levels) <= 6
    heights, slack = scale.to_height(levels), 1e-6 * (scale.top - scale.bottom)
    assert scale.bottom - slack <= heights.min() < heights.max() <= scale.top + slack


def test_ticks_stand_at_the_heights_of_their_labels():
    axes = Figure().add_subplot()
    scale = fit_scale("log", [np.array([0.05, 300.0])])
    axes.set_ylim(scale.bottom, scale.top)
    scale.set_ticks(axes.yaxis, scale.bottom, scale.top, at_most=6)
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["0.1", "1", "10", "100"]
    np.testing.assert_allclose(axes.get_yticks(), np.log10([float(label) for label in labels]))


def test_panels_of_a_comparison_share_their_contours():
    scale = fit_scale("log", [np.array([1e-3, 1e4])])
    wide = scale.choose_contours(np.array([-3.0, 4.0]), 14)
    narrow = scale.choose_contours(np.array([-1.5, 2.5]), 14)
    assert set(narrow) <= set(wide)


def test_a_flat_panel_gets_contours_of_its_own():
    scale = fit_scale("log", [np.array([1e-3, 1e4])])
    assert len(scale.choose_contours(np.log10([2.1, 2.9]), 14)) >= 3


@pytest.mark.parametrize(
    ("loss", "label"),
    [
        (0.001, "0.001"),
        (2.3, "2.3"),
        (0.1 + 0.2, "0.3"),
        (5000.0, "5000"),
        (1e4, "$10^{4}$"),
        (2e-4, r"$2\!\cdot\!10^{-4}$"),
        (0, "0"),
    ],
)
def test_labels_are_plain_where_they_are_short(loss, label):
    assert format_loss(loss) == label


def test_unknown_scale_is_refused():
    with pytest.raises(LossmapError, match="got 'square', expected one of log, linear"):
        fit_scale("square", [np.ones(2)])


@pytest.mark.parametrize(("last", "length"), [(6, 2.0), (24, 2.0), (51, 3.2), (100, 1.2), (1, 2.0)])
def test_epochs_are_ticked_at_integers_and_at_the_last(last, length):
    ticks = tick_epochs(0, last, length)
    assert ticks[-1] == last
    assert all(tick == int(tick) for tick in ticks)
    assert (np.diff(ticks) > 0).all()
    assert np.diff(ticks)[-1] >= 0.5 * np.diff(ticks).max()


@pytest.mark.parametrize("ratio", np.geomspace(1.01, 3e4, 40))
@pytest.mark.parametrize("low", [1.0, 1.3, 2.2, 3.1, 4.6, 7.4])
def test_an_axis_that_asks_for_four_ticks_has_four_and_can_be_read(low, ratio):
    axes = Figure().add_subplot()
    scale = fit_scale("log", [np.array([low, low * ratio])])
    scale.set_ticks(axes.yaxis, scale.bottom, scale.top, at_most=4, at_least=4)
    ticks = axes.yaxis.get_major_locator().locs
    assert 4 <= len(ticks) <= 9
    assert scale.bottom - 1e-9 <= min(ticks) < max(ticks) <= scale.top + 1e-9
