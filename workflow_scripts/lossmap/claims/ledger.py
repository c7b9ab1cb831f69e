"""The ledger of claims: what a row says, and the artifact that holds the rows."""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from lossmap.artifacts.files import write_text
from lossmap.artifacts.provenance import Provenance
from lossmap.artifacts.store import Field, Kind, read_datasets, save_artifact

NOT_TESTABLE = "not testable at this scale"
NO_INFORMATION = "the picture carries no information"


@dataclass(frozen=True)
class Claim:
    """One sentence of a paper, measured.

    Attributes
    ----------
    id : of the claim
    claim : in our words
    paper_value : what the paper prints, where it prints a number
    statistic : what was measured
    value : our number, the one that decides
    low, high : range over seeds or cases, NaN where there is one case
    details : every number behind `value`
    rule : by which it counts as reproduced
    verdict : ``reproduced``, ``not reproduced``, `NOT_TESTABLE` or `NO_INFORMATION`
    """

    id: str
    claim: str
    paper_value: str
    statistic: str
    value: float
    low: float
    high: float
    details: str
    rule: str
    verdict: str


_NUMBERS = ("value", "low", "high")
COLUMNS = tuple(field.name for field in fields(Claim))
KIND = Kind(
    "claims",
    1,
    {name: Field("float64" if name in _NUMBERS else "str", ("claims",)) for name in COLUMNS},
)


def judge(holds: bool, testable: bool, found: str | None = None) -> str:
    """Return the verdict: computed, never typed in.

    Parameters
    ----------
    holds : whether the rule is met
    testable : whether the scale allows verdicts
    found : what the data say instead: `NOT_TESTABLE` or `NO_INFORMATION`
    """
    if not testable:
        return NOT_TESTABLE
    if found is not None:
        return found
    return "reproduced" if holds else "not reproduced"


def span(values: Iterable[float]) -> tuple[float, float]:
    """Return the smallest and the largest value, NaN where one is: no case is left out."""
    found = np.array(list(values))
    return float(found.min()), float(found.max())


def list_cases(names: Sequence[str], values: Sequence[float]) -> str:
    """Return the numbers behind a value, each with its name."""
    return ", ".join(f"{name}: {value:.4g}" for name, value in zip(names, values, strict=True))


def save_claims(
    path: str | Path, csv_path: str | Path, claims: Sequence[Claim], provenance: Provenance
) -> None:
    """Write the ledger as HDF5, one dataset per column, and as CSV beside it."""
    columns = {name: [getattr(claim, name) for claim in claims] for name in COLUMNS}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(zip(*columns.values(), strict=True))
    save_artifact(path, KIND, columns, provenance)
    write_text(csv_path, text.getvalue())


def load_claims(path: str | Path) -> list[Claim]:
    """Read the ledger; raises LossmapError when the file is damaged or foreign."""
    found = read_datasets(path, KIND)
    columns = [list(found[name]) for name in COLUMNS]
    return [Claim(*row) for row in zip(*columns, strict=True)]
