"""Frames are the still figure up to an epoch; equal arguments give equal films."""

import subprocess

import numpy as np
import pytest
from PIL import Image

from lossmap.errors import LossmapError
from lossmap.figures import animation
from lossmap.figures.animation import (
    draw_first,
    draw_frame,
    epochs_of,
    frame_rate,
    plan_animation,
    write_animation,
)
from lossmap.figures.compose import draw_figure
from lossmap.figures.embedding.points import FAINTEST, PRESENT
from lossmap.figures.movies import find_ffmpeg

needs_ffmpeg = pytest.mark.skipif(find_ffmpeg() is None, reason="no ffmpeg found")


def spec_of(number=1, **options):
    panels = [{"draw": "embedding", "color": "direction", "marks": ["jumps"]}] * number
    return {"figure": "film", "columns": number, "options": options, "panels": panels}


def one(figure, gid, panel="panel-a"):
    (axes,) = [axes for axes in figure.axes if axes.get_label() == panel]
    (found,) = axes.findobj(lambda item: item.get_gid() == gid)
    return found


@pytest.fixture
def film(jump_cloud):
    """Return plan, figure and counter of an animation of six epochs, and its cloud."""
    cloud = jump_cloud(epochs=6)
    plan = plan_animation(spec_of(), {"panel-a": cloud})
    return plan, *draw_first(plan), cloud


def test_a_frame_shows_every_point_up_to_its_epoch_and_no_other(film):
    plan, figure, counter, cloud = film
    for epoch in (0, 3, 5):
        draw_frame(figure, counter, plan, epoch)
        drawn = {tuple(point) for point in one(figure, "points").get_offsets()}
        assert drawn == {tuple(point) for point in cloud["points"][cloud["epoch"] <= epoch]}
        assert len(one(figure, "lines").get_segments()) == 4 * epoch
        assert counter.get_text() == f"epoch {epoch} of 5"


def test_limits_colors_and_jumps_stay_the_same_in_every_frame(film):
    plan, figure, counter, cloud = film
    still = draw_figure(spec_of(), {"panel-a": cloud})
    whole = {tuple(p): c[:3] for p, c in points_of(still)}
    for epoch in (0, 2, 5, None):
        draw_frame(figure, counter, plan, epoch)
        axes, other = figure.axes[0], still.axes[0]
        assert (axes.get_xlim(), axes.get_ylim()) == (other.get_xlim(), other.get_ylim())
        for point, color in points_of(figure):
            np.testing.assert_allclose(color[:3], whole[tuple(point)])
        jumps = one(figure, "jumps").get_offsets()
        np.testing.assert_array_equal(jumps, one(still, "jumps").get_offsets())


def points_of(figure):
    drawn = one(figure, "points")
    return list(zip(drawn.get_offsets(), drawn.get_facecolors(), strict=True))


def test_present_points_are_larger_and_older_ones_fade(film):
    plan, figure, counter, _ = film
    draw_frame(figure, counter, plan, 4)
    drawn = one(figure, "points")
    epochs = np.repeat(np.arange(5), 4)  # drawn by epoch, four trajectories
    sizes, opacity = drawn.get_sizes(), drawn.get_facecolors()[:, 3]
    np.testing.assert_allclose(sizes[epochs == 4], PRESENT**2 * sizes[0])
    assert (sizes[epochs < 4] == sizes[0]).all()
    assert (opacity[epochs == 4] == 1).all()
    assert (np.diff([opacity[epochs == epoch][0] for epoch in range(5)]) >= 0).all()
    assert opacity.min() == pytest.approx(FAINTEST)


def test_a_trajectory_that_ended_early_keeps_its_last_point_emphasised(film, jump_cloud):
    cloud = jump_cloud(epochs=6)
    kept = (cloud["trajectory"] > 0) | (cloud["epoch"] < 3)
    short = {
        name: v[kept] if name[-5:] != "names" and name != "method" else v
        for name, v in cloud.items()
    }
    plan = plan_animation(spec_of(), {"panel-a": short})
    figure, counter = draw_first(plan)
    draw_frame(figure, counter, plan, 5)
    drawn = one(figure, "points")
    large = drawn.get_offsets()[drawn.get_sizes() > drawn.get_sizes().min()]
    assert tuple(short["points"][2]) in {tuple(point) for point in large}
    assert len(large) == 4


def test_the_last_frame_is_the_still_figure(film):
    plan, figure, counter, cloud = film
    draw_frame(figure, counter, plan, 2)
    draw_frame(figure, counter, plan, None)
    still = one(draw_figure(spec_of(), {"panel-a": cloud}), "points")
    for read in ("get_offsets", "get_facecolors", "get_sizes", "get_edgecolors"):
        found = getattr(one(figure, "points"), read)()
        np.testing.assert_array_equal(found, getattr(still, read)())


def test_no_epoch_is_left_out_however_short_the_film(jump_cloud):
    clouds = {"panel-a": jump_cloud(epochs=3), "panel-b": jump_cloud(epochs=7)}
    plan = plan_animation(spec_of(2, seconds=0.1, fps=5), clouds)
    np.testing.assert_array_equal(epochs_of(plan), np.arange(7))
    assert frame_rate(plan) == 5
    assert frame_rate(plan_animation(spec_of(2, seconds=14), clouds)) == 0.5


@pytest.mark.parametrize("movie", ["gif", pytest.param("mp4", marks=needs_ffmpeg)])
def test_equal_clouds_give_equal_bytes(jump_cloud, tmp_path, movie):
    panels = {"panel-a": jump_cloud()}
    paths = [tmp_path / name / f"film.{movie}" for name in ("first", "second")]
    for path in paths:
        write_animation(spec_of(seconds=1, dpi=40), panels, path, movie)
        assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_gif_has_one_frame_per_epoch_and_the_whole_at_the_end(jump_cloud, tmp_path):
    write_animation(
        spec_of(seconds=8, dpi=40), {"panel-a": jump_cloud(epochs=4)}, tmp_path / "f.gif", "gif"
    )
    with Image.open(tmp_path / "f.gif") as film:
        durations = []
        for frame in range(film.n_frames):
            film.seek(frame)
            durations.append(film.info["duration"])
    assert durations[:4] == [2000] * 4
    assert len(durations) == 5


@needs_ffmpeg
def test_mp4_lasts_as_long_as_asked_at_the_usual_rate(jump_cloud, tmp_path):
    path = tmp_path / "film.mp4"
    write_animation(spec_of(seconds=4, fps=8, dpi=40), {"panel-a": jump_cloud()}, path, "mp4")
    command = [find_ffmpeg(), "-hide_banner", "-i", str(path), "-f", "null", "-"]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stderr
    assert "8 fps" in told
    assert "creation_time" not in told
    frames = int(told.rsplit("frame=", 1)[1].split()[0])
    assert frames == pytest.approx(8 * (4 + 2), abs=8)


def test_an_mp4_without_ffmpeg_is_refused(jump_cloud, tmp_path, monkeypatch):
    monkeypatch.setattr(animation, "find_ffmpeg", lambda: None)
    with pytest.raises(LossmapError, match="no ffmpeg for an MP4; install imageio-ffmpeg"):
        write_animation(spec_of(), {"panel-a": jump_cloud()}, tmp_path / "film.mp4", "mp4")
    assert not list(tmp_path.iterdir())


@needs_ffmpeg
def test_an_ffmpeg_that_fails_is_reported_and_leaves_nothing(jump_cloud, tmp_path, monkeypatch):
    monkeypatch.setattr(animation, "BITEXACT", ("-no-such-option",))
    with pytest.raises(LossmapError, match=r"film\.mp4: the film cannot be made"):
        write_animation(spec_of(dpi=40), {"panel-a": jump_cloud()}, tmp_path / "film.mp4", "mp4")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"speed": 2}, "unknown option 'speed', expected colormap"),
        ({"fps": 0}, "fps is 0, expected a positive number"),
        ({"seconds": -1}, "seconds is -1, expected a positive number"),
    ],
)
def test_an_impossible_option_is_named(jump_cloud, options, message):
    with pytest.raises(LossmapError, match=message):
        plan_animation(spec_of(**options), {"panel-a": jump_cloud()})


def test_only_embeddings_are_animated(landscape, tmp_path):
    spec = spec_of() | {"panels": [{"draw": "surface"}]}
    with pytest.raises(LossmapError, match="draws embeddings only, got 'surface'"):
        write_animation(spec, {"panel-a": landscape()}, tmp_path / "film.gif", "gif")


def test_an_unknown_format_is_named(jump_cloud, tmp_path):
    with pytest.raises(LossmapError, match="format is 'avi', expected one of mp4, gif"):
        write_animation(spec_of(), {"panel-a": jump_cloud()}, tmp_path / "film.avi", "avi")
