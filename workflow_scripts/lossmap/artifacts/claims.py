"""The artifact `claims`: the ledger and the numbers behind it, as HDF5 and as two CSV files.

One row per claim, and a long table with one row per number.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from lossmap.artifacts.declare import artifact, f64, group, i64, text
from lossmap.artifacts.files import write_text
from lossmap.artifacts.provenance import Provenance
from lossmap.artifacts.store import load, save

NO_SEED = -1


@dataclass(frozen=True)
class Number:
    """One number behind a verdict.

    Attributes
    ----------
    quantity : what it is
    case : entry of the configuration, or group of them, that it is of
    seed : that tells it from others of the case: of the run, plane, direction or null model;
        `NO_SEED` where there is none
    value : the number
    """

    quantity: str
    case: str
    seed: int
    value: float


@dataclass(frozen=True)
class Claim:
    """One sentence of a paper, measured; see `Ledger` for what its parts mean."""

    id: str
    claim: str
    paper_value: str
    statistic: str
    value: float
    low: float
    high: float
    rule: str
    verdict: str
    other_reading: str = ""
    other_value: float = float("nan")
    other_verdict: str = ""
    numbers: tuple[Number, ...] = ()


@dataclass(frozen=True)
class Numbers:
    """The long table; row i of every dataset is number i."""

    claim: text["rows"]
    """Name of the claim that the number decides or stands beside"""
    quantity: text["rows"]
    """What the number is"""
    case: text["rows"]
    """Entry of the configuration, or group of entries, that it is of"""
    seed: i64["rows"]
    """Seed of the run, plane, direction or null model; -1 where there is none [seed]"""
    value: f64["rows"]
    """The number [as `quantity` says]"""


@artifact("claims", version=2)
class Ledger:
    """Sentences of papers, measured; element i of every dataset is claim i."""

    id: text["claims"]
    """Name of the claim"""
    claim: text["claims"]
    """What it says, in our words"""
    paper_value: text["claims"]
    """What the paper prints, where it prints a number"""
    statistic: text["claims"]
    """What was measured"""
    value: f64["claims"]
    """Our number, the one that decides [as `statistic` says]"""
    low: f64["claims"]
    """Lower end of its range over seeds or cases; NaN where there is one case [as `value`]"""
    high: f64["claims"]
    """Upper end of its range over seeds or cases; NaN where there is one case [as `value`]"""
    rule: text["claims"]
    """Condition under which it counts as reproduced"""
    verdict: text["claims"]
    """reproduced | not reproduced | not testable at this scale | the picture carries no …"""
    other_reading: text["claims"]
    """Another reading of the paper under which the verdict may differ, empty where there is none"""
    other_value: f64["claims"]
    """Our number under that reading, NaN where there is none [as `value`]"""
    other_verdict: text["claims"]
    """Verdict under that reading, empty where there is none"""
    numbers: group[Numbers]


COLUMNS = tuple(field.name for field in fields(Claim) if field.name != "numbers")
LONG_COLUMNS = tuple(field.name for field in fields(Numbers))


def save_claims(
    path: str | Path,
    csv_path: str | Path,
    numbers_path: str | Path,
    claims: Sequence[Claim],
    provenance: Provenance,
) -> None:
    """Write the ledger as HDF5, and as CSV beside it: one row per claim, one row per number."""
    columns = {name: [getattr(claim, name) for claim in claims] for name in COLUMNS}
    rows = [
        (claim.id, each.quantity, each.case, each.seed, each.value)
        for claim in claims
        for each in claim.numbers
    ]
    long = {name: [row[index] for row in rows] for index, name in enumerate(LONG_COLUMNS)}
    typed = {"seed": np.array(long["seed"], np.int64), "value": np.array(long["value"], float)}
    _write_csv(csv_path, columns)
    _write_csv(numbers_path, long)
    save(path, Ledger(**columns, numbers=Numbers(**long | typed)), provenance)


def _write_csv(path: str | Path, columns: Mapping[str, Sequence]) -> None:
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    write_text(path, table.getvalue())


def load_claims(path: str | Path) -> list[Claim]:
    """Read the ledger; raises LossmapError when the file is damaged or foreign."""
    found = load(path, Ledger)
    numbers: dict[str, list[Number]] = {}
    long = (list(getattr(found.numbers, name)) for name in LONG_COLUMNS)
    for claim, quantity, case, seed, value in zip(*long, strict=True):
        numbers.setdefault(claim, []).append(Number(quantity, case, int(seed), float(value)))
    rows = zip(*(list(getattr(found, name)) for name in COLUMNS), strict=True)
    return [Claim(*row, tuple(numbers.get(row[0], ()))) for row in rows]
