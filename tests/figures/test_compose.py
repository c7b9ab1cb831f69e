"""Panels of a comparison share scale and bar; equal arrays give equal files."""

import os
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest

from lossmap.errors import LossmapError
from lossmap.figures import style
from lossmap.figures.collect import collect_panels
from lossmap.figures.compose import draw_figure
from lossmap.figures.style import save_figure


def spec_of(*panels, columns=2, **options):
    return {"figure": "fig", "columns": columns, "options": options, "panels": list(panels)}


def named(figure, label):
    return [axes for axes in figure.axes if axes.get_label() == label]


def surface_of(figure, label):
    (axes,) = named(figure, label)
    return axes.findobj(lambda item: item.get_gid() == "surface")[0]


@pytest.fixture
def pair(landscape):
    return {"panel-a": landscape(1.0), "panel-b": landscape(100.0)}


def test_panels_that_share_have_one_norm_one_axis_and_one_bar(pair):
    panels = [{"draw": "surface", "title": title, "share": "run"} for title in ("FN", "PCA")]
    figure = draw_figure(spec_of(*panels), pair)
    first, second = (surface_of(figure, label) for label in ("panel-a", "panel-b"))
    assert first.norm is second.norm
    assert first.axes.get_zlim() == second.axes.get_zlim()
    assert len(named(figure, "loss")) == 1


def test_panels_that_do_not_share_have_their_own(pair):
    figure = draw_figure(spec_of({"draw": "surface"}, {"draw": "surface"}), pair)
    first, second = (surface_of(figure, label) for label in ("panel-a", "panel-b"))
    assert first.norm.vmax < second.norm.vmax
    assert len(named(figure, "loss")) == 2


def test_a_share_may_be_named_like_a_panel(pair):
    figure = draw_figure(
        spec_of({"draw": "surface", "share": "panel-b"}, {"draw": "surface"}), pair
    )
    assert len(named(figure, "loss")) == 2


def test_surface_and_contour_share_their_colors(pair):
    panels = [{"draw": draw, "share": "run"} for draw in ("surface", "contour")]
    figure = draw_figure(spec_of(*panels), pair)
    (axes,) = named(figure, "panel-b")
    filled = axes.findobj(lambda item: item.get_gid() == "map")[0]
    assert filled.norm is surface_of(figure, "panel-a").norm


def test_panels_have_letters_titles_and_rows(landscape):
    panels = {f"panel-{letter}": landscape() for letter in "abc"}
    figure = draw_figure(spec_of(*[{"draw": "contour", "title": "PCA"}] * 3), panels)
    titles = [text.get_text() for text in figure.texts]
    assert titles == ["(a) PCA", "(b) PCA", "(c) PCA"]
    places = [named(figure, name)[0].get_position() for name in panels]
    assert places[0].y0 == pytest.approx(places[1].y0)
    assert places[2].y1 < places[0].y0
    assert places[0].x0 == pytest.approx(places[2].x0)


def test_marks_are_explained_once(pair):
    figure = draw_figure(spec_of({"draw": "surface"}, {"draw": "surface"}), pair)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["center"]


def test_epochs_of_a_trajectory_have_a_bar(landscape):
    trajectory = np.column_stack([np.linspace(0, 0.5, 5)] * 2 + [np.ones(5)])
    panels = {"panel-a": landscape(trajectory=trajectory, epochs=np.arange(5))}
    figure = draw_figure(spec_of({"draw": "surface"}, columns=1), panels)
    assert len(named(figure, "epochs")) == 1


def test_scale_enlarges_size_text_and_lines_alike(pair):
    panels = [{"draw": "contour"}, {"draw": "surface"}]
    small, large = (draw_figure(spec_of(*panels, scale=scale), pair) for scale in (1.0, 2.0))
    np.testing.assert_allclose(large.get_size_inches(), 2 * small.get_size_inches())
    assert large.texts[0].get_fontsize() == 2 * small.texts[0].get_fontsize()
    marks = [
        named(figure, "panel-a")[0].findobj(lambda item: item.get_gid() == "center")[0]
        for figure in (small, large)
    ]
    assert marks[1].get_markersize() == 2 * marks[0].get_markersize()


def test_width_is_that_of_the_column_at_which_text_keeps_its_size(pair):
    panels = [{"draw": "contour", "title": "a title long enough to be wrapped", "trajectory": True}]
    page, column = (draw_figure(spec_of(*panels * 2, **o), pair) for o in ({}, {"width": 8.0}))
    np.testing.assert_allclose(column.get_size_inches()[0] * 2.54, 8.0)
    assert column.texts[0].get_fontsize() == page.texts[0].get_fontsize() == 7
    renderer = column.canvas.get_renderer()
    for text in (*column.texts, *(legend for legend in column.legends)):
        box = text.get_window_extent(renderer)
        assert 0 <= box.x0 <= box.x1 <= column.bbox.x1


def test_titles_of_a_row_begin_on_one_line(pair):
    panels = [{"draw": "contour", "title": title} for title in ("short", "long " * 20)]
    figure = draw_figure(spec_of(*panels), pair)
    short, long = figure.texts[:2]
    assert long.get_text().count("\n") >= 1 > short.get_text().count("\n")
    tops = [text.get_window_extent(figure.canvas.get_renderer()).y1 for text in (short, long)]
    np.testing.assert_allclose(*tops, atol=2)


def test_no_text_leaves_the_page_or_covers_a_bar(pair):
    panels = [{"draw": "surface", "title": "a title long enough to be wrapped"}] * 2
    for columns in (1, 2, 4):
        figure = draw_figure(spec_of(*panels, columns=columns), pair)
        renderer = figure.canvas.get_renderer()
        page = figure.bbox
        bars = [axes.get_window_extent(renderer) for axes in named(figure, "loss")]
        for label in ("panel-a", "panel-b"):
            (axes,) = named(figure, label)
            for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
                box = axis.get_tightbbox(renderer)
                assert page.x0 <= box.x0 <= box.x1 <= page.x1
                assert page.y0 <= box.y0 <= box.y1 <= page.y1
                assert not any(box.overlaps(bar) for bar in bars)


def test_curve_draws_losses_mean_and_epochs(sources):
    spec = spec_of({"draw": "curve", "run": "run", "epochs": [5]}, columns=1)
    panels = collect_panels(spec, sources)
    (axes,) = named(draw_figure(spec, panels), "panel-a")
    panel = panels["panel-a"]
    for gid, x, y in (
        ("iteration-loss", "iteration", "iteration_loss"),
        ("running-mean", "mean_iteration", "running_mean"),
    ):
        (line,) = axes.findobj(lambda item, gid=gid: item.get_gid() == gid)
        np.testing.assert_array_equal(line.get_xdata(), panel[x])
        np.testing.assert_array_equal(line.get_ydata(), panel[y])
    (epoch,) = axes.findobj(lambda item: item.get_gid() == "epoch")
    np.testing.assert_array_equal(epoch.get_xdata(), [20, 20])
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("iteration", "loss (nats)")


def test_drawing_needs_nothing_but_the_panels(sources):
    marks = ["center", "converged"]
    spec = spec_of(
        {"draw": "surface", "grid": "bowl", "basis": "bowl", "marks": marks},
        {"draw": "contour", "grid": "bowl", "projection": "bowl", "trajectory": True},
        {"draw": "curve", "run": "run"},
    )
    panels = collect_panels(spec, sources)
    for path in sources.values():
        path.unlink()
    assert len(draw_figure(spec, panels).axes) == 3 + 2 + 1


def test_settings_of_the_account_change_nothing(pair, tmp_path):
    spec = spec_of({"draw": "contour"}, {"draw": "surface"}, dpi=50)
    draw_and_save(spec, pair, tmp_path / "plain")
    with mpl.rc_context({"font.size": 30, "lines.linewidth": 9, "savefig.bbox": "tight"}):
        draw_and_save(spec, pair, tmp_path / "account")
    assert_same_files(tmp_path / "plain", tmp_path / "account")


def draw_and_save(spec, panels, folder):
    save_figure(draw_figure(spec, panels), folder / "fig.pdf", folder / "fig.png")


def assert_same_files(first, second):
    for name in ("fig.pdf", "fig.png"):
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_equal_panels_give_equal_bytes_in_another_process(pair, tmp_path):
    program = """
import sys, numpy as np
from pathlib import Path
from lossmap.figures.compose import draw_figure
from lossmap.figures.style import save_figure
x = np.linspace(-1, 1, 7)
loss = 10.0 ** (x[:, None] ** 2 + x)
panel = {"alphas": x, "betas": x, "loss": loss, "center": np.array([0, 0, 1.0])}
panels = {"panel-a": panel, "panel-b": panel}
spec = {"figure": "fig", "columns": 2, "options": {"dpi": 50}, "panels": [
    {"draw": "surface", "title": "FN · PCA"}, {"draw": "contour"}]}
folder = Path(sys.argv[1])
save_figure(draw_figure(spec, panels), folder / "fig.pdf", folder / "fig.png")
assert "matplotlib.pyplot" not in sys.modules and "torch" not in sys.modules
"""
    root = Path(style.__file__).parents[2]
    for seed in ("1", "2"):
        environment = os.environ | {
            "PYTHONHASHSEED": seed,
            "PYTHONPATH": str(root),
            "SOURCE_DATE_EPOCH": str(1000 * int(seed)),
        }
        command = [sys.executable, "-c", program, str(tmp_path / seed)]
        subprocess.run(command, check=True, env=environment)
    assert_same_files(tmp_path / "1", tmp_path / "2")


def test_saving_leaves_only_the_two_files(pair, tmp_path):
    spec = spec_of({"draw": "contour"}, {"draw": "contour"}, dpi=50)
    draw_and_save(spec, pair, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fig.pdf", "fig.png"]


def test_an_unwritable_folder_is_named(pair, tmp_path):
    (tmp_path / "file").write_text("")
    spec = spec_of({"draw": "contour"}, {"draw": "contour"}, dpi=50)
    with pytest.raises(LossmapError, match=r"fig\.pdf: cannot be written"):
        draw_and_save(spec, pair, tmp_path / "file")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"color_map": "viridis"}, "unknown option 'color_map', expected colormap"),
        ({"colormap": "viridisch"}, "no colormap 'viridisch'"),
        ({"z_scale": "square"}, "got 'square', expected one of log, linear"),
    ],
)
def test_an_impossible_option_is_named(pair, options, message):
    with pytest.raises(LossmapError, match=message):
        draw_figure(spec_of({"draw": "surface"}, {"draw": "surface"}, **options), pair)


def test_source_data_of_another_figure_are_refused(landscape):
    with pytest.raises(LossmapError, match="2 panels declared, but the source data hold panel-a"):
        draw_figure(spec_of({"draw": "surface"}, {"draw": "surface"}), {"panel-a": landscape()})


def test_legend_explains_a_mark_that_is_hollow(landscape):
    panel = landscape(converged=np.array([1.5, 0.0, np.nan]))
    spec = {"figure": "fig", "columns": 1, "panels": [{"draw": "contour"}]}
    (legend,) = draw_figure(spec, {"panel-a": panel}).legends
    words = [text.get_text() for text in legend.get_texts()]
    assert words == ["center", "converged point, projected, loss unknown"]
