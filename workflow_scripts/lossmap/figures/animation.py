"""The supplemental video: retraining trajectories in the embedding, epoch by epoch.

A frame is the still figure with its clouds drawn up to an epoch, by the same code. Nothing is
interpolated: a short run gives a slow film.
"""

import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.animation import AbstractMovieWriter, FFMpegWriter, PillowWriter
from matplotlib.figure import Figure
from matplotlib.text import Text

from lossmap.artifacts.files import replacing
from lossmap.errors import LossmapError
from lossmap.figures.compose import OPTIONS, Panels, Plan, draw_plan, plan_figure
from lossmap.figures.movies import find_ffmpeg
from lossmap.figures.panels.embedding import plot_cell
from lossmap.figures.style import paper_style, points

ANIMATION_OPTIONS = OPTIONS | {"fps": 10, "seconds": 12.0}
"""Every option of an animation with its default.

The epochs take about `seconds`; no epoch is skipped, so that more epochs than `seconds` times `fps`
take longer.
"""
FORMATS = ("mp4", "gif")
HEADLINE = 0.2
"""Inches above the panels for the epoch counter."""
PAUSE = 2.0
"""Seconds that the finished figure stays at the end."""
BITEXACT = ("-threads", "1", "-fflags", "+bitexact", "-flags:v", "+bitexact", "-map_metadata", "-1")
"""Arguments of ffmpeg that make equal frames give equal bytes: no date, no version, no race."""


def write_animation(spec: Mapping[str, Any], panels: Panels, path: str | Path, movie: str) -> None:
    """Write an animation of embedding panels; equal arguments give equal bytes.

    Parameters
    ----------
    spec : the animation's entry of the registry, as a figure's
    panels : what `lossmap.figures.collect.collect_panels` or `load_panels` returned
    path : file to write, under a temporary name until it is whole
    movie : ``mp4`` or ``gif``, see `lossmap.figures.movies.choose_movie`

    Raises
    ------
    LossmapError
        An option or the format is unknown, a panel is no embedding, or the film cannot be made.
    """
    plan = plan_animation(spec, panels)
    if movie not in FORMATS:
        raise LossmapError(f"{path}: format is '{movie}', expected one of {', '.join(FORMATS)}")
    epochs, rate = epochs_of(plan), frame_rate(plan)
    with tempfile.TemporaryDirectory(prefix="lossmap-") as folder, paper_style(_scale(plan)):
        film = Path(folder) / f"film.{movie}"
        figure, counter = draw_first(plan)
        writer = _make_writer(movie, rate, float(plan.options["fps"]), path)
        with _explaining(path), writer.saving(figure, film, dpi=figure.dpi):
            for epoch in epochs:
                draw_frame(figure, counter, plan, epoch)
                writer.grab_frame()
            draw_frame(figure, counter, plan, None)
            for _ in range(max(1, round(PAUSE * rate))):
                writer.grab_frame()
        with replacing(path) as stream:
            stream.write(film.read_bytes())


def plan_animation(spec: Mapping[str, Any], panels: Panels) -> Plan:
    """Lay an animation out; raises LossmapError for a panel that is no embedding."""
    for panel in spec["panels"]:
        if panel["draw"] != "embedding":
            raise LossmapError(
                f"{spec['figure']}: an animation draws embeddings only, got '{panel['draw']}'; "
                "make it a figure"
            )
    plan = plan_figure(spec, panels, known=ANIMATION_OPTIONS, headline=HEADLINE)
    for name in ("fps", "seconds"):
        if not float(plan.options[name]) > 0:
            raise LossmapError(
                f"{spec['figure']}: {name} is {plan.options[name]}, expected a positive number"
            )
    return plan


def epochs_of(plan: Plan) -> np.ndarray:
    """Return the epochs of an animation, ascending: those of all its panels."""
    epochs = [
        np.asarray(cell.panel["epoch"])[np.asarray(cell.panel["trajectory"]) >= 0]
        for cell in plan.cells
    ]
    return np.unique(np.concatenate(epochs))


def frame_rate(plan: Plan) -> float:
    """Return how many epochs are shown per second."""
    number = len(epochs_of(plan))
    return min(float(plan.options["fps"]), number / float(plan.options["seconds"]))


def draw_first(plan: Plan) -> tuple[Figure, Text]:
    """Draw the figure that all frames share, and the epoch counter, still empty."""
    figure = draw_plan(plan)
    right, top = 1.0 - 0.12 / plan.size[0], 1.0 - 0.09 / plan.size[1]
    with paper_style(_scale(plan)):
        style = {"ha": "right", "va": "top", "fontsize": points(8.5), "fontweight": "bold"}
        return figure, figure.text(right, top, "", gid="counter", **style)


def draw_frame(figure: Figure, counter: Text, plan: Plan, epoch: int | None) -> None:
    """Draw all panels up to an epoch, or whole, in place of what they show."""
    axes = {axes.get_label(): axes for axes in figure.axes}
    with paper_style(_scale(plan)):
        for cell in plan.cells:
            axes[cell.name].clear()
            plot_cell(axes[cell.name], cell, plan.comparison_of(cell), plan.options, epoch)
    last = int(epochs_of(plan)[-1])
    counter.set_text(f"epoch {last if epoch is None else int(epoch)} of {last}")


def _scale(plan: Plan) -> float:
    return float(plan.options["scale"])


def _make_writer(movie: str, rate: float, fps: float, path: str | Path) -> AbstractMovieWriter:
    if movie == "gif":
        return PillowWriter(fps=rate)
    found = find_ffmpeg()
    if found is None:
        raise LossmapError(
            f"{path}: no ffmpeg for an MP4; install imageio-ffmpeg (it is in envs/), or write a GIF"
        )
    mpl.rcParams["animation.ffmpeg_path"] = found
    # Players dislike a film of one frame a second: ffmpeg repeats frames up to the usual rate.
    # "h264" and no option of x264: a build with another H.264 encoder will do.
    return FFMpegWriter(fps=rate, codec="h264", extra_args=[*BITEXACT, "-r", f"{fps:g}"])


@contextmanager
def _explaining(path: str | Path) -> Iterator[None]:
    try:
        yield
    except (subprocess.CalledProcessError, OSError) as error:
        raise LossmapError(
            f"{path}: the film cannot be made ({error}); free the disk of temporary files and run "
            "again"
        ) from error
