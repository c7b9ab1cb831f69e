"""Embedding panels: every color, mark and word is what its definition says."""

import itertools

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from lossmap.artifacts.distance import Origins
from lossmap.artifacts.embedding import CONTINUITY, Embedding
from lossmap.artifacts.figure import Figure, load_panels, save_panels
from lossmap.artifacts.provenance import Provenance
from lossmap.artifacts.store import save
from lossmap.errors import LossmapError
from lossmap.figures.collect import collect_panels
from lossmap.figures.compose import draw_figure
from lossmap.figures.embedding import points as drawing
from lossmap.figures.embedding.points import draw_order, segments_of
from lossmap.figures.hues import (
    HUES,
    LIGHTEST,
    flat_colors,
    from_oklab,
    ramp,
    step_colors,
    to_oklab,
    visible_map,
)
from lossmap.figures.style import GOLD, save_figure

PROVENANCE = Provenance("{}", "code", {})
DEUTERANOPIA = [
    [0.367322, 0.860646, -0.227968],
    [0.280085, 0.672501, 0.047413],
    [-0.011820, 0.042940, 0.968881],
]
PROTANOPIA = [
    [0.152286, 1.052583, -0.204868],
    [0.114503, 0.786281, 0.099216],
    [-0.003882, -0.048116, 1.051998],
]
"""Machado, Oliveira and Fernandes (2009), severity 1.0, on linear RGB."""


def draw(panels, specs=None, columns=2, **options):
    specs = specs or [{}] * len(panels)
    named = {f"panel-{letter}": panel for letter, panel in zip("abcdefgh", panels, strict=False)}
    entries = [{"draw": "embedding", "color": "direction"} | spec for spec in specs]
    spec = {"figure": "fig", "columns": columns, "options": options, "panels": entries}
    return draw_figure(spec, named)


def axes_of(figure, label):
    return [axes for axes in figure.axes if axes.get_label() == label]


def one(figure, gid, panel="panel-a"):
    (axes,) = axes_of(figure, panel)
    (found,) = axes.findobj(lambda item: item.get_gid() == gid)
    return found


def words_of(figure):
    return [[text.get_text() for text in legend.get_texts()] for legend in figure.legends]


def colors_by_row(figure, panel):
    """Return the drawn color of each row of the cloud, NaN where none is drawn."""
    found = np.full((len(panel["epoch"]), 3), np.nan)
    found[draw_order(panel)] = one(figure, "points").get_facecolors()[:, :3]
    return found


def lightness(colors):
    return to_oklab(colors)[:, 0]


@pytest.mark.parametrize(("hue", "sign"), [("ascending", -1), ("descending", 1)])
def test_retraining_darkens_an_ascending_hue_and_whitens_a_descending_one(jump_cloud, hue, sign):
    panel = jump_cloud(epochs=6)
    colors = colors_by_row(draw([panel], [{"hue": hue}]), panel)
    for index in np.unique(panel["trajectory"]):
        steps = np.diff(lightness(colors[panel["trajectory"] == index]))
        assert (sign * steps > 0).all()


def test_color_of_a_point_is_its_direction_s_hue_at_its_epoch(jump_cloud):
    panel = jump_cloud(epochs=5)
    colors = colors_by_row(draw([panel]), panel)
    for row in range(len(panel["epoch"])):
        hue = [3, 7].index(panel["direction"][row])
        expected = ramp(hue, 2)(panel["epoch"][row] / 4)[:3]
        np.testing.assert_allclose(colors[row], expected)


def test_a_direction_has_one_hue_in_all_panels(jump_cloud):
    both, second = jump_cloud(), jump_cloud(directions=(7,))
    figure = draw([both, second])
    found = one(figure, "points", "panel-b").get_facecolors()[0]
    np.testing.assert_allclose(found, ramp(1, 2)(0.0))


def test_no_color_of_a_ramp_vanishes_on_white():
    ramps = [ramp(index, len(HUES))(np.linspace(0, 1, 50))[:, :3] for index in range(len(HUES))]
    maps = [visible_map(name)(np.linspace(0, 1, 50))[:, :3] for name in ("plasma_r", "viridis")]
    for colors in [*ramps, *maps]:
        assert lightness(colors).max() <= LIGHTEST + 1e-3


def test_five_hues_differ_for_every_eye_at_equal_lightness():
    for shade in (0.3, 0.5, 0.75):
        colors = np.array([ramp(index, 5)(shade)[:3] for index in range(5)])
        linear = np.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4)
        for matrix, least in ((np.eye(3), 0.07), (DEUTERANOPIA, 0.035), (PROTANOPIA, 0.035)):
            seen = np.clip(linear @ np.transpose(matrix), 0, 1)
            encoded = np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)
            chroma = to_oklab(encoded)[:, 1:]
            pairs = itertools.combinations(chroma, 2)
            assert min(np.linalg.norm(a - b) for a, b in pairs) > least


def test_oklab_is_inverted_and_knows_white_and_black():
    colors = np.random.default_rng(0).uniform(0, 1, (50, 3))
    np.testing.assert_allclose(from_oklab(to_oklab(colors)), colors, atol=1e-4)
    ends = to_oklab(np.array([[1.0, 1, 1], [0, 0, 0]]))
    np.testing.assert_allclose(ends, [[1, 0, 0], [0, 0, 0]], atol=1e-6)


def test_points_are_drawn_by_epoch_then_trajectory(jump_cloud):
    panel = jump_cloud()
    order = draw_order(panel)
    keys = list(zip(panel["epoch"][order], panel["trajectory"][order], strict=True))
    assert keys == sorted(keys)
    drawn = one(draw([panel]), "points").get_offsets()
    np.testing.assert_array_equal(drawn, panel["points"][order])


def test_lines_join_the_epochs_of_a_trajectory_and_nothing_else(jump_cloud):
    panel = jump_cloud(epochs=4, optimum=True)
    pairs = segments_of(panel, draw_order(panel))
    assert len(pairs) == 4 * 3
    for first, second in pairs:
        assert panel["trajectory"][first] == panel["trajectory"][second] >= 0
        assert panel["epoch"][second] - panel["epoch"][first] == 1
    assert len(one(draw([panel]), "lines").get_segments()) == len(pairs)


def test_lines_can_be_left_out(jump_cloud):
    figure = draw([jump_cloud()], lines=False)
    (axes,) = axes_of(figure, "panel-a")
    assert not axes.findobj(lambda item: item.get_gid() == "lines")


def test_a_pdf_holds_a_dense_cloud_as_pixels_and_text_as_text(jump_cloud, tmp_path, monkeypatch):
    panel, pictures = jump_cloud(), []
    for dense in (False, True):
        monkeypatch.setattr(drawing, "DENSE", len(panel["epoch"]) + (not dense))
        save_figure(draw([panel]), tmp_path / "a.pdf", tmp_path / "a.png")
        file = (tmp_path / "a.pdf").read_bytes()
        assert b"/FontFile2" in file
        pictures.append(file.count(b"/Subtype /Image"))
    assert pictures[1] > pictures[0]


def test_point_size_is_a_diameter_in_points(jump_cloud):
    sizes = [one(draw([jump_cloud()], point_size=s, scale=2.0), "points") for s in (1.0, 3.0)]
    np.testing.assert_allclose([s.get_sizes()[0] for s in sizes], [(2 * 1.0) ** 2, (2 * 3.0) ** 2])


def test_jumps_are_diamonds_at_epoch_0_in_the_gray_of_their_step(jump_cloud):
    panel = jump_cloud(optimum=True)
    jumps = one(draw([panel], [{"marks": ["jumps"]}]), "jumps")
    rows = np.flatnonzero(panel["epoch"] == 0)
    np.testing.assert_array_equal(jumps.get_offsets(), panel["points"][rows])
    grays = step_colors(2)[np.searchsorted([0.25, 1.0], panel["step_size"][rows])]
    np.testing.assert_allclose(jumps.get_facecolors()[:, :3], grays)


def test_grays_of_steps_darken_with_the_step():
    assert (np.diff(lightness(step_colors(4))) < -0.2).all()


def test_starts_are_golden_stars_above_everything(run_cloud):
    panel = run_cloud()
    figure = draw([panel], [{"color": "source", "marks": ["starts", "ends"]}])
    stars, (axes,) = one(figure, "starts"), axes_of(figure, "panel-a")
    np.testing.assert_array_equal(stars.get_offsets(), panel["points"][panel["epoch"] == 0])
    np.testing.assert_allclose(stars.get_facecolors()[0, :3], to_rgb(GOLD))
    others = [item for item in axes.collections if item is not stars]
    assert all(item.get_zorder() < stars.get_zorder() for item in others)


def test_ends_are_the_last_points_in_their_own_color(run_cloud):
    panel = run_cloud(epochs=4)
    figure = draw([panel], [{"color": "source", "marks": ["ends"]}])
    last = panel["epoch"] == 3
    np.testing.assert_array_equal(one(figure, "ends").get_offsets(), panel["points"][last])
    expected = colors_by_row(figure, panel)[last]
    np.testing.assert_allclose(one(figure, "ends").get_facecolors()[:, :3], expected)


def test_the_optimum_is_marked_and_is_no_trajectory(jump_cloud):
    figure = draw([jump_cloud(optimum=True)])
    np.testing.assert_array_equal(one(figure, "optimum").get_offsets(), [[0.0, 0.0]])
    assert not (one(figure, "points").get_offsets() == 0).all(axis=1).any()
    assert words_of(figure) == [["direction:", "3", "7", "minimum"]]


def test_loss_is_colored_on_a_log_scale_that_a_share_has_in_common(jump_cloud):
    low, high = jump_cloud(), jump_cloud()
    high = high | {"train_loss": 100 * high["train_loss"]}
    figure = draw([low, high], [{"color": "loss", "share": "minima"}] * 2)
    assert len(axes_of(figure, "loss")) == 1
    colormap, top = visible_map("viridis"), 2.0
    bottom = -3.0
    for label, panel in (("panel-a", low), ("panel-b", high)):
        losses = np.log10(panel["train_loss"][draw_order(panel)])
        found = one(figure, "points", label).get_facecolors()
        np.testing.assert_allclose(found, colormap((losses - bottom) / (top - bottom)))


def test_a_loss_that_is_not_finite_is_gray_and_noted(jump_cloud):
    panel = jump_cloud()
    panel["train_loss"][0] = np.inf
    figure = draw([panel], [{"color": "loss"}])
    assert one(figure, "notes").get_text() == "gray: loss not finite, 1 point"
    assert np.ptp(colors_by_row(figure, panel)[0]) == 0


def test_epochs_are_colored_by_the_map_of_the_options(jump_cloud):
    panel = jump_cloud(epochs=5)
    figure = draw([panel], [{"color": "epoch"}], epoch_colormap="cividis_r")
    shares = panel["epoch"][draw_order(panel)] / 4
    expected = visible_map("cividis_r")(shares)
    np.testing.assert_allclose(one(figure, "points").get_facecolors(), expected)
    (bar,) = axes_of(figure, "epochs")
    assert bar.get_xlabel() == "epoch of retraining"
    assert bar.get_xlim() == (0, 4)


def test_sources_of_one_label_share_hue_and_legend_entry(run_cloud):
    panel = run_cloud(labels=("SGD", "Adam"), seeds=3)
    figure = draw([panel], [{"color": "source", "marks": ["starts"]}])
    colors = colors_by_row(figure, panel)
    for epoch in range(3):
        for label in range(2):
            same = colors[(panel["label"] == label) & (panel["epoch"] == epoch)]
            assert (same == same[0]).all()
    assert words_of(figure) == [["SGD", "Adam", "initialization"]]


def test_labels_keep_their_hue_where_a_panel_lacks_some(run_cloud):
    pair, alone = run_cloud(("SGD", "Adam")), run_cloud(("Adam",))
    figure = draw([pair, alone], [{"color": "source"}] * 2)
    found = one(figure, "points", "panel-b").get_facecolors()[0]
    np.testing.assert_allclose(found, ramp(1, 2)(0.0))


def test_trajectories_have_flat_colors_and_no_bar(run_cloud):
    panel = run_cloud(seeds=2)
    figure = draw([panel], [{"color": "trajectory"}])
    np.testing.assert_allclose(colors_by_row(figure, panel), flat_colors(4)[panel["trajectory"]])
    assert len(figure.axes) == 1


def test_legend_explains_every_direction_and_step_once(jump_cloud):
    figure = draw([jump_cloud(), jump_cloud()], [{"marks": ["jumps"]}] * 2)
    assert words_of(figure) == [["direction:", "3", "7"], ["step size of the jump:", "0.25", "1"]]


def test_a_long_legend_is_broken_into_lines_on_the_page(run_cloud):
    names = [f"a run with a long name {index}" for index in range(5)]
    figure = draw([run_cloud(names, seeds=1)], [{"color": "source"}])
    assert [name for line in words_of(figure) for name in line] == names
    assert len(figure.legends) > 1
    renderer = figure.canvas.get_renderer()
    for legend in figure.legends:
        box = legend.get_window_extent(renderer)
        assert 0 <= box.x0 < box.x1 <= figure.bbox.x1


def test_axes_are_square_named_after_the_method_and_without_ticks(jump_cloud):
    names = {"phate": "PHATE", "tsne": "t-SNE", "umap": "UMAP", "pca": "PC", "random": "random"}
    names["isomap"] = "isomap"  # a technique of one's own has its own word
    for method, name in names.items():
        panel = jump_cloud(method=method)
        (axes,) = axes_of(draw([panel]), "panel-a")
        assert (axes.get_xlabel(), axes.get_ylabel()) == (f"{name} 1", f"{name} 2")
        assert axes.get_aspect() == 1
        assert not len(axes.get_xticks()) + len(axes.get_yticks())
        limits = np.array([axes.get_xlim(), axes.get_ylim()])
        assert np.ptp(limits[0]) == pytest.approx(np.ptp(limits[1]))
        assert (limits[:, 0] < panel["points"].min(axis=0)).all()
        assert (limits[:, 1] > panel["points"].max(axis=0)).all()


def test_a_letter_of_its_own_takes_the_place_of_the_counted_one(jump_cloud):
    figure = draw([jump_cloud()] * 2, [{"letter": "A1", "title": "PHATE"}, {"title": "PCA"}])
    assert [text.get_text() for text in figure.texts] == ["(A1) PHATE", "(b) PCA"]


def test_no_word_of_three_rows_of_four_covers_another(jump_cloud):
    titles = [{"title": "t-SNE, cosine", "marks": ["jumps"], "share": "all"}] * 8
    figure = draw([jump_cloud(optimum=True)] * 8, titles, columns=4)
    renderer = figure.canvas.get_renderer()
    boxes = [text.get_window_extent(renderer) for text in [*figure.texts, *figure.legends]]
    boxes += [axes.get_tightbbox(renderer) for axes in figure.axes]
    page = figure.bbox
    for box in boxes:
        assert page.x0 <= box.x0 < box.x1 <= page.x1
        assert page.y0 <= box.y0 < box.y1 <= page.y1
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


def test_panels_that_share_must_agree_in_color_and_hue(jump_cloud):
    specs = [{"share": "x"}, {"share": "x", "hue": "descending"}]
    with pytest.raises(LossmapError, match=r"panel-b: color direction \(descending\) shares 'x'"):
        draw([jump_cloud()] * 2, specs)


def test_a_share_of_landscapes_is_not_one_of_embeddings(jump_cloud, landscape):
    specs = [{"draw": "contour", "share": "x"}, {"share": "x", "marks": ["jumps"]}]
    figure = draw([landscape(), jump_cloud()], specs)
    assert [axes.get_label() for axes in figure.axes] == ["panel-a", "panel-b", "loss", "epochs"]
    assert words_of(figure)[0] == ["center"]
    assert len(figure.legends) == 3


@pytest.fixture
def cloud_file(tmp_path, jump_cloud):
    """Return the path of an embedding artifact, and the panel that it should give."""
    panel = jump_cloud(optimum=True)
    number = len(panel["epoch"])
    unknown = np.full(number, np.nan)
    origins = Origins(
        (panel["trajectory"] < 0).astype(np.int8),
        *(panel[name] for name in ("trajectory", "source", "direction", "step_size", "epoch")),
        panel["train_loss"],
        *(unknown,) * 3,
        ["good"],
    )
    found = Embedding(
        panel["points"], np.arange(number), origins, dict.fromkeys(CONTINUITY, 0.0), {}
    )
    save(tmp_path / "cloud.h5", found, PROVENANCE)
    return {"embedding/cloud": tmp_path / "cloud.h5"}, panel


def collect(sources, **entry):
    entry = {"draw": "embedding", "embedding": "cloud", "method": "phate"} | entry
    spec = {"figure": "fig", "columns": 1, "options": {}, "panels": [entry]}
    return collect_panels(spec, sources)["panel-a"]


def test_collected_arrays_are_the_embedding_s_and_survive_their_file(cloud_file, tmp_path):
    sources, expected = cloud_file
    panel = collect(sources, color="direction", marks=["jumps"])
    assert set(panel) == set(expected)
    save_panels(tmp_path / "fig.h5", Figure, {"panel-a": panel}, PROVENANCE)
    loaded = load_panels(tmp_path / "fig.h5", Figure)["panel-a"]
    for name, values in expected.items():
        np.testing.assert_array_equal(panel[name], values)
        np.testing.assert_array_equal(loaded[name], values)
    assert len(draw([loaded], columns=1).axes) == 2


def test_labels_rename_sources(cloud_file):
    sources, _ = cloud_file
    named = collect(sources, color="source", labels={"good": "wide minimum", "bad": "narrow"})
    assert named["label_names"] == ["wide minimum"]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"color": "red"}, "color is 'red', expected one of epoch, direction"),
        ({"hue": "up"}, "hue is 'up', expected one of ascending, descending"),
        ({"marks": ["center"]}, "marks is 'center', expected one of jumps"),
        ({"embedding": "other"}, "embedding/other is not among the inputs"),
    ],
)
def test_what_an_embedding_panel_cannot_have_is_named(cloud_file, entry, message):
    with pytest.raises(LossmapError, match=message):
        collect(cloud_file[0], **entry)


@pytest.mark.parametrize(
    ("entry", "lost"),
    [
        ({"color": "direction"}, {"direction": -1}),
        ({"color": "loss"}, {"train_loss": np.nan}),
        ({"marks": ["jumps"]}, {"step_size": np.nan}),
    ],
)
def test_a_color_or_mark_without_data_is_refused(tmp_path, jump_cloud, entry, lost):
    panel = jump_cloud()
    panel |= {name: np.full_like(panel[name], value) for name, value in lost.items()}
    number = len(panel["epoch"])
    names = ("trajectory", "source", "direction", "step_size", "epoch", "train_loss")
    origins = Origins(
        np.zeros(number, np.int8), *(panel[name] for name in names), *(np.zeros(number),) * 3, ["a"]
    )
    found = Embedding(
        panel["points"], np.arange(number), origins, dict.fromkeys(CONTINUITY, 0.0), {}
    )
    save(tmp_path / "cloud.h5", found, PROVENANCE)
    ((key, value),) = entry.items()
    word = value if isinstance(value, str) else value[0]
    with pytest.raises(LossmapError, match=f"'{key}: {word}' needs what embedding 'cloud'"):
        collect({"embedding/cloud": tmp_path / "cloud.h5"}, **entry)


def test_jumps_lie_beneath_the_paths_that_they_would_hide(jump_cloud):
    figure = draw([jump_cloud()], [{"marks": ["jumps"]}])
    assert one(figure, "jumps").get_zorder() < one(figure, "lines").get_zorder()


def test_a_cloud_that_is_nearly_a_line_says_so(jump_cloud):
    panel = jump_cloud()
    assert not axes_notes(draw([panel]))
    panel["points"] = panel["points"] * [1.0, 1e-4]
    assert "holds" in axes_notes(draw([panel]))[0].get_text()


def axes_notes(figure):
    (axes,) = axes_of(figure, "panel-a")
    return axes.findobj(lambda item: item.get_gid() == "notes")


def test_branches_have_no_entries_in_the_legend(run_cloud):
    panel = run_cloud()
    words = words_of(draw([panel], [{"color": "trajectory"}]))
    assert not any(word.isdigit() for line in words for word in line)
