"""The code of docs/own_run.md runs as it stands."""

import importlib
import types
from pathlib import Path

import pytest
import torch
from torch import nn

import lossmap
from lossmap.artifacts.recording import list_epochs

TEXT = (Path(__file__).parents[1] / "docs" / "own_run.md").read_text()
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
