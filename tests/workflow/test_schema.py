"""The schema's own keywords: names are looked up, and an entry is the closed object of its kind."""

from collections.abc import Iterator
from pathlib import Path
from pkgutil import iter_modules

import pytest
from matplotlib import colormaps

from lossmap.code.reach import Reach
from lossmap.errors import LossmapError
from lossmap.figures import panels
from lossmap.workflow import schema
from lossmap.workflow.colormaps import COLORMAPS
from lossmap.workflow.configuration import CLOUD_KINDS, load_configuration, names_under
from lossmap.workflow.schema import check_against_schema, load_schema, references
from lossmap.workflow.stages import sources

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "config"
KINDS = {name: part["kinds"] for name, part in load_schema()["$defs"].items() if "kinds" in part}


def parts_of(found: object) -> Iterator[dict]:
    """Yield every mapping within the schema."""
    values = found.values() if isinstance(found, dict) else found
    if isinstance(found, dict):
        yield found
    for value in values if isinstance(found, dict | list) else ():
        yield from parts_of(value)


@pytest.fixture
def replaced_schema(monkeypatch) -> Iterator[dict]:
    """Give a schema that stands in for the file, to be filled by the test."""
    found = {"type": "object", "$defs": {}}
    monkeypatch.setattr(schema, "load_schema", lambda: found)
    schema._validator_of.cache_clear()
    yield found
    schema._validator_of.cache_clear()


def test_colormaps_are_matplotlibs():
    assert set(colormaps) == COLORMAPS


def test_every_kind_of_panel_is_drawn_by_the_module_of_its_name():
    assert {module.name for module in iter_modules(panels.__path__)} == set(KINDS["panel"])


def test_the_code_of_a_figure_is_that_of_every_kind_of_panel():
    reached = Reach(ROOT / "workflow_scripts" / "figure.py").definitions()
    assert {f"lossmap.figures.panels.{draw}:KIND" for draw in KINDS["panel"]} <= set(reached)


def test_kinds_of_clouds_are_those_of_the_code():
    assert tuple(KINDS["cloud"]) == CLOUD_KINDS


def test_every_registry_that_is_referred_to_is_there():
    config = load_configuration(CONFIG, {"tasks": {"mine": {"factory": "mytask:make_task"}}})
    named = {part["refers"] for part in parts_of(load_schema()) if "refers" in part}
    assert {"runs", "epoch_names", "embeddings", "techniques", "colormaps"} <= named
    assert all(len(list(names_under(config, registry))) for registry in named)


def test_references_are_what_a_panel_names():
    panel = {"draw": "contour", "grid": "g", "projection": "p", "title": "t", "trajectory": True}
    assert sorted(references(panel, "panel")) == [("grids", "g"), ("projections", "p")]
    norm = {"draw": "norm", "series": [{"label": "x", "runs": ["a", "b"]}, {"runs": ["c"]}]}
    assert sorted(references(norm, "panel")) == [("runs", "a"), ("runs", "b"), ("runs", "c")]


def test_a_number_is_no_reference():
    panel = {"draw": "curve", "run": "r", "epochs": [3, "last"]}
    assert sorted(references(panel, "panel")) == [("epoch_names", "last"), ("runs", "r")]


def test_a_factory_is_no_reference():
    entry = {"network": "mine.nets:net"}
    assert references(entry["network"], "network") == []
    assert references("resnet20", "network") == [("networks", "resnet20")]


def test_a_kind_is_a_closed_object(replaced_schema):
    kinds = {
        "bars": {"required": ["run"], "properties": {"run": {"type": "string", "refers": "runs"}}},
        "pie": {"properties": {"slices": {"type": "integer"}}},
    }
    replaced_schema["$defs"]["panel"] = {"type": "object", "by": "draw", "kinds": kinds}
    found = {"runs": ["mine"]}.__getitem__
    check_against_schema({"draw": "bars", "run": "mine"}, "panel", found)
    assert references({"draw": "bars", "run": "mine"}, "panel") == [("runs", "mine")]
    for panel, says in (
        ({}, "key 'draw' is missing; add it"),
        ({"draw": "tart"}, "draw is 'tart', allowed: bars, pie"),
        ({"draw": ["pie"]}, "draw is ['pie'], allowed: bars, pie"),
        ({"draw": "bars"}, "key 'run' is missing; add it"),
        ({"draw": "pie", "run": "mine"}, "run means nothing with draw 'pie'; remove it"),
        ({"draw": "pie", "slice": 2}, "slice is an unknown key (did you mean 'slices'?)"),
        ({"draw": "bars", "run": "mien"}, "run names 'mien', which is not defined under runs"),
    ):
        with pytest.raises(LossmapError) as caught:
            check_against_schema(panel, "panel", found, ("panels",))
        assert says in str(caught.value)


def test_an_override_is_checked_together_with_its_technique():
    given = {"clouds": {"adam": {"embeddings": {"phate-cosine": {"knn": 0}}}}}
    with pytest.raises(LossmapError, match=r"clouds\.adam\.embeddings\.phate-cosine\.knn is 0"):
        load_configuration(CONFIG, given)


def test_sources_of_a_figure_are_what_its_panels_refer_to():
    grid = "c10-resnet20-pca-last"
    shown = [
        {"draw": "surface", "grid": grid},
        {"draw": "curve", "run": "c100-vgg13", "epochs": ["last"]},
        {"draw": "embedding", "embedding": "c10-good-pca", "color": "epoch"},
    ]
    given = {"figures": {"mine_fig1": {"columns": 3, "panels": shown}}}
    config = load_configuration(CONFIG, given)
    basis = config["grids"][grid]["basis"]
    assert sources(config, "figure", "mine_fig1") == [
        f"basis/{basis}",
        "embedding/c10-good-pca",
        f"grid/{grid}",
        "trajectory/c100-vgg13",
    ]
