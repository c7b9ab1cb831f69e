import csv
import math
from dataclasses import replace

import numpy as np
import pytest

from lossmap.artifacts.claims import (
    COLUMNS,
    LONG_COLUMNS,
    Claim,
    Ledger,
    Number,
    load_claims,
    save_claims,
)
from lossmap.artifacts.grid import Grid
from lossmap.artifacts.provenance import Provenance
from lossmap.artifacts.store import digest_of, read_datasets, save
from lossmap.claims.ledger import NO_INFORMATION, NOT_TESTABLE, judge
from lossmap.errors import LossmapError

PROVENANCE = Provenance("{}", "c0de", {})
CLAIMS = [
    Claim(
        *("one", "It holds", "1.5", "share", 0.1, 0.0, 1 / 3, "above 0", "yes"),
        *("otherwise", 0.25, "no"),
        numbers=(Number("share", 'a "b", …', 3, 0.1), Number("share", "c\nd", -1, 1 / 3)),
    ),
    Claim("two", "It fails", "", "ratio", math.inf, -math.inf, 3.0, "above\n1", "no", "", 0.0),
]


def save_ledger(folder, claims=CLAIMS):
    paths = (folder / name for name in ("claims.h5", "claims.csv", "claims.numbers.csv"))
    save_claims(*paths, claims, PROVENANCE)
    return folder / "claims.h5"


def test_claims_are_read_back_unchanged(tmp_path):
    assert load_claims(save_ledger(tmp_path)) == CLAIMS


def test_number_that_is_missing_stays_missing(tmp_path):
    claim = Claim("one", "", "", "", 1.0, math.nan, math.nan, "", "")
    found = load_claims(save_ledger(tmp_path, [claim]))[0]

    assert found.value == 1.0
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert math.isnan(found.other_value)
    assert found.numbers == ()


def test_one_dataset_holds_each_column(tmp_path):
    found = read_datasets(save_ledger(tmp_path), Ledger.KIND)

    assert list(found["id"]) == ["one", "two"]
    assert found["value"].dtype == np.float64
    assert list(found["numbers/claim"]) == ["one", "one"]
    assert found["numbers/seed"].tolist() == [3, -1]
    assert found["numbers/value"].tolist() == [0.1, 1 / 3]


def test_csv_holds_every_digit_of_every_column(tmp_path):
    save_ledger(tmp_path)
    with open(tmp_path / "claims.csv", newline="", encoding="utf-8") as stream:
        header, *rows = csv.reader(stream)

    assert tuple(header) == COLUMNS
    assert len(rows) == len(CLAIMS)
    for row, claim in zip(rows, CLAIMS, strict=True):
        values = [getattr(claim, name) for name in COLUMNS]
        for text, value in zip(row, values, strict=True):
            assert (float(text) if isinstance(value, float) else text) == value


def test_csv_of_numbers_has_a_row_for_each(tmp_path):
    save_ledger(tmp_path)
    with open(tmp_path / "claims.numbers.csv", newline="", encoding="utf-8") as stream:
        header, *rows = csv.reader(stream)

    assert tuple(header) == LONG_COLUMNS == ("claim", "quantity", "case", "seed", "value")
    assert rows == [
        ["one", "share", 'a "b", …', "3", repr(0.1)],
        ["one", "share", "c\nd", "-1", repr(1 / 3)],
    ]


def test_equal_claims_give_equal_bytes(tmp_path):
    for name in ("a", "b"):
        save_ledger(tmp_path / name)

    assert (tmp_path / "a/claims.h5").read_bytes() == (tmp_path / "b/claims.h5").read_bytes()
    assert (tmp_path / "a/claims.csv").read_bytes() == (tmp_path / "b/claims.csv").read_bytes()


def test_digest_depends_on_the_verdict(tmp_path):
    changed = [*CLAIMS[:-1], replace(CLAIMS[-1], verdict="yes")]

    assert digest_of(save_ledger(tmp_path / "a")) != digest_of(save_ledger(tmp_path / "b", changed))


def test_grid_is_no_ledger(tmp_path):
    axis = np.zeros(1)
    save(tmp_path / "a.h5", Grid(axis, axis, axis[:, None], axis[:, None]), PROVENANCE)

    with pytest.raises(LossmapError, match="expected kind 'claims', got 'grid'"):
        load_claims(tmp_path / "a.h5")


@pytest.mark.parametrize(
    ("holds", "testable", "verdict"),
    [
        (True, True, "reproduced"),
        (False, True, "not reproduced"),
        (True, False, "not testable at this scale"),
        (False, False, "not testable at this scale"),
    ],
)
def test_verdict_follows_from_the_rule_and_the_scale(holds, testable, verdict):
    assert judge(holds, testable) == verdict


@pytest.mark.parametrize("holds", [True, False])
def test_what_the_data_say_of_the_test_itself_comes_before_the_rule_and_after_the_scale(holds):
    assert judge(holds, True, NO_INFORMATION) == "the picture carries no information"
    assert judge(holds, True, NOT_TESTABLE) == NOT_TESTABLE
    assert judge(holds, False, NO_INFORMATION) == NOT_TESTABLE


def test_wording_of_what_cannot_be_tested():
    assert NOT_TESTABLE == "not testable at this scale"
