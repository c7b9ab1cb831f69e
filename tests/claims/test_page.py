"""The page of claims says what the ledger says, and is safe and equal whatever it says."""

import math
import re
from dataclasses import replace
from html import unescape

import pytest

from lossmap.artifacts.claims import Claim, Number
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
    "the ratio is above 1",
    "reproduced",
    numbers=(
        Number("ratio", "first", 0, 1.0),
        Number("ratio", "first", 1, 3.0),
        Number("ratio", "second", -1, 7.0),
        Number("norm", "second", -1, 0.5),
    ),
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
    assert "ratio: first 2 (1 to 3 of 2), second 7" in row
    assert "norm: second 0.5" in row


def test_verdict_comes_first_then_the_numbers_then_the_rule():
    row = row_of(render_page({"paper": [CLAIM]}))
    places = [row.index(word) for word in ("✓ reproduced", "1.235", "ratio: first", "is above 1")]
    assert places == sorted(places)


def test_verdict_under_another_reading_stands_below():
    other = {"other_reading": "read so", "other_value": 0.5, "other_verdict": "not reproduced"}
    row = row_of(render_page({"paper": [replace(CLAIM, **other)]}))

    assert "✓ reproduced read so: 0.5 ✗ not reproduced" in row
    assert "read so" not in row_of(render_page({"paper": [CLAIM]}))


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
    assert " to " not in row_of(page).split("1.235")[1].split("all numbers")[0]


@pytest.mark.parametrize(
    ("value", "shown"), [(math.nan, "not a number"), (math.inf, "∞"), (-math.inf, "−∞")]
)
def test_number_that_is_none_is_said_so(value, shown):
    assert f"<strong>{shown}</strong>" in render_page({"paper": [replace(CLAIM, value=value)]})


@pytest.mark.parametrize(
    "name", ["id", "claim", "paper_value", "statistic", "rule", "verdict", "numbers"]
)
def test_text_is_escaped(name):
    value = (Number(HOSTILE, HOSTILE, 0, 1.0),) if name == "numbers" else HOSTILE
    page = render_page({HOSTILE: [replace(CLAIM, **{name: value})]})
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
