"""A claim is one function, and forgetting a part of it is an error where it is declared."""

import math
import sys
from itertools import count

import numpy as np
import pytest

from lossmap.artifacts.claims import Number
from lossmap.artifacts.grid import Grid
from lossmap.artifacts.provenance import Provenance
from lossmap.artifacts.ring import Ring
from lossmap.artifacts.store import save
from lossmap.claims.declare import STATEMENTS, Grids, Measured, Runs, Statement, claim
from lossmap.claims.papers import SHIPPED, find_statement, measure_claims
from lossmap.errors import LossmapError

PARTS = {
    "says": "It holds",
    "statistic": "a ratio",
    "rule": "the ratio is above 1",
    "on": {"grids": Grids()},
}


@pytest.fixture(autouse=True)
def forget():
    """Leave no claim of a test behind."""
    known = dict(STATEMENTS)
    yield
    STATEMENTS.clear()
    STATEMENTS.update(known)


def flat(grids):
    """Measure nothing."""
    return Measured(1.5, 1.0, 2.0, [Number("grids", "all", -1, len(grids))], True)


def test_declared_function_is_a_statement_that_can_be_called():
    statement = claim("mine-flat", paper="1.4", **PARTS)(flat)

    assert isinstance(statement, Statement)
    assert statement(grids=[1, 2]) == Measured(1.5, 1.0, 2.0, [Number("grids", "all", -1, 2)], True)
    assert STATEMENTS["mine-flat"] is statement


@pytest.mark.parametrize("part", PARTS)
def test_part_that_is_left_out_is_named(part):
    parts = {name: value for name, value in PARTS.items() if name != part}
    with pytest.raises(TypeError, match=f"'{part}'"):
        claim("mine-flat", **parts)


@pytest.mark.parametrize(
    ("parts", "error", "message"),
    [
        ({"says": " "}, ValueError, "says is empty; say it"),
        ({"rule": ""}, ValueError, "rule is empty"),
        ({"statistic": 3}, TypeError, "statistic is 3, expected text"),
        ({"on": {}}, ValueError, "on is empty; name what"),
        ({"on": {"grids": "grids"}}, TypeError, r"on\['grids'\] is 'grids', expected Bases"),
        (
            {"on": {"runs": Runs()}},
            TypeError,
            "parameters are grids, expected the keys of on, runs",
        ),
        (
            {"on": {"grids": Grids(pairs="runs")}},
            ValueError,
            r"on\['grids'\] refers to 'runs', which on lacks; it has grids",
        ),
    ],
)
def test_part_that_is_wrong_is_named_with_its_claim(parts, error, message):
    with pytest.raises(error, match=message) as caught:
        claim("mine-flat", **PARTS | parts)(flat)
    assert str(caught.value).startswith(f"claim 'mine-flat' ({__name__}.flat): ")
    assert "\n" not in str(caught.value)
    assert "mine-flat" not in STATEMENTS


def test_two_claims_of_one_id_are_refused_but_one_may_be_read_again():
    def other(grids):
        return flat(grids)

    claim("mine-flat", **PARTS)(flat)
    claim("mine-flat", **PARTS)(flat)
    with pytest.raises(ValueError, match="another claim bears this id, "):
        claim("mine-flat", **PARTS)(other)


@pytest.mark.parametrize("statement", SHIPPED.values(), ids=SHIPPED)
def test_shipped_claim_says_what_it_measures(statement):
    for text in (statement.says, statement.statistic, statement.rule):
        assert len(text) > 10
    assert statement.function.__doc__
    assert find_statement(statement.id) is statement


# --- the user's own -----------------------------------------------------------------------------

OWN = '''
from lossmap.claims.declare import Grids, Measured, claim


@claim("{id}", says="My center lies low", statistic="loss at the center", rule="it is below 1",
       on={{"grids": Grids()}})
def low_center(grids):
    """Measure the loss at the center."""
    losses = [case.grid.loss[1, 1] for case in grids]
    return Measured(max(losses), min(losses), max(losses), [], max(losses) < 1)


def undecorated(grids):
    return 1
'''
NUMBERS = count()


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Return the name of an importable module with a claim, another one each time."""
    name = f"own_claims_{next(NUMBERS)}"
    (tmp_path / f"{name}.py").write_text(OWN.format(id=name.replace("_", "-")))
    monkeypatch.syspath_prepend(tmp_path)
    yield name
    sys.modules.pop(name, None)


def save_center(folder, name, loss):
    losses = np.full((3, 3), 9.0)
    losses[1, 1] = loss
    axis = np.linspace(-1, 1, 3)
    path = folder / f"{name}.h5"
    save(path, Grid(axis, axis, losses, np.zeros((3, 3))), Provenance("{}", "c0de", {}))
    return path


def save_ring(folder):
    one, two = np.ones((1, 1)), np.ones((1, 2))
    where = 0.2, np.zeros(1), np.zeros(1, int), 0, 1.0
    ring = Ring(*where, one, 1.0, two, np.eye(2)[None], two, one[0])
    save(folder / "r.h5", ring, Provenance("{}", "c0de", {}))
    return folder / "r.h5"


@pytest.mark.parametrize(("loss", "verdict"), [(0.5, "reproduced"), (1.5, "not reproduced")])
def test_claim_of_ones_own_is_measured_after_the_shipped(tmp_path, module, loss, verdict):
    sources = {"grid/g": save_center(tmp_path, "g", loss), "ring/r": save_ring(tmp_path)}
    entry = {"grids": [{"grid": "g", "basis": "b"}]}
    told = [{"ring": "r", "of": "net", "seed": 0}]
    rings = {"rings": told, "initial_rings": told}
    claims = {f"{module}:low_center": entry, "ding-fn-local-minimum": rings}
    shipped, own = measure_claims({"judge": True, "claims": claims}, sources)

    assert shipped.id == "ding-fn-local-minimum"
    assert (own.id, own.value, own.verdict) == (module.replace("_", "-"), loss, verdict)
    assert (own.claim, own.rule) == ("My center lies low", "it is below 1")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing-like-this", "expected a shipped claim or 'module:function', got 'nothing-like"),
        ("no_such_module:flat", "expected an importable module 'no_such_module', got ModuleNot"),
        (
            "{module}:missing",
            "expected 'missing' in '{module}' to be .* got nothing",
        ),
        ("{module}:undecorated", "expected 'undecorated' in .* got a function; decorate it"),
    ],
)
def test_what_is_no_claim_is_refused(module, name, message):
    with pytest.raises(LossmapError, match=message.format(module=module)):
        find_statement(name.format(module=module))


def test_module_that_fails_is_refused_in_one_line(tmp_path, module):
    (tmp_path / f"{module}.py").write_text("raise RuntimeError('no\\nluck')")
    with pytest.raises(LossmapError, match="got RuntimeError: no luck; correct the name"):
        find_statement(f"{module}:low_center")


def test_cases_load_nothing_before_they_are_asked():
    entry = {"grids": [{"grid": "g", "basis": "b"}]}
    statement = claim("mine-flat", **PARTS)(flat)
    row = statement.measure(entry, {}, testable=True)

    assert row.numbers == (Number("grids", "all", -1, 1),)
    assert math.isclose(row.value, 1.5)
