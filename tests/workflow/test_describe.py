"""The reference of the configuration names every key, with the defaults that hold."""

from collections.abc import Iterator

import pytest
import yaml

from lossmap.figures.animation import ANIMATION_OPTIONS
from lossmap.figures.compose import OPTIONS
from lossmap.workflow.costs import UNKNOWN
from lossmap.workflow.describe import DOCUMENT, HEADING, Row, Section, find_sections, render
from lossmap.workflow.schema import SCHEMA, load_schema

SECTIONS = {section.title: section for section in find_sections()}
DEFAULTS = yaml.safe_load(SCHEMA.with_name("defaults.yaml").read_text(encoding="utf-8"))


def row_of(title: str, key: str) -> Row:
    (row,) = (row for row in SECTIONS[title].rows if row.key == key)
    return row


def keys_in(part: object) -> Iterator[str]:
    """Yield every name below ``properties``, anywhere in the schema."""
    if isinstance(part, dict):
        yield from part.get("properties", {})
    for inner in part.values() if isinstance(part, dict) else part:
        if isinstance(inner, dict | list):
            yield from keys_in(inner)


def leaves_of(value: dict, prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, inner in value.items():
        if isinstance(inner, dict):
            yield from leaves_of(inner, f"{prefix}{key}.")
        else:
            yield prefix + key, inner


def test_the_document_is_what_the_schema_says():
    document = DOCUMENT.read_text(encoding="utf-8")
    assert HEADING in document
    assert document == render(document), "run: make config-doc"


def test_every_key_of_the_schema_has_a_row():
    listed = {row.key.split(".")[-1] for section in SECTIONS.values() for row in section.rows}
    registries = {title.split()[0].strip("`") for title in SECTIONS}
    assert set(keys_in(load_schema())) <= listed | registries


def test_every_kind_has_a_section():
    kinds = [
        f"`{part['by']}: {kind}`" if "by" in part else f"`{kind}`"
        for part in load_schema()["$defs"].values()
        for kind in part.get("kinds", ())
    ]
    titles = [title.partition(" with ")[2] for title in SECTIONS if " with " in title]
    assert sorted(titles) == sorted(kinds)


@pytest.mark.parametrize("section", SECTIONS.values(), ids=SECTIONS)
def test_every_row_is_whole(section: Section):
    assert [row.key for row in section.rows if not (row.type and row.default and row.meaning)] == []
    assert len({row.key for row in section.rows}) == len(section.rows)
    assert not any("|" in cell for row in section.rows for cell in (row.type, row.meaning))


def test_defaults_are_those_of_the_file():
    registries = {"networks", "recipes", "techniques", "epoch_names"}
    settings = {key: value for key, value in DEFAULTS.items() if key not in registries}
    titles = ["Single values", *(f"`{key}`" for key in settings if f"`{key}`" in SECTIONS)]
    rows = {row.key: row for title in titles for row in SECTIONS[title].rows}
    told = [leaf for leaf in leaves_of(settings) if leaf[0] in rows]
    assert len(told) > 40
    for key, value in told:
        assert yaml.safe_load(rows[key].default.strip("`")) == value, key


def test_defaults_of_the_schema_are_those_of_the_code():
    for key, value in OPTIONS.items():
        assert yaml.safe_load(row_of("`style`", f"style.{key}").default.strip("`")) == value
    for key in ("fps", "seconds"):
        default = row_of("`animations`", f"options.{key}").default
        assert float(default.strip("`")) == ANIMATION_OPTIONS[key]
    for key, value in UNKNOWN.items():
        assert row_of("`networks`", key).default == f"`{value}`"


def test_what_is_asked_instead_is_there():
    rows = [row for section in SECTIONS.values() for row in section.rows]
    keys = {row.key for row in rows}
    asked = [row.default[4:-1] for row in rows if row.default.startswith("as `")]
    inside = {"recipes.<recipe>.": "`recipes`", "networks.<network>.": "`networks`"}
    for key in set(asked):
        for prefix, title in inside.items():
            if key.startswith(prefix):
                assert row_of(title, key.removeprefix(prefix)).meaning
                break
        else:
            assert key in keys, key
