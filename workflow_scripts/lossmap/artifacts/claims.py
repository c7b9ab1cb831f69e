"""The artifact `claims`: the ledger, one row per claim, as HDF5 and as CSV beside it."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from lossmap.artifacts.declare import artifact, f64, text
from lossmap.artifacts.files import write_text
from lossmap.artifacts.provenance import Provenance
from lossmap.artifacts.store import read_datasets, save_artifact


@artifact("claims", version=1, per="claims")
class Claim:
    """One sentence of a paper, measured; row i of every dataset is claim i."""

    id: text[()]
    """Name of the claim"""
    claim: text[()]
    """What it says, in our words"""
    paper_value: text[()]
    """What the paper prints, where it prints a number"""
    statistic: text[()]
    """What was measured"""
    value: f64[()]
    """Our number, the one that decides [as `statistic` says]"""
    low: f64[()]
    """Smallest value over seeds or cases; NaN where there is one case [as `value`]"""
    high: f64[()]
    """Largest value over seeds or cases; NaN where there is one case [as `value`]"""
    details: text[()]
    """Every number behind `value`"""
    rule: text[()]
    """Condition under which it counts as reproduced"""
    verdict: text[()]
    """reproduced, not reproduced or not testable at this scale"""


COLUMNS = tuple(Claim.KIND.fields)


def save_claims(
    path: str | Path, csv_path: str | Path, claims: Sequence[Claim], provenance: Provenance
) -> None:
    """Write the ledger as HDF5, one dataset per column, and as CSV beside it."""
    columns = {name: [getattr(claim, name) for claim in claims] for name in COLUMNS}
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(zip(*columns.values(), strict=True))
    write_text(csv_path, table.getvalue())
    save_artifact(path, Claim.KIND, columns, provenance)


def load_claims(path: str | Path) -> list[Claim]:
    """Read the ledger; raises LossmapError when the file is damaged or foreign."""
    found = read_datasets(path, Claim.KIND)
    columns = [list(found[name]) for name in COLUMNS]
    return [Claim(*row) for row in zip(*columns, strict=True)]
