"""The merge tree is drawn without crossings, every minimum up to where it merges."""

import numpy as np
import pytest

from lossmap.artifacts.provenance import Provenance
from lossmap.artifacts.store import save
from lossmap.artifacts.topology import Topology
from lossmap.figures.collect import collect_panels
from lossmap.figures.compose import draw_figure
from lossmap.figures.panels.merge_tree import place_minima

SPEC = {
    "figure": "fig",
    "columns": 1,
    "options": {},
    "panels": [{"draw": "merge_tree", "topology": "t"}],
}
BIRTH = np.array([0.0, 1.0, 2.0, 3.0, 9.0])
DEATH = np.array([np.inf, 8.0, 5.0, 4.0, 9.5])
PARENT = np.array([-1, 0, 1, 2, -1])


@pytest.fixture
def axes(tmp_path):
    index = np.zeros(5, np.int64)
    dimension = np.array([0, 0, 0, 0, 1])
    sizes = BIRTH, DEATH, DEATH - BIRTH
    found = Topology(dimension, *sizes, index, index, PARENT, 9.5, 0, 2.0, 3, "squared error")
    save(tmp_path / "t.h5", found, Provenance("{}", "c0de", {}))
    panel = collect_panels(SPEC, {"topology/t": tmp_path / "t.h5"})["panel-a"]
    (axes,) = draw_figure(SPEC, {"panel-a": panel}).axes
    return axes


def lines_of(axes, gid):
    (found,) = axes.findobj(lambda item: item.get_gid() == gid)
    return [np.asarray(line).tolist() for line in found.get_segments()]


def test_minima_rise_to_where_they_merge_and_loops_are_left_out(axes):
    top = axes.get_ylim()[1]
    assert lines_of(axes, "deep") == [
        [[0, 0], [0, top]],
        [[1, 1], [1, 8], [0, 8]],
        [[2, 2], [2, 5], [1, 5]],
    ]
    assert lines_of(axes, "shallow") == [[[3, 3], [3, 4], [2, 4]]]


def test_no_line_crosses_another():
    generator = np.random.default_rng(0)
    for _ in range(20):
        count = 12
        death = np.concatenate([[np.inf], np.sort(generator.random(count - 1))[::-1]])
        parent = np.array([-1, *(generator.integers(row) for row in range(1, count))])
        place = place_minima(parent, death)
        assert sorted(place) == list(range(count))
        for row in range(1, count):
            between = (place > place[parent[row]]) & (place < place[row])
            assert (death[between] <= death[row]).all()


def test_the_axis_says_which_loss(axes):
    assert axes.get_ylabel() == "squared error"
