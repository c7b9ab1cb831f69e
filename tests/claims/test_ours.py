"""Our own claims on minima whose sharpness is known."""

from dataclasses import replace

import numpy as np
import pytest

from lossmap.artifacts.curvature import Curvature
from lossmap.artifacts.layout import Layout
from lossmap.artifacts.provenance import Provenance
from lossmap.artifacts.store import save
from lossmap.artifacts.trajectory import History, Trajectory
from lossmap.claims.ledger import NOT_TESTABLE
from lossmap.claims.papers import measure_claims

PROVENANCE = Provenance("{}", "c0de", {})
SPREAD = np.array([-0.1, 0.0, 0.1])


def make_curvature(largest: float, trace: float, scaled: float) -> Curvature:
    """Return a minimum whose traces spread by a tenth: a standard error of 0.058."""
    return Curvature(
        3,
        0.1,
        0.01,
        np.array([largest, 0.5]),
        np.eye(2, 5, dtype=np.float32),
        np.array([0.01, 0.02]),
        trace + SPREAD,
        scaled + SPREAD,
        np.ones((3, 2)),
        np.full((3, 2), 0.5),
    )


def save_run(path, accuracy: float) -> None:
    curve = np.zeros(2)
    history = History(np.array([0, 3]), curve, curve, curve, np.array([0.1, accuracy]), curve)
    layouts = Layout(["weight"], ["linear"], [(5,)]), Layout(["mean"], ["buffer"], [(1,)])
    vectors = np.zeros((2, 5), np.float32), np.zeros((2, 1), np.float32)
    tensors = (layout.to_tensors() for layout in layouts)
    save(path, Trajectory(*vectors, history, *tensors), PROVENANCE)


@pytest.fixture
def judge(tmp_path):
    """Return a function that judges the claim on minima by group and number."""

    def make(**minima: list[Curvature]):
        entry, sources = {}, {}
        for group, found in minima.items():
            entry[f"{group}_curvatures"] = []
            for number, curvature in enumerate(found):
                name = f"{group}-{number}"
                paths = {stage: tmp_path / f"{stage}-{name}.h5" for stage in ("c", "t")}
                save(paths["c"], curvature, PROVENANCE)
                save_run(paths["t"], {"good": 0.9, "bad": 0.8, "memorization": 0.1}[group])
                sources |= {f"curvature/{name}": paths["c"], f"trajectory/{name}": paths["t"]}
                run = {"run": name, "label": "SGD", "seed": number}
                entry[f"{group}_curvatures"].append({"curvature": name, "run": run})
        (found,) = measure_claims({"judge": True, "claims": {"ours-flatness": entry}}, sources)
        return found

    return make


FLAT, SHARP = make_curvature(2, 10, 4), make_curvature(6, 15, 3)
OTHER = {"memorization": [make_curvature(9, 20, 5)]}


def test_minima_that_are_sharper_at_every_seed_are_told(judge):
    found = judge(good=[FLAT, make_curvature(3, 12, 4)], bad=[SHARP, SHARP], **OTHER)
    assert found.verdict == "reproduced"
    assert (found.value, found.low, found.high) == (1.25, 1.25, 3)


@pytest.mark.parametrize(
    "odd",
    [
        replace(SHARP, eigenvalues=np.array([1.9, 0.5])),
        replace(SHARP, traces=9.0 + SPREAD),
        replace(SHARP, traces=10.1 + SPREAD),  # by less than two standard errors, of 0.082 each
    ],
)
def test_one_seed_that_is_no_sharper_by_one_measure_refutes(judge, odd):
    assert judge(good=[FLAT, FLAT], bad=[SHARP, odd], **OTHER).verdict == "not reproduced"


def test_rescaled_weights_change_the_verdict_but_not_that_of_the_other_reading(judge):
    """Weights times c: eigenvalues and trace over c², the scaled trace as before (Dinh 2017)."""
    good = make_curvature(2 * 9, 10 * 9, 4)  # a good minimum with weights a third as large
    for scaled, verdict in ((3, "not reproduced"), (5, "reproduced")):
        bad = replace(SHARP, scaled_traces=scaled + SPREAD)
        plain, shrunk = (
            judge(good=[FLAT], bad=[bad], **OTHER),
            judge(good=[good], bad=[bad], **OTHER),
        )
        assert (plain.verdict, shrunk.verdict) == ("reproduced", "not reproduced")
        assert plain.other_verdict == shrunk.other_verdict == verdict
        assert plain.other_value == shrunk.other_value == pytest.approx(scaled / 4)


def test_one_random_vector_allows_no_verdict(judge):
    bad = replace(
        SHARP,
        traces=SHARP.traces[:1],
        scaled_traces=SHARP.scaled_traces[:1],
    )
    assert judge(good=[FLAT], bad=[bad], **OTHER).verdict == NOT_TESTABLE


def test_a_minimum_without_upward_curvature_is_flatter_than_any(judge):
    found = judge(good=[make_curvature(2, -1, 4)], bad=[SHARP], **OTHER)
    assert (found.verdict, found.high) == ("reproduced", np.inf)


def test_numbers_tell_every_measure_and_its_order_beside_accuracy(judge):
    found = judge(good=[FLAT], bad=[SHARP], **OTHER)
    numbers = {(number.quantity, number.case): number.value for number in found.numbers}
    assert numbers["largest eigenvalue", "memorization-0"] == 9
    assert numbers["trace, standard error", "good-0"] == pytest.approx(0.1 / np.sqrt(3))
    assert numbers["test accuracy", "bad-0"] == 0.8
    ranks = {case: v for (q, case), v in numbers.items() if q.startswith("rank correlation")}
    assert ranks["largest eigenvalue"] == pytest.approx(-1)
    assert ranks["scaled trace"] == pytest.approx(-0.5)
    assert ranks["training loss"] == 0
