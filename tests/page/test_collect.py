import base64
import io

import numpy as np
from PIL import Image

from lossmap.artifacts.basis import Basis
from lossmap.artifacts.grid import Grid
from lossmap.artifacts.provenance import Provenance
from lossmap.artifacts.store import save
from lossmap.page.collect import collect_landscape, shrink

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


def test_pictures_are_smaller_and_have_the_same_pixels(tmp_path):
    rows = np.linspace(0, 255, 64).astype(np.uint8)
    pixels = np.stack(np.broadcast_arrays(rows[:, None], rows[None], 90, 255), axis=-1)
    Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "a.png")
    shown = shrink(tmp_path / "a.png")
    content = base64.b64decode(shown.uri.partition(",")[2])
    assert shown.size == len(content) < (tmp_path / "a.png").stat().st_size
    with Image.open(io.BytesIO(content)) as found, Image.open(tmp_path / "a.png") as wanted:
        assert (np.asarray(found.convert("RGBA")) == np.asarray(wanted.convert("RGBA"))).all()
