"""Networks from their names: seeded, without side effects, and with one clear line on error."""

import pytest
import torch

from lossmap.errors import LossmapError
from lossmap.network.factory import build_network
from lossmap.network.models.resnet import resnet20

RESNET20 = "lossmap.network.models.resnet:resnet20"
SIZES = {"classes": 10, "channels": 3, "width": 0.25}


@pytest.fixture
def user_module(tmp_path, monkeypatch):
    """Write a user's module of factories; return the prefix of their names."""
    name = f"user_{tmp_path.name}"  # another name for each test: a process imports a module once
    monkeypatch.syspath_prepend(tmp_path)

    def write(source: str) -> str:
        (tmp_path / f"{name}.py").write_text("from torch import nn\nimport torch\n" + source)
        return name

    return write


def parameter_bytes(network) -> bytes:
    return b"".join(parameter.detach().numpy().tobytes() for parameter in network.parameters())


def raised_line(factory: str, **changes) -> str:
    """Build, expect an error of one line that names the factory, return it."""
    with pytest.raises(LossmapError) as caught:
        build_network(factory, **{**SIZES, "seed": 0, **changes})
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"network factory {factory!r}: expected ")
    return message


def test_same_seed_gives_the_same_bytes():
    first, again = (build_network(RESNET20, **SIZES, seed=7) for _ in range(2))
    assert parameter_bytes(first) == parameter_bytes(again)


def test_another_seed_gives_other_parameters():
    first, other = (build_network(RESNET20, **SIZES, seed=seed) for seed in (7, 8))
    assert parameter_bytes(first) != parameter_bytes(other)


def test_equals_the_factory_called_after_seeding():
    torch.manual_seed(7)
    expected = resnet20(**SIZES)
    assert parameter_bytes(build_network(RESNET20, **SIZES, seed=7)) == parameter_bytes(expected)


def test_global_random_state_is_neither_read_nor_changed():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = build_network(RESNET20, **SIZES, seed=7)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert parameter_bytes(first) == parameter_bytes(build_network(RESNET20, **SIZES, seed=7))


def test_random_state_of_gpus_is_not_reseeded(monkeypatch):
    reseeded = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", reseeded.append)
    build_network(RESNET20, **SIZES, seed=7)
    assert reseeded == []


def test_random_state_survives_a_failing_factory(user_module):
    module = user_module("def broken(**sizes):\n    torch.rand(5)\n    raise ValueError('no')\n")
    before = torch.get_rng_state()
    raised_line(f"{module}:broken")
    assert torch.equal(torch.get_rng_state(), before)


def test_user_module_is_imported_and_receives_the_sizes(user_module):
    source = (
        "def linear(*, classes, channels, width):\n"
        "    return nn.Linear(round(channels * 8 * width), classes)\n"
    )
    network = build_network(f"{user_module(source)}:linear", **SIZES, seed=0)
    assert network.weight.shape == (10, 6)


@pytest.mark.parametrize(
    "factory",
    [
        "",
        "resnet20",
        "a.b.resnet20",
        "a:b:c",
        ":f",
        "a:",
        ".a:f",
        "a..b:f",
        "a b:f",
        "a:1f",
        "a:f\n",
    ],
)
def test_malformed_name_is_refused(factory):
    assert "expected 'module.path:function', got no such form; write e.g. " in raised_line(factory)


def test_missing_module_is_named():
    message = raised_line("no_such_package.nets:tiny")
    assert "importable module 'no_such_package.nets'" in message
    assert "ModuleNotFoundError: No module named 'no_such_package'" in message
    assert "PYTHONPATH" in message


def test_module_that_fails_on_import_is_named_with_its_error(user_module):
    module = user_module("raise RuntimeError('first line\\nsecond line')\n")
    assert "got RuntimeError: first line second line;" in raised_line(f"{module}:tiny")


def test_missing_function_is_named_with_the_file():
    message = raised_line("lossmap.network.models.resnet:resnet21")
    assert "a function 'resnet21' in <module 'lossmap.network.models.resnet' from " in message
    assert "resnet.py'>, got nothing of that name; define it" in message


def test_missing_function_of_a_module_without_a_file_is_named():
    assert "in <module 'sys' (built-in)>, got nothing of that name" in raised_line("sys:tiny")


def test_name_that_is_no_function_is_refused(user_module):
    assert "got int; define it" in raised_line(f"{user_module('tiny = 3')}:tiny")


def test_factory_that_does_not_take_the_sizes_is_refused(user_module):
    module = user_module("def tiny(classes):\n    return nn.Linear(2, classes)\n")
    message = raised_line(f"{module}:tiny")
    assert "(classes=10, channels=3, width=0.25), got TypeError: " in message
    assert message.endswith("under 'arguments' of the run, or let it accept these")


def test_impossible_width_is_refused():
    assert "got ValueError: width: expected a number above 0, got -1" in raised_line(
        RESNET20, width=-1
    )


@pytest.mark.parametrize("classes", [1, 0, -3])
def test_fewer_than_two_classes_are_refused(classes):
    assert f"classes of 2 or more, got {classes};" in raised_line(RESNET20, classes=classes)


def test_result_that_is_no_module_is_refused(user_module):
    module = user_module("def tiny(**sizes):\n    nn.Linear(2, 2)\n")
    assert "a torch.nn.Module, got NoneType; return" in raised_line(f"{module}:tiny")


@pytest.mark.parametrize("body", ["nn.ReLU()", "nn.Linear(2, 2).requires_grad_(False)"])
def test_network_without_trainable_parameters_is_refused(user_module, body):
    module = user_module(f"def tiny(**sizes):\n    return {body}\n")
    assert "trainable parameters, got none; leave" in raised_line(f"{module}:tiny")
