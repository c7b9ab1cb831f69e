"""The persistence panel draws every class at its birth and death."""

import numpy as np
import pytest

from lossmap.artifacts.provenance import Provenance
from lossmap.artifacts.store import save
from lossmap.artifacts.topology import Topology
from lossmap.figures.collect import collect_panels
from lossmap.figures.compose import draw_figure

SPEC = {
    "figure": "fig",
    "columns": 1,
    "options": {},
    "panels": [{"draw": "persistence", "topology": "t"}],
}


@pytest.fixture
def draw(tmp_path):
    """Return a function that draws a topology; gives its axes and the figure."""

    def make(is_log: int, dimension=(0, 0, 1), label=None):
        count = np.zeros(3, np.int64)
        birth, death = np.array([0.01, 1.0, 2.0]), np.array([np.inf, 10.0, 100.0])
        persistence = np.log10(death / birth) if is_log else death - birth
        found = Topology(
            np.array(dimension),
            birth,
            death,
            persistence,
            count,
            count,
            count - 1,
            100.0,
            is_log,
            0.5,
            2,
            label,
        )
        save(tmp_path / "t.h5", found, Provenance("{}", "c0de", {}))
        panel = collect_panels(SPEC, {"topology/t": tmp_path / "t.h5"})["panel-a"]
        figure = draw_figure(SPEC, {"panel-a": panel})
        return figure.axes[0], figure

    return make


def points_of(axes, dimension):
    (line,) = axes.findobj(lambda item: item.get_gid() == f"dimension-{dimension}")
    return line.get_xydata().tolist()


def test_classes_lie_at_birth_and_death_and_the_endless_on_the_edge(draw):
    for is_log, scale in ((1, np.log10), (0, float)):
        axes, _ = draw(is_log)
        (first, second), (loop,) = points_of(axes, 0), points_of(axes, 1)
        assert first == [scale(0.01), axes.get_ylim()[1]]
        assert second == pytest.approx([scale(1.0), scale(10.0)])
        assert loop == pytest.approx([scale(2.0), scale(100.0)])


def test_band_is_as_wide_as_the_threshold_on_the_scale(draw):
    axes, _ = draw(1)
    (band,) = axes.findobj(lambda item: item.get_gid() == "threshold")
    vertices = {tuple(vertex) for vertex in np.round(band.get_paths()[0].vertices, 9)}
    low, high = axes.get_xlim()
    for end in (low, high):
        assert {(round(end, 9), round(end, 9)), (round(end, 9), round(end + 0.5, 9))} <= vertices


def test_ticks_are_losses_in_nats(draw):
    axes, _ = draw(1)
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels == ["0.01", "1", "100"]


def test_words_say_how_many_minima_there_are_and_what_the_marks_are(draw):
    axes, figure = draw(1)
    (notes,) = axes.findobj(lambda item: item.get_gid() == "notes")
    assert notes.get_text() == "2 minima, 2 deep"
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == ["minimum", "loop around higher loss", "too shallow to count"]
    words = [text.get_text() for text in draw(1, (0, 0, 0))[1].legends[0].get_texts()]
    assert words == ["minimum", "too shallow to count"]


def test_the_axes_say_which_loss(draw):
    for label, shown in ((None, "loss (nats)"), ("squared error", "squared error")):
        axes, _ = draw(1, label=label)
        assert (axes.get_xlabel(), axes.get_ylabel()) == (f"birth: {shown}", f"death: {shown}")
