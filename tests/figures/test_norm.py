"""The norm panel draws the mean over runs and their range."""

import numpy as np
import pytest

from lossmap.artifacts.layout import Layout
from lossmap.artifacts.provenance import Provenance
from lossmap.artifacts.store import save
from lossmap.artifacts.trajectory import History, Trajectory
from lossmap.errors import LossmapError
from lossmap.figures.collect import collect_panels
from lossmap.figures.compose import draw_figure

EPOCHS = np.arange(4)


def series_of(**series):
    panel = {"label_names": list(series)}
    for index, norms in enumerate(series.values()):
        panel |= {f"epochs_{index}": np.arange(len(norms[0])), f"norm_{index}": np.array(norms)}
    return panel


def draw(panel):
    spec = {"figure": "fig", "columns": 1, "options": {}, "panels": [{"draw": "norm"}]}
    return draw_figure(spec, {"panel-a": panel})


def one(figure, gid):
    (found,) = figure.axes[0].findobj(lambda item: item.get_gid() == gid)
    return found


def save_run(path, norms, epochs=EPOCHS):
    curve = np.ones(len(epochs))
    history = History(
        epochs, *(curve,) * 4, np.asarray(norms, float), steps=epochs, iteration_loss=np.ones(4)
    )
    layouts = Layout(["weight"], ["linear"], [(3,)]), Layout(["mean"], ["buffer"], [(1,)])
    thetas, buffers = np.zeros((len(epochs), 3), np.float32), np.zeros((len(epochs), 1), np.float32)
    tensors = (layout.to_tensors() for layout in layouts)
    save(path, Trajectory(thetas, buffers, history, *tensors), Provenance("{}", "code", {}))


@pytest.fixture
def runs(tmp_path):
    found = {f"trajectory/{name}": tmp_path / f"{name}.h5" for name in ("a", "b", "short")}
    save_run(found["trajectory/a"], [10, 20, 30, 40])
    save_run(found["trajectory/b"], [10, 40, 50, 60])
    save_run(found["trajectory/short"], [10, 20], EPOCHS[:2])
    return found


def collect(runs, series):
    entry = {"draw": "norm", "series": series}
    spec = {"figure": "fig", "columns": 1, "options": {}, "panels": [entry]}
    return collect_panels(spec, runs)["panel-a"]


def test_collected_norms_are_the_runs_one_row_each(runs):
    panel = collect(runs, [{"label": "SGD", "runs": ["a", "b"]}, {"label": "x", "runs": ["short"]}])
    assert panel["label_names"] == ["SGD", "x"]
    np.testing.assert_array_equal(panel["norm_0"], [[10, 20, 30, 40], [10, 40, 50, 60]])
    np.testing.assert_array_equal(panel["epochs_1"], [0, 1])


def test_line_is_the_mean_and_band_the_range_of_the_runs():
    figure = draw(series_of(SGD=[[10, 20, 30], [10, 40, 50]]))
    np.testing.assert_allclose(one(figure, "mean-0").get_ydata(), [10, 30, 40])
    (band,) = one(figure, "range-0").get_paths()
    assert {tuple(vertex) for vertex in band.vertices} >= {(1, 20), (1, 40), (2, 30), (2, 50)}
    assert figure.axes[0].get_yscale() == "log"


def test_a_single_run_has_no_band():
    figure = draw(series_of(SGD=[[10, 20, 30]]))
    assert not figure.axes[0].collections
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["SGD"]


def test_legend_names_every_series_and_the_band():
    figure = draw(series_of(SGD=[[1, 2], [1, 3]], Adam=[[1, 20], [1, 30]]))
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == ["SGD", "Adam", "range of the runs"]


def test_series_differ_in_color_and_dashes():
    figure = draw(series_of(SGD=[[1, 2]], Adam=[[1, 20]]))
    first, second = one(figure, "mean-0"), one(figure, "mean-1")
    assert first.get_color() != second.get_color()
    assert first.get_linestyle() != second.get_linestyle()


def test_ticks_are_round_and_inside():
    axes = draw(series_of(SGD=[[21, 31]], Adam=[[21, 570]])).axes[0]
    low, high = axes.get_ylim()
    assert [tick for tick in axes.get_yticks() if low <= tick <= high] == [20, 50, 100, 200, 500]


def test_norms_that_are_not_finite_are_counted_and_left_out():
    figure = draw(series_of(SGD=[[10, 20, np.inf], [10, 40, np.nan]]))
    np.testing.assert_array_equal(one(figure, "mean-0").get_xdata(), [0, 1])
    assert one(figure, "notes").get_text() == "not finite: 2 of 6 norms"


@pytest.mark.parametrize(
    ("series", "message"),
    [
        ([], "'norm' needs 'series'"),
        ([{"label": "SGD", "runs": []}], "series 'SGD' names no run"),
        ([{"label": "SGD", "runs": ["c"]}], "trajectory/c is not among the inputs"),
        (
            [{"label": "SGD", "runs": ["a", "short"]}],
            "run 'short' kept 2 epochs up to 1, but 'a' of the same series 4 up to 3",
        ),
    ],
)
def test_what_a_norm_panel_cannot_have_is_named(runs, series, message):
    with pytest.raises(LossmapError, match=message):
        collect(runs, series)
