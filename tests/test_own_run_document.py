"""The code of docs/own_run.md runs as it stands."""

import importlib
import types
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

import lossmap
from lossmap.artifacts.recording import list_epochs
from lossmap.network.own_task import OwnTask
from lossmap.network.surface import LossSurface
from lossmap.network.training import Run
from lossmap.workflow.configuration import load_configuration
from lossmap.workflow.stages import spec_of

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "own_run.md").read_text()
YAML = [block.split("```")[0] for block in TEXT.split("```yaml\n")[1:]]
BLOCKS = [block.split("```")[0] for block in TEXT.split("```python\n")[1:]]


def run_block(containing: str, **names) -> dict:
    """Execute the one block of code that holds some words; return what it defines."""
    (block,) = (block for block in BLOCKS if containing in block)
    exec(block, names)
    return names


def load_or_imitate(library: str, base: str):
    """Return a library, or its base class alone where it is not installed."""
    try:
        return importlib.import_module(library)
    except ImportError:
        return types.SimpleNamespace(**{base: object})


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_two_lines_record_a_run():
    run_block("train_one_epoch", model=nn.Linear(2, 2), epochs=3, train_one_epoch=lambda _: 0.5)
    assert list_epochs("mine.h5") == [0, 1, 2]


def test_callback_of_lightning_records_every_epoch():
    lightning = load_or_imitate("lightning", "Callback")
    names = run_block("lightning.Callback", lightning=lightning, lossmap=lossmap)
    callback, module = names["Record"](), nn.Linear(2, 2)
    callback.on_train_start(None, module)
    for epoch in range(2):
        trainer = types.SimpleNamespace(current_epoch=epoch, is_global_zero=True)
        callback.on_train_epoch_end(trainer, module)
    assert list_epochs("mine.h5") == [1, 2]


def test_callback_of_hugging_face_records_every_epoch():
    transformers = load_or_imitate("transformers", "TrainerCallback")
    names = run_block("TrainerCallback", transformers=transformers, lossmap=lossmap)
    callback, model = names["Record"](), nn.Linear(2, 2)
    callback.on_train_begin(None, None, None, model=model)
    for epoch in (1.0, 2.0):
        state = types.SimpleNamespace(epoch=epoch, is_world_process_zero=True)
        callback.on_epoch_end(None, state, None, model=model)
    assert list_epochs("mine.h5") == [1, 2]


def test_notebook_goes_from_checkpoints_to_a_surface(tmp_path):
    (tmp_path / "ckpt").mkdir()
    model = nn.Linear(4, 3)
    for epoch in range(4):
        torch.save({"model": model.state_dict()}, f"ckpt/epoch_{epoch}.pt")
        with torch.no_grad():
            model.weight.add_(torch.randn(3, 4))
    batches = [(torch.randn(9, 4), torch.arange(9) % 3)]
    run_block("evaluate_landscape", model=model, batches=batches)
    assert (tmp_path / "surface.png").stat().st_size > 5000


def test_the_task_of_the_document_trains_and_has_a_landscape(tmp_path, monkeypatch):
    (block,) = (block for block in BLOCKS if "def make_task" in block)
    (tmp_path / "mytask.py").write_text(block)
    monkeypatch.syspath_prepend(tmp_path)
    (given,) = (yaml.safe_load(each) for each in YAML if "mytask" in each)
    config = load_configuration(ROOT / "config", given)
    spec = spec_of(config, "trajectory", "mine")
    task = OwnTask(**spec["task"])
    run = Run(task, spec | {"epochs": 2}, "cpu")
    run.measure()
    for _ in range(2):
        run.advance()
    run.measure()
    assert run.measured[-1]["train_loss"] < run.measured[0]["train_loss"]
    evaluation = spec_of(config, "grid", "mine")["evaluation"]
    surface = LossSurface(task, spec["network"], evaluation, "batch", "cpu")
    found = surface.evaluate(run.network.theta)[0]
    assert found == pytest.approx(run.measured[-1]["train_loss"], rel=1e-6)
    figure = spec_of(config, "figure", "mine_curve")
    assert [panel["draw"] for panel in figure["panels"]] == ["surface", "curve"]
