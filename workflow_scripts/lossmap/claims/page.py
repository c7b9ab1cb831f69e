"""The ledger of claims as a page for people: every verdict with the numbers and the rule behind it.

Prints rows of the ledger, decides nothing.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from lossmap.artifacts.claims import Claim, Number
from lossmap.artifacts.files import write_text
from lossmap.claims.ledger import NO_INFORMATION, NOT_TESTABLE
from lossmap.pages import badge, bullets, escape, format_number, page, table

TONES = {
    "reproduced": "good",
    "not reproduced": "bad",
    NOT_TESTABLE: "neutral",
    NO_INFORMATION: "neutral",
}
SIGNS = {"good": "✓", "bad": "✗", "neutral": "–"}
COLUMNS = (
    "claim",
    "verdict",
    "ours",
    "counts as reproduced if",
    "what is measured",
    "the paper",
)
NOTES = (
    "Each row is a sentence of a paper that can be measured. The number under “ours” is the one "
    "that decides, the range under it that of the cases or seeds that it is taken over.",
    "A verdict is computed by the rule in its row, never typed in; it speaks of this scale only. "
    "“(ours)” marks a claim that no paper makes. Where the verdict hangs on how the paper is read, "
    "the other reading’s stands below it.",
)


def render_page(papers: Mapping[str, Sequence[Claim]]) -> str:
    """Return the page of one or more ledgers, a table for each paper, as HTML.

    Equal claims give equal text.

    Parameters
    ----------
    papers : the claims by the name of their paper
    """
    claims = [claim for rows in papers.values() for claim in rows]
    body = [f"<p>{escape(note)}</p>" for note in NOTES]
    body.append(f"<p>{_count(claims)}</p>")
    for paper, rows in papers.items():
        body.append(f"<h2>{escape(paper)}</h2>")
        body.append(table(COLUMNS, [_row(claim) for claim in rows]))
    return page(f"Claims of {' and '.join(papers)}", body)


def save_page(path: str | Path, papers: Mapping[str, Sequence[Claim]]) -> None:
    """Write the page; raises LossmapError when that fails."""
    write_text(path, render_page(papers))


def _count(claims: Sequence[Claim]) -> str:
    found = Counter(claim.verdict for claim in claims)
    return " ".join(f"{number} × {_verdict(verdict)}" for verdict, number in sorted(found.items()))


def _row(claim: Claim) -> list[str]:
    return [
        f"{escape(claim.claim)}<br><small><code>{escape(claim.id)}</code></small>",
        _verdict(claim.verdict) + _other_reading(claim),
        _ours(claim) + _numbers(claim.numbers),
        escape(claim.rule),
        escape(claim.statistic),
        escape(claim.paper_value) or "<small>no number</small>",
    ]


def _other_reading(claim: Claim) -> str:
    if not claim.other_verdict:
        return ""
    value = format_number(claim.other_value)
    said = f"{escape(claim.other_reading)}: {value}"
    return f"<br><small>{said}</small> {_verdict(claim.other_verdict)}"


def _numbers(numbers: Sequence[Number]) -> str:
    lines = describe_numbers(numbers)
    return f"<details><summary>all numbers</summary>{bullets(lines)}</details>" if lines else ""


def describe_numbers(numbers: Sequence[Number]) -> list[str]:
    """Return a line for each quantity: its cases, the seeds of each as mean and range."""
    cases: dict[str, dict[str, list[float]]] = {}
    for each in numbers:
        cases.setdefault(each.quantity, {}).setdefault(each.case, []).append(each.value)
    return [
        f"{quantity}: {', '.join(f'{case} {_summarize(v)}' for case, v in found.items())}"
        for quantity, found in cases.items()
    ]


def _summarize(values: Sequence[float]) -> str:
    mean = format_number(float(np.mean(values)))
    if len(values) == 1:
        return mean
    low, high = map(format_number, (min(values), max(values)))
    return f"{mean} ({low} to {high} of {len(values)})"


def _ours(claim: Claim) -> str:
    text = f"<strong>{format_number(claim.value)}</strong>"
    if not np.isnan([claim.low, claim.high]).all():
        text += f"<br><small>{format_number(claim.low)} to {format_number(claim.high)}</small>"
    return text


def _verdict(verdict: str) -> str:
    tone = TONES.get(verdict, "neutral")
    return badge(f"{SIGNS[tone]} {verdict}", tone)
