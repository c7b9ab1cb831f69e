"""The star's rows in closed form, the cut of the images, and the whole at tiny sizes on a CPU."""

import json
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from cut import cut
from star_rows import tabulate_star

from lossmap.artifacts.distance import Origins
from lossmap.artifacts.provenance import Provenance
from lossmap.artifacts.store import save
from lossmap.geometry.distances import measure_cloud_geometry

EVIDENCE = Path(__file__).with_name("evidence.py")


def save_cloud(folder: Path, minimum: str, direction: int, sizes: list[float], back: float) -> None:
    """Save jumps that end at `back` of their length, straight along a line."""
    optimum = np.array([[5.0, 5.0]])
    jumps = [[[5.0 + size * share, 5.0] for share in (1.0, back)] for size in sizes]
    rows = np.concatenate([optimum, *map(np.array, jumps)])
    trajectory = np.array([-1, *np.repeat(range(len(sizes)), 2)])
    origins = Origins(
        is_optimum=(trajectory < 0).astype(np.int8),
        trajectory=trajectory,
        source=np.zeros(len(rows), np.int64),
        direction=np.where(trajectory < 0, -1, direction),
        step_size=np.array([np.nan, *np.repeat(sizes, 2)]),
        epoch=np.array([-1, *[0, 1] * len(sizes)]),
        train_loss=np.arange(len(rows), dtype=float),
        train_accuracy=np.ones(len(rows)),
        test_loss=np.ones(len(rows)),
        test_accuracy=np.ones(len(rows)),
        sources=[minimum],
    )
    path = folder / "distance" / f"{minimum}-d{direction}.h5"
    path.parent.mkdir(exist_ok=True)
    save(path, measure_cloud_geometry({"rows": rows}, origins), Provenance("{}", "c0de", {}))


@pytest.mark.parametrize("good", [0.5, 0.95])
def test_star_is_judged_by_how_far_good_returns(tmp_path, good):
    for direction in range(3):
        save_cloud(tmp_path, "good", direction, [0.5, 1.0], good + 0.01 * direction)
        save_cloud(tmp_path, "bad", direction, [0.5, 1.0], 0.9)
    star = tabulate_star(tmp_path)
    assert star["return_difference"] == pytest.approx(good + 0.01 - 0.9)
    assert star["low"] <= star["return_difference"] <= star["high"]
    assert star["verdict"] == ("reproduced" if good < 0.9 else "not reproduced")
    assert star["means"]["bad"]["outward"] == pytest.approx(1.0)
    assert [case["train_loss"] for case in star["cases"]["good"]] == [2, 4] * 3


def test_star_counts_only_jumps_that_both_minima_have(tmp_path):
    save_cloud(tmp_path, "good", 0, [0.5, 1.0], 0.5)
    assert tabulate_star(tmp_path) == {}
    save_cloud(tmp_path, "bad", 0, [1.0], 0.9)
    star = tabulate_star(tmp_path)
    assert (star["jumps"], star["directions"], star["low"]) == (1, 1, None)
    assert star["verdict"] == "not testable: 1 of at least 3 directions"


def test_cut_keeps_the_first_images_in_balance(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
    with h5py.File(tmp_path / "all.h5", "w") as file:
        for split in ("train", "test"):
            file[f"{split}/images"], file[f"{split}/labels"] = images, np.arange(40) % 4
        file["classes"] = ["a", "b", "c", "d"]
    size = cut(tmp_path / "all.h5", tmp_path / "cut.h5", 20, 8)
    assert size == (tmp_path / "cut.h5").stat().st_size
    with h5py.File(tmp_path / "cut.h5") as file:
        assert (file["train/images"][()] == images[:20]).all()
        assert np.bincount(file["test/labels"][()]).tolist() == [2, 2, 2, 2]
        assert file["classes"].asstr()[()].tolist() == ["a", "b", "c", "d"]
    for train in (18, 44):
        with pytest.raises(ValueError, match="multiple of 4 classes"):
            cut(tmp_path / "all.h5", tmp_path / "no.h5", train, 8)


@pytest.mark.slow
def test_evidence_goes_on_where_it_stopped(tmp_path):
    def measure(only: str, directions: int) -> dict:
        words = [EVIDENCE, "--device", "cpu", "--tiny", "--budget", "60", "--only", only]
        words += ["--directions", directions, "--out", tmp_path / "out"]
        words += ["--state", tmp_path / "state"]
        run = [sys.executable, *map(str, words)]
        subprocess.run(run, check=True, capture_output=True, timeout=120)
        return json.loads((tmp_path / "out" / "evidence.json").read_text())

    (tmp_path / "state").mkdir()  # how long a run is depends on the machine otherwise
    (tmp_path / "state" / "plan.json").write_text('{"epochs": 4, "seconds_per_epoch": 0.1}')
    first = measure("star", 1)
    assert first["reasons"] == {}
    assert first["star"]["jumps"] == 4
    assert not list((tmp_path / "state" / "jumps").iterdir())
    second = measure("star,ding2023", 2)
    assert second["reasons"] == {}
    assert second["star retraining"]["rounds"] == 4
    assert second["star"]["jumps"] == 8
    assert second["star"]["cases"]["good"][:4] == first["star"]["cases"]["good"]
    assert next(iter(second["ding2023"]["centers"]))["epoch"] == 0
    assert second["ding2023 fitting error"]["ratio"] > 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "distances-0.tar.gz",
        "evidence.json",
        "evidence.md",
        "records.jsonl",
    }
