"""The report holds every figure and table with its caption, and needs nothing but itself."""

import json
import re
from base64 import b64decode
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest
from tests_support import ROOT

from lossmap.workflow.configuration import load_configuration

CAPTIONS = ROOT / "rules" / "captions"
PLACES = {
    "figures": ("figure", "png"),
    "tables": ("table", "html"),
    "animations": ("animation", ""),
}
MINE = """{
  mine_plain: {columns: 1, panels: [{draw: surface, grid: c10-resnet20-fn-start, title: bare}]},
  mine_told: {columns: 1, panels: [{draw: surface, grid: c10-resnet20-fn-start}]}}"""
PIXEL = b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
)


def registered() -> dict[str, str]:
    """Return the registry of everything that the papers' configuration shows, by name."""
    config = load_configuration(ROOT / "config", {})
    return {name: registry for registry in PLACES for name in config[registry]}


def words_of(text: str) -> list[str]:
    """Return the words of a caption without its mark-up, whether it is reST or HTML."""
    plain = unescape(re.sub(r"<[^>]*>", " ", text))
    return re.findall(r"\w+", re.sub(r"\*\*|``", " ", plain))


class Loads(HTMLParser):
    """Collects what a page would load or lead to."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        self.found += [value for name, value in attrs if name in ("src", "href", "data")]


def loads_of(page: str) -> list[str]:
    parser = Loads()
    parser.feed(page)
    return parser.found


@pytest.fixture(scope="module")
def report(shared_project):
    """Give the report of a project whose results are stand-ins: none is computed for it."""
    results = shared_project.folder / "results" / "tiny"
    shown = registered() | dict.fromkeys(("mine_plain", "mine_told"), "figures")
    for name, registry in shown.items():
        stage, suffix = PLACES[registry]
        for one in [suffix] if suffix else ["mp4", "gif"]:  # whichever can be made here
            write(results / stage / f"{name}.{one}", PIXEL)
    for name in ("ding2023", "horoi2021", "ours", "claims"):
        write(results / "claims" / f"{name}.html", b"<!doctype html><title>claims</title>")
    caption = "My figure\n=========\n\n**Look for** what I saw.\n"
    write(shared_project.folder / "rules/captions/mine_told.rst", caption.encode())
    shared_project.snakemake("all", "--report", "results/tiny/report.html", figures=MINE)
    return (results / "report.html").read_text(encoding="utf-8")


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


@pytest.fixture(scope="module")
def shown(report):
    """Give what the report shows, by name, with its place in the menu."""
    results, categories = variable(report, "results"), variable(report, "categories")
    return {
        Path(path).stem: results[path] | {"path": path, "place": (category, subcategory)}
        for category, members in categories.items()
        for subcategory, paths in members.items()
        for path in paths
        if (category, subcategory) != ("claims", "Other")
    }


def variable(page: str, name: str) -> dict:
    """Return a variable of the report's own JavaScript."""
    return json.JSONDecoder().raw_decode(page.split(f"\n    var {name} = ", 1)[1])[0]


@pytest.mark.parametrize("name", registered())
def test_everything_shown_has_a_caption_that_says_what_how_and_where_it_differs(name):
    title, rule, _, *body = (CAPTIONS / f"{name}.rst").read_text(encoding="utf-8").splitlines()
    text = "\n".join(body)
    assert rule == "=" * len(title)
    assert text.startswith("**Look for**")
    assert re.search(r"^\*\*Made (from|by)\*\*", text, re.M)
    assert re.search(r"^\*\*(Gaps|Differs|Ours)[.:]\*\*", text, re.M)
    assert 60 <= len(text.split()) <= 140


def test_every_caption_belongs_to_something_shown():
    assert {path.stem for path in CAPTIONS.glob("*_*.rst")} == set(registered())


@pytest.mark.parametrize(("name", "registry"), registered().items())
def test_report_shows_each_target_under_its_paper_with_its_caption(shown, name, registry):
    title, _, *body = (CAPTIONS / f"{name}.rst").read_text(encoding="utf-8").splitlines()
    assert shown[name]["place"] == (name.split("_")[0], registry)
    assert " ".join(shown[name]["labels"]["shows"].split()) == title
    expected = words_of("\n".join(body))
    assert words_of(shown[name]["caption"])[: len(expected)] == expected
    assert "system-message" not in shown[name]["caption"], "docutils did not understand it"


def test_figures_are_listed_in_the_order_of_their_numbers(shown):
    labels = {name: entry["labels"]["shows"] for name, entry in shown.items()}
    assert len({len(labels[f"horoi2021_fig{n}"].split(".")[0]) for n in (1, 10)}) == 1
    assert all(len(entry["labels"]) == 1 for entry in shown.values())


def test_claims_are_shown_together_and_by_paper(report, shown):
    together = variable(report, "categories")["claims"]
    assert together == {"Other": ["results/tiny/claims/claims.html"]}
    for paper in ("ding2023", "horoi2021"):
        assert shown[paper]["place"] == (paper, "claims")
        assert "the verdicts" in " ".join(words_of(shown[paper]["caption"]))


def test_film_can_be_played_in_the_report(shown):
    film = shown["horoi2021_animation"]
    assert film["mime_type"] in ("video/mp4", "image/gif")
    assert f"results['{film['path']}'].data_uri" in unescape(film["caption"])


def test_figure_of_ones_own_is_shown_without_a_caption(shown):
    plain = " ".join(words_of(shown["mine_plain"]["caption"]))
    assert shown["mine_plain"]["place"] == ("mine", "figures")
    assert shown["mine_plain"]["labels"] == {"shows": "mine_plain"}
    assert "mine_plain has no caption of its own" in plain
    assert "panel 1 bare surface of c10 resnet20 fn start" in plain


def test_figure_of_ones_own_may_bring_a_caption(shown):
    assert shown["mine_told"]["labels"] == {"shows": "My figure"}
    assert words_of(shown["mine_told"]["caption"])[:5] == words_of("Look for what I saw")


def test_first_page_describes_the_scale(report):
    text = " ".join(words_of(variable(report, "workflow_desc")))
    assert "at scale tiny" in text
    assert "digits 40 training images" in text
    assert "8 epochs of adam rate 0 1" in text
    assert "system-message" not in variable(report, "workflow_desc")


def test_report_loads_nothing(report, shown):
    assert loads_of(report) == []
    assert all(entry["data_uri"].startswith("data:") for entry in shown.values())
    described = [variable(report, "workflow_desc"), *(entry["caption"] for entry in shown.values())]
    leads = [target for text in described for target in loads_of(text)]
    assert all(target.startswith(("javascript:app.", "#")) for target in leads), leads


def test_report_repairs_the_style_that_hides_the_top_of_a_page(report):
    assert (CAPTIONS / "report.css").read_text() in report
