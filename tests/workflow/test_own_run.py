"""A run of somebody else's script becomes a landscape: its files, some YAML, one command."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from lossmap.artifacts.store import load_part, stream
from lossmap.artifacts.trajectory import Trajectory

pytestmark = pytest.mark.slow

# Knows nothing of lossmap: a network, data as it likes them, an optimizer with its state.
TRAIN = """
import json, pathlib
import h5py, numpy as np, torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy
from nets import resnet18

torch.manual_seed(0)
pixels, labels = load_digits(return_X_y=True)
pixels = (pixels[:120].reshape(-1, 8, 8, 1) * 15.9).astype(np.uint8)
with h5py.File("digits.h5", "w") as file:
    file["train/images"], file["train/labels"] = pixels[:100], labels[:100]
    file["test/images"], file["test/labels"] = pixels[100:], labels[100:120]
    file.create_dataset("classes", data=list("0123456789"), dtype=h5py.string_dtype())
images = ((torch.from_numpy(pixels).float() / 255 - 0.25) / 0.4).permute(0, 3, 1, 2)
targets = torch.from_numpy(labels[:120])

network = resnet18(num_classes=10, features=8)
optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
pathlib.Path("ckpt").mkdir()
losses = []
for epoch in range(1, 11):
    network.train()
    for rows in torch.randperm(100).split(20):
        optimizer.zero_grad()
        cross_entropy(network(images[rows]), targets[rows]).backward()
        optimizer.step()
    network.eval()
    with torch.no_grad():
        losses.append(float(cross_entropy(network(images[:100]), targets[:100])))
    state = {"epoch": epoch, "model": nn.DataParallel(network).state_dict(),
             "optimizer": optimizer.state_dict()}
    torch.save(state, f"ckpt/epoch_{epoch}.pt")
pathlib.Path("losses.json").write_text(json.dumps(losses))
"""
NETS = '''
from torch import nn


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = nn.Identity()
        if stride != 1 or inputs != outputs:
            conv = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(conv, nn.BatchNorm2d(outputs))

    def forward(self, x):
        inner = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(inner + self.downsample(x))


def resnet18(num_classes, features=64):
    """As torchvision's, but for one channel and small images."""
    f = features
    stem = [nn.Conv2d(1, f, 3, 1, 1, bias=False), nn.BatchNorm2d(f), nn.ReLU()]
    sizes = [(f, f, 1), (f, f, 1), (f, 2 * f, 2), (2 * f, 2 * f, 1),
             (2 * f, 4 * f, 2), (4 * f, 4 * f, 1), (4 * f, 8 * f, 2), (8 * f, 8 * f, 1)]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8 * f, num_classes)]
    return nn.Sequential(*stem, *(Block(*size) for size in sizes), *head)
'''
ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text().split("## Your own run")[1]
MINE = README.split("```yaml\n")[1].split("```")[0]
COMMAND = tuple(README.split("snakemake ")[1].split("\n")[0].replace("--cores 2 ", "").split())
MADE = ["basis/mine-pca", "figure/mine_surface", "grid/mine", "projection/mine", "trajectory/mine"]


@pytest.fixture(scope="module")
def imported(shared_project):
    """Give a project in which a foreign script was run and its checkpoints were drawn."""
    folder = shared_project.folder
    (folder / "nets.py").write_text(NETS)
    (folder / "train.py").write_text(TRAIN)
    environment = shared_project.environment() | {"PYTHONPATH": ""}
    subprocess.run([sys.executable, "train.py"], cwd=folder, env=environment, check=True)
    (folder / "mine.yaml").write_text(MINE)
    assert len(MINE.splitlines()) <= 8
    shared_project.snakemake(*COMMAND)
    return shared_project


def test_checkpoints_of_a_foreign_script_become_a_surface_with_its_trajectory(imported):
    run = imported.path("trajectory", "mine")
    history = load_part(run, Trajectory, "history")
    expected = json.loads((imported.folder / "losses.json").read_text())
    np.testing.assert_allclose(history.train_loss, expected, atol=1e-6)
    assert history.epochs.tolist() == list(range(1, 11))
    assert history.iteration_loss is None
    with h5py.File(imported.path("grid", "mine")) as grid:
        center = grid["loss"][1, 1]
    with h5py.File(imported.path("figure", "mine_surface")) as figure:
        (panel,) = figure.values()
        assert panel["trajectory"].shape == (10, 3)
    with h5py.File(imported.path("projection", "mine")) as projection:
        assert projection["loss"][-1] == pytest.approx(center, abs=1e-6)
    assert imported.path("figure", "mine_surface", "png").stat().st_size > 5000


def test_nothing_is_made_again_without_a_change(imported):
    assert imported.planned(*COMMAND) == []
    os.utime(imported.folder / "ckpt" / "epoch_4.pt")
    assert imported.planned(*COMMAND) == []


def test_another_file_under_an_old_name_and_time_remakes_what_depends_on_it(imported):
    before = imported.path("trajectory", "mine").read_bytes()
    changed, other = (imported.folder / "ckpt" / f"epoch_{n}.pt" for n in (4, 5))
    kept, times = changed.read_bytes(), changed.stat()
    shutil.copy(other, changed)
    os.utime(changed, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert imported.planned(*COMMAND) == MADE
    imported.snakemake(*COMMAND)
    with stream(imported.path("trajectory", "mine"), Trajectory) as run:
        np.testing.assert_array_equal(run["thetas"][3], run["thetas"][4])
    changed.write_bytes(kept)
    imported.snakemake(*COMMAND)
    assert imported.path("trajectory", "mine").read_bytes() == before


def test_a_new_checkpoint_is_seen(imported):
    extra = imported.folder / "ckpt" / "epoch_11.pt"
    shutil.copy(extra.with_name("epoch_10.pt"), extra)
    try:
        assert imported.planned(*COMMAND) == MADE
    finally:
        extra.unlink()


def test_malicious_pickle_is_named_and_not_executed(imported):
    bad = imported.folder / "ckpt" / "epoch_11.pt"
    bad.write_bytes(b"cposix\nsystem\n(S'touch executed'\ntR.")
    try:
        done = imported.snakemake(*COMMAND, check=False)
    finally:
        bad.unlink()
    said = done.stdout + done.stderr
    assert "ckpt/epoch_11.pt: refused: it asks for 'posix.system'" in said
    assert not (imported.folder / "executed").exists()


# An archive itself takes all results of the registry, and no more than this run was made.
ARCHIVED = """
import yaml
from pathlib import Path
from lossmap.code.reach import search_folders
from lossmap.upkeep.archive import _OwnFiles
from lossmap.workflow.configuration import load_configuration
from lossmap.workflow.expected import Expected
given = yaml.safe_load(Path("mine.yaml").read_text()) | {"scale": "tiny"}
expected = Expected(load_configuration(Path("config"), given), search_folders(), "results/tiny")
print(*_OwnFiles(Path.cwd(), expected).files)
"""


def test_archive_holds_checkpoints_and_network(imported):
    environment = imported.environment()
    environment["PYTHONPATH"] = str(imported.folder / "workflow_scripts")
    command = [sys.executable, "-c", ARCHIVED]
    said = subprocess.check_output(command, cwd=imported.folder, env=environment, text=True)
    assert {"ckpt/epoch_3.pt", "ckpt/epoch_10.pt", "nets.py"} <= set(said.split())
    assert "digits.h5" not in said  # the data set's artifact is kept as it is
