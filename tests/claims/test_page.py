"""The page of claims says what the ledger says, and is safe and equal whatever it says."""

import math
import re
from dataclasses import replace
from html import unescape

import pytest

from lossmap.artifacts.claims import Claim
from lossmap.claims.ledger import NO_INFORMATION, NOT_TESTABLE
from lossmap.claims.page import render_page, save_page

CLAIM = Claim(
    "a-claim",
    "A sentence",
    "4.2",
    "a ratio",
    1.23456,
    -0.5,
    2.0,
    "first: 1; second: 2",
    "the ratio is above 1",
    "reproduced",
)
HOSTILE = "<script>alert('&\"')</script>"


def text_of(page: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", page)).split())


def row_of(page: str) -> str:
    return text_of(page.split("<tbody>")[1])


def test_row_holds_everything_that_the_ledger_holds():
    row = row_of(render_page({"paper": [CLAIM]}))
    for word in ("A sentence", "a-claim", "4.2", "a ratio", "1.235", "−0.5 to 2", "above 1"):
        assert word in row
    assert "✓ reproduced" in row
    assert "first: 1" in row
    assert "second: 2" in row


@pytest.mark.parametrize(
    ("verdict", "tone"),
    [
        ("reproduced", "good"),
        ("not reproduced", "bad"),
        (NOT_TESTABLE, "neutral"),
        (NO_INFORMATION, "neutral"),
        ("?", "neutral"),
    ],
)
def test_verdict_has_a_color_and_its_word(verdict, tone):
    page = render_page({"paper": [replace(CLAIM, verdict=verdict)]})
    assert re.search(rf'<span class="badge {tone}">. {re.escape(verdict)}</span>', page)


def test_verdicts_are_counted_over_all_papers():
    page = render_page({"one": [CLAIM], "two": [CLAIM, replace(CLAIM, verdict="not reproduced")]})
    summary = text_of(page.split("<h2>")[0])
    assert "2 × ✓ reproduced" in summary
    assert "1 × ✗ not reproduced" in summary
    assert re.findall("<h2>(.*)</h2>", page) == ["one", "two"]


def test_claim_of_one_case_has_no_range():
    page = render_page({"paper": [replace(CLAIM, low=math.nan, high=math.nan)]})
    assert " to " not in row_of(page).split("1.235")[1].split("the ratio")[0]


@pytest.mark.parametrize(
    ("value", "shown"), [(math.nan, "not a number"), (math.inf, "∞"), (-math.inf, "−∞")]
)
def test_number_that_is_none_is_said_so(value, shown):
    assert f"<strong>{shown}</strong>" in render_page({"paper": [replace(CLAIM, value=value)]})


@pytest.mark.parametrize(
    "name", ["id", "claim", "paper_value", "statistic", "details", "rule", "verdict"]
)
def test_text_is_escaped(name):
    page = render_page({HOSTILE: [replace(CLAIM, **{name: HOSTILE})]})
    assert "<script" not in page
    assert text_of(page).count("alert") >= 2


def test_page_is_one_file_that_loads_nothing():
    page = render_page({"paper": [CLAIM]})
    assert page.startswith('<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">')
    assert not re.search(r"\b(src|href)=|@import|url\(", page)


def test_equal_claims_give_equal_bytes(tmp_path):
    for name in ("a", "b"):
        save_page(tmp_path / f"{name}.html", {"paper": [CLAIM]})
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    assert "✓ reproduced" in (tmp_path / "a.html").read_text(encoding="utf-8")
