"""Gathers what the page shows from the results of a scale: artifacts in, plain values out."""

import base64
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from plotly import graph_objects as go

from lossmap.artifacts.basis import Basis
from lossmap.artifacts.curves import LOSS_LABEL, SNAPSHOT_CURVES
from lossmap.artifacts.embedding import AXIS_NAMES, Embedding
from lossmap.artifacts.grid import Grid
from lossmap.artifacts.line import Line
from lossmap.artifacts.store import digest_of, load, load_part, read_provenance, stream
from lossmap.artifacts.trajectory import Trajectory
from lossmap.interactive.curves import draw_curves
from lossmap.interactive.embedding import draw_embedding
from lossmap.interactive.landscape import Center, draw_landscape
from lossmap.page.captions import Caption, read_caption

MEDIA = {
    "png": "image/png",
    "pdf": "application/pdf",
    "csv": "text/csv",
    "tex": "application/x-tex",
    "html": "text/html",
    "h5": "application/x-hdf5",
    "mp4": "video/mp4",
    "gif": "image/gif",
}
LARGE = 200_000
"""Bytes of a picture that is worth a second of packing it anew."""
MEASURES = {
    "train_loss": "training {loss}",
    "test_loss": "test {loss}",
    "train_accuracy": "training accuracy",
    "test_accuracy": "test accuracy",
    "theta_norm": "L2 norm of the parameters",
}
ALONG_LINES = {
    "loss": MEASURES["train_loss"],
    "test_loss": MEASURES["test_loss"],
    "accuracy": MEASURES["train_accuracy"],
    "test_accuracy": MEASURES["test_accuracy"],
}


@dataclass(frozen=True)
class File:
    """A file that the page holds whole."""

    name: str
    uri: str
    size: int

    @property
    def suffix(self) -> str:
        """Return what kind of file it is, as people call it."""
        return self.name.rpartition(".")[2].upper()


@dataclass(frozen=True)
class Item:
    """A figure, a table or an animation with its caption and its files."""

    name: str
    caption: Caption
    files: Mapping[str, File]
    settings: str
    table: str = ""
    downloads: list[File] = field(default_factory=list)


@dataclass(frozen=True)
class View:
    """An interactive figure, as plotly's JSON."""

    title: str
    figure: str


def embed(path: Path) -> File:
    """Return a file as a data URI."""
    content = path.read_bytes()
    kind = MEDIA.get(path.suffix[1:], "application/octet-stream")
    encoded = base64.b64encode(content).decode()
    return File(path.name, f"data:{kind};base64,{encoded}", len(content))


def shrink(path: Path) -> File:
    """Return a picture as lossless WebP: the same pixels in two thirds of the bytes."""
    content = io.BytesIO()
    with Image.open(path) as picture:
        picture.save(content, "WEBP", lossless=True, method=1)
    encoded = base64.b64encode(content.getvalue()).decode()
    return File(f"{path.stem}.webp", f"data:image/webp;base64,{encoded}", content.tell())


def collect_item(results: Path, target: str, captions: Mapping[str, Path]) -> Item:
    """Return a figure, a table or an animation, ``stage/name``."""
    name = target.partition("/")[2]
    artifact = results / f"{target}.h5"
    caption = read_caption(captions[name]) if name in captions else Caption(name)
    found = sorted(artifact.parent.glob(f"{name}.*"))
    files = {path.suffix[1:]: embed(path) for path in found if path.suffix[1:] in MEDIA}
    if "png" in files and files["png"].size > LARGE:
        files["png"] = shrink(artifact.with_suffix(".png"))
    settings = json.dumps(read_provenance(artifact).parameters(), indent=1, ensure_ascii=False)
    table = _read_table(artifact.with_suffix(".csv")) if "csv" in files else ""
    shown = ("mp4", "png", "html")
    downloads = [file for suffix, file in files.items() if suffix not in shown]
    return Item(name, caption, files, settings, table, downloads)


def _read_table(path: Path) -> str:
    frame = pd.read_csv(path)
    return frame.to_html(index=False, border=0, na_rep="", float_format=lambda v: f"{v:.4g}")


def collect_landscape(results: Path, entry: Mapping) -> View:
    """Return the landscapes of one run on one kind of plane."""
    centers = [_read_center(results, each) for each in entry["centers"]]
    epochs = [epoch for epoch, _ in centers]
    for row, (epoch, each) in enumerate(zip(epochs, entry["centers"], strict=True)):
        if epochs.count(epoch) > 1:
            name = f"epoch {epoch}, {each['grid'].partition('/')[2]}"
            centers[row] = epoch, replace(centers[row][1], name=name)
    order = np.argsort(epochs, kind="stable")
    label = load_part(results / f"{entry['centers'][0]['grid']}.h5", Grid, "loss_label")
    drawn = draw_landscape([centers[row][1] for row in order], loss_label=label or LOSS_LABEL)
    return _view(entry["title"], drawn)


def _read_center(results: Path, entry: Mapping) -> tuple[int, Center]:
    grid, basis = load(results / f"{entry['grid']}.h5", Grid), results / f"{entry['basis']}.h5"
    epoch = int(load_part(basis, Basis, "center_epoch"))
    path, epochs = load_part(basis, Basis, "coordinates"), load_part(basis, Basis, "epochs")
    points = load_part(basis, Basis, "points")
    parts = (grid.alphas, grid.betas, grid.loss, grid.accuracy, path[:, :2], epochs, points)
    return epoch, Center(f"epoch {epoch}", *parts)


def collect_embedding(results: Path, entry: Mapping) -> View:
    """Return an embedded cloud with what is known of each point."""
    found = load(results / f"{entry['embedding']}.h5", Embedding)
    origins = found.origins
    names = np.array([*origins.sources, "none"])
    columns = {
        "trajectory": origins.trajectory,
        "epoch": origins.epoch,
        "loss": origins.train_loss,
        "accuracy": origins.train_accuracy,
        "run": names[origins.source],
    }
    if (origins.direction >= 0).any():
        columns |= {"direction": origins.direction, "step_size": origins.step_size}
    if len(origins.sources) < 2:
        del columns["run"]
    axis = AXIS_NAMES.get(entry["method"], entry["method"])
    label = origins.loss_label or LOSS_LABEL
    drawn = draw_embedding(found.points, columns, axis=axis, loss_label=label)
    return _view(entry["title"], drawn)


def collect_curves(results: Path, title: str, runs: Mapping[str, str]) -> View:
    """Return the curves of the runs on one data set."""
    curves = {}
    for name, label in runs.items():
        path = results / "trajectory" / f"{name}.h5"
        loss = load_part(path, Trajectory, "loss_label") or LOSS_LABEL  # of one task, as its data
        with stream(path, Trajectory) as run:
            curves[label] = {key: run[key][()] for key in ("epochs", *SNAPSHOT_CURVES)}
    return _view(title, draw_curves(curves, _known(curves, MEASURES, loss)))


def _known(curves: Mapping[str, Mapping], measures: Mapping[str, str], loss: str) -> dict[str, str]:
    """Return the measures that some curve has, with their words; `loss` is what it is called."""
    return {
        key: words.format(loss=loss)
        for key, words in measures.items()
        if any(np.isfinite(found[key]).any() for found in curves.values())
    }


def collect_lines(results: Path, title: str, lines: Mapping[str, str]) -> View:
    """Return loss and accuracy along some lines, the barrier of each beside its name."""
    curves, loss = {}, LOSS_LABEL
    for name, label in lines.items():
        line = load(results / "line" / f"{name}.h5", Line)
        barrier = f", barrier {line.barrier:.2g}" if line.barrier_end > 0 else ""
        absent = np.full(len(line.positions), np.nan)
        measured = {key: getattr(line, key) for key in ALONG_LINES}
        measured = {key: absent if each is None else each for key, each in measured.items()}
        curves[f"{label} ({name}){barrier}"] = {"positions": line.positions} | measured
        loss = line.loss_label or LOSS_LABEL  # of one task, as its data
    known = _known(curves, ALONG_LINES, loss)
    return _view(title, draw_curves(curves, known, along=("positions", "position on the line")))


def _view(title: str, figure: go.Figure) -> View:
    return View(title, figure.to_json(remove_uids=True).replace("</", "<\\/"))


def tabulate_times(results: Path) -> pd.DataFrame:
    """Return jobs, wall-clock time and memory of each stage, from the benchmark files."""
    rows = [
        {"stage": path.parent.name} | pd.read_csv(path, sep="\t").iloc[-1].to_dict()
        for path in sorted((results / "benchmark").rglob("*.tsv"))
    ]
    if not rows:
        return pd.DataFrame()
    frame = pd.DataFrame(rows)
    for column in ("s", "max_rss"):
        frame[column] = pd.to_numeric(frame[column], errors="coerce")
    jobs = frame.groupby("stage", sort=False)
    return pd.DataFrame(
        {
            "jobs": jobs.size(),
            "seconds in all": jobs["s"].sum().round(1),
            "longest, seconds": jobs["s"].max().round(1),
            "most memory, MB": jobs["max_rss"].max().round(0),
        }
    ).reset_index()


def tabulate_artifacts(results: Path, targets: list[str]) -> pd.DataFrame:
    """Return the digest of every artifact's content and the hash of the code that made it."""
    rows = []
    for target in targets:
        path = results / f"{target}.h5"
        code = read_provenance(path).code
        rows.append({"artifact": target, "content": digest_of(path), "code": code})
    return pd.DataFrame(rows)
