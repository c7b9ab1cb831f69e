"""What a configuration says of a figure's look reaches the drawing; a kind of panel is one file."""

from pathlib import Path

import numpy as np
import pytest

from lossmap.figures import panels
from lossmap.figures.collect import collect_panels
from lossmap.figures.compose import draw_figure
from lossmap.workflow.configuration import load_configuration
from lossmap.workflow.specs import figure_spec

CONFIG = Path(__file__).resolve().parents[2] / "config"
RUN, GRID, PROJECTION = "c10-resnet20", "c10-resnet20-pca-last", "c10-resnet20-pca-batch"
CURVE = {"draw": "curve", "run": RUN}
SURFACE = {"draw": "surface", "grid": GRID, "projection": PROJECTION, "trajectory": True}


@pytest.fixture
def draw(sources):
    """Return a function that draws one panel as a configuration gives it: its arrays and axes."""

    def make(panel, style=None, **options):
        figure = {"columns": 1, "panels": [panel], "options": options}
        given = {"figures": {"mine_fig1": figure}, "style": style or {}}
        config = load_configuration(CONFIG, given)
        basis = config["grids"][GRID]["basis"]
        named = {
            f"trajectory/{RUN}": sources["trajectory/run"],
            f"grid/{GRID}": sources["grid/bowl"],
            f"projection/{PROJECTION}": sources["projection/bowl"],
            f"basis/{basis}": sources["basis/bowl"],
        }
        spec = figure_spec(config, "mine_fig1")
        found = collect_panels(spec, named)
        (axes,) = [a for a in draw_figure(spec, found).axes if a.get_label() == "panel-a"]
        return found["panel-a"], axes

    return make


def artist(axes, gid):
    (found,) = axes.findobj(lambda item: item.get_gid() == gid)
    return found


def test_scale_of_a_curve(draw):
    assert draw(CURVE)[1].get_yscale() == "linear"
    assert draw(CURVE | {"y_scale": "log"})[1].get_yscale() == "log"


def test_window_of_a_curve(draw):
    panel, axes = draw(CURVE | {"window": 7})
    assert panel["mean_iteration"][0] == 7 - 1
    assert len(artist(axes, "running-mean").get_xdata()) == 40 - 7 + 1


@pytest.mark.parametrize("where", ["panel", "options", "style"])
def test_camera_of_a_surface(draw, where):
    camera = {"elevation": 11, "azimuth": 22}
    if where == "panel":
        axes = draw(SURFACE | camera, elevation=80, azimuth=80)[1]
    else:
        axes = draw(SURFACE, **{where: camera} if where == "style" else camera)[1]
    assert (axes.elev, axes.azim) == (11, 22)


@pytest.mark.parametrize("where", ["options", "style"])
def test_colormap_of_trajectories(draw, where):
    chosen = {"trajectory_colormap": "cividis"}
    axes = draw(SURFACE, **{"style": chosen} if where == "style" else chosen)[1]
    assert artist(axes, "trajectory").get_cmap().name == "cividis"


@pytest.mark.parametrize("where", ["panel", "options", "style"])
def test_heights_of_a_trajectory(draw, descent, where):
    chosen = {"heights": "projected"}
    panel = {
        "panel": lambda: draw(SURFACE | chosen, heights="true"),
        "options": lambda: draw(SURFACE, **chosen),
        "style": lambda: draw(SURFACE, chosen),
    }[where]()[0]
    np.testing.assert_array_equal(panel["trajectory"][:, 2], 1.5 * descent[1])


def test_a_kind_of_panel_is_one_file(tmp_path, monkeypatch):
    (tmp_path / "stub.py").write_text("""
from lossmap.figures.panel import Family, Kind

def collect(panel, spec, sources, where):
    return {"heights": [len(panel["word"])]}

def plot(axes, cell, comparison, options):
    axes.bar([0], cell.panel["heights"], gid="bar")
    return axes

KIND = Kind(Family("stub"), collect, plot, aspect=1.0, inset=(0.2, 0.2, 0.2, 0.2))
""")
    monkeypatch.setattr(panels, "__path__", [*panels.__path__, str(tmp_path)])
    entry = {"draw": "stub", "word": "four"}
    spec = {"figure": "fig", "columns": 1, "options": {}, "panels": [entry]}
    found = collect_panels(spec, {})
    (axes,) = draw_figure(spec, found).axes
    assert axes.patches[0].get_height() == 4
