import base64
import io
import json
from pathlib import Path

import numpy as np
from PIL import Image

from lossmap.artifacts.basis import Basis
from lossmap.artifacts.grid import Grid
from lossmap.artifacts.line import Line
from lossmap.artifacts.provenance import Provenance
from lossmap.artifacts.store import save
from lossmap.geometry.lines import measure_barriers
from lossmap.page.collect import collect_landscape, collect_lines, shrink
from lossmap.workflow.configuration import load_configuration
from lossmap.workflow.page import page_plan

CONFIG = Path(__file__).parents[2] / "config"

PROVENANCE = Provenance("{}", "code", {})


def write(results, name: str, epoch: int, loss: float):
    alphas = np.linspace(-1.0, 1.0, 3)
    save(
        results / "grid" / f"{name}.h5",
        Grid(alphas, alphas, np.full((3, 3), loss), np.zeros((3, 3))),
        PROVENANCE,
    )
    one, epochs = np.ones(1), np.arange(3)
    basis = Basis(
        np.ones(4, np.float32),
        epoch,
        np.eye(2, 4, dtype=np.float32),
        np.ones(2),
        np.array([-1]),
        one,
        one,
        np.zeros((3, 2)),
        epochs,
        one,
    )
    save(results / "basis" / f"{name}.h5", basis, PROVENANCE)
    return {"grid": f"grid/{name}", "basis": f"basis/{name}"}


def test_centers_stand_in_the_order_of_epochs_and_each_has_a_name_of_its_own(tmp_path):
    for stage in ("grid", "basis"):
        (tmp_path / stage).mkdir()
    entries = [write(tmp_path, *each) for each in (("b", 7, 2.0), ("wide", 7, 3.0), ("a", 0, 1.0))]
    view = collect_landscape(tmp_path, {"title": "mine", "centers": entries})
    steps = ['"label":"epoch 0"', '"label":"epoch 7, b"', '"label":"epoch 7, wide"']
    places = [view.figure.index(step) for step in steps]
    assert places == sorted(places)


def test_lines_are_curves_over_positions_and_say_their_barrier(tmp_path):
    (tmp_path / "line").mkdir()
    positions, hill = np.linspace(0.0, 1.0, 3), np.array([0.5, 2.5, 1.5])
    for name, loss in (("hill", hill), ("slope", positions)):
        measured = (loss, loss, 1.0, *measure_barriers(positions, loss), loss, loss)
        save(tmp_path / "line" / f"{name}.h5", Line(positions, *measured), PROVENANCE)
    view = collect_lines(tmp_path, "mine", {"hill": "over a hill", "slope": "down"})
    traces = json.loads(view.figure)["data"]
    names = [trace["name"] for trace in traces]
    assert names == ["over a hill (hill), barrier 1.5", "down (slope)"]
    places = [np.frombuffer(base64.b64decode(trace["x"]["bdata"])) for trace in traces]
    assert np.array(places).tolist() == [[0.0, 0.5, 1.0]] * 2


def test_lines_of_one_data_set_and_kind_stand_together():
    config = load_configuration(CONFIG, {"scale": "demo"})
    found = page_plan(config)["lines"]
    assert {title: list(names) for title, names in found.items()} == {
        "digits (10 classes): between two snapshots": [
            "c10-resnet20-start-end",
            "c10-good-good",
            "c10-good-bad",
            "c10-bad-bad",
            "c10-good-start-end",
        ],
        "digit pairs (100 classes): between two snapshots": ["c100-vgg13-start-end"],
        "digits (10 classes): through a center": ["c10-resnet20-fn-start", "c10-resnet20-fn-last"],
    }


def test_pictures_are_smaller_and_have_the_same_pixels(tmp_path):
    rows = np.linspace(0, 255, 64).astype(np.uint8)
    pixels = np.stack(np.broadcast_arrays(rows[:, None], rows[None], 90, 255), axis=-1)
    Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "a.png")
    shown = shrink(tmp_path / "a.png")
    content = base64.b64decode(shown.uri.partition(",")[2])
    assert shown.size == len(content) < (tmp_path / "a.png").stat().st_size
    with Image.open(io.BytesIO(content)) as found, Image.open(tmp_path / "a.png") as wanted:
        assert (np.asarray(found.convert("RGBA")) == np.asarray(wanted.convert("RGBA"))).all()
