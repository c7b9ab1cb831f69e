"""Users add networks, data, scales, landscapes and figures without touching the package."""

import h5py
import numpy as np
import pytest

from lossmap.artifacts.claims import load_claims

pytestmark = pytest.mark.slow

NETWORK = '''
"""A network of my own."""
from torch import nn


def tiny_net(*, classes, channels=3, width=1.0):
    """One convolution."""
    features = max(1, round(8 * width))
    return nn.Sequential(
        nn.Conv2d(channels, features, 3, padding=1), nn.BatchNorm2d(features), nn.ReLU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * features, classes),
    )
'''
CLAIM = '''
"""A claim of my own."""
from lossmap.claims.declare import Measured, Runs, claim
from lossmap.claims.ledger import list_numbers


@claim(
    "shapes-are-learned",
    says="Shapes are told apart",
    statistic="training accuracy at the end",
    rule="it is at least 0",
    on={"runs": Runs()},
)
def learned(runs):
    """Measure the accuracy."""
    found = [case.history.train_accuracy[-1] for case in runs]
    numbers = list_numbers("accuracy", {runs[0].name: found[0]})
    return Measured(min(found), min(found), max(found), numbers, min(found) >= 0)
'''
SCALE = """
recipes: {ding2023: {epochs: 4, batch_size: 10, augmentation: {flip: false, crop_padding: 0}}}
metrics: {images: 30}
evaluation: {images: 20, batch: 10}
grid: {resolution: 3}
judge_claims: false
datasets:
  c10: {source: digits, classes: 10, train: 100, test: 20}
  c100: {source: digits, classes: 100, train: 100, test: 20}
"""
CONFIG = """
datasets:
  shapes: {source: hdf5, file: shapes.h5}
runs:
  shapes-mine: {dataset: shapes, network: "mypackage.networks:tiny_net", recipe: ding2023}
bases:
  shapes-mine-pca: {run: shapes-mine, method: pca, center: last, window: [1, 4]}
grids:
  shapes-mine-wide: {basis: shapes-mine-pca, resolution: 5, extent: 2.0, bn_statistics: recalibrate}
projections:
  shapes-mine-pca: {basis: shapes-mine-pca}
claims:
  mine:
    "mypackage.claims:learned": {runs: [shapes-mine]}
figures:
  mine_landscape:
    columns: 2
    panels:
      - {draw: contour, grid: shapes-mine-wide, projection: shapes-mine-pca, trajectory: true}
      - {draw: curve, run: shapes-mine}
"""


def write_shapes(path, rng):
    """Write a data set of three classes of 12 x 10 gray images."""
    with h5py.File(path, "w") as file:
        for split, count in (("train", 60), ("test", 12)):
            labels = np.arange(count) % 3
            images = rng.integers(0, 80, (count, 12, 10, 1))
            images[labels == 1, :6] += 120
            images[labels == 2, :, :5] += 120
            file[f"{split}/images"] = images.astype(np.uint8)
            file[f"{split}/labels"] = labels.astype(np.int64)
        file.create_dataset("classes", data=["plain", "top", "left"], dtype=h5py.string_dtype())


def test_network_data_scale_grid_figure_and_claim_of_ones_own(project):
    package = project.folder / "mypackage"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "networks.py").write_text(NETWORK)
    (package / "claims.py").write_text(CLAIM)
    (project.folder / "config" / "scales" / "mine.yaml").write_text(SCALE)
    (project.folder / "mine-config.yaml").write_text(CONFIG)
    write_shapes(project.folder / "shapes.h5", np.random.default_rng(0))
    arguments = ("mine", "--configfile", "mine-config.yaml")
    project.snakemake(*arguments, scale="mine")
    results = project.folder / "results" / "mine"
    with h5py.File(results / "grid" / "shapes-mine-wide.h5") as grid:
        assert grid["loss"].shape == (5, 5)
        assert grid["alphas"][-1] == 2.0
        assert np.isfinite(grid["loss"][:]).all()
    assert (results / "figure" / "mine_landscape.png").stat().st_size > 5000
    (row,) = load_claims(results / "claims" / "mine.h5")
    assert (row.id, row.numbers[0].case) == ("shapes-are-learned", "shapes-mine")
    assert row.value >= 0
    # An edit of the user's own claim measures it again and nothing else; joined with the others'.
    (package / "claims.py").write_text(CLAIM.replace("runs[0].name", "runs[-1].name"))
    assert project.planned(*arguments, scale="mine") == ["claims/mine"]
    # An edit of the user's own network retrains the user's own run.
    edited = NETWORK.replace("round(8 * width)", "round(6 * width)")
    (package / "networks.py").write_text(edited)
    assert "trajectory/shapes-mine" in project.planned(*arguments, scale="mine")
