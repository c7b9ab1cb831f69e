"""Makes the keys in ``docs/configuration.md`` from ``config/schema.yaml``: `make config-doc`.

Defaults are those of ``config/defaults.yaml``; no job imports this module.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from lossmap.claims.papers import SHIPPED
from lossmap.workflow.schema import SCHEMA, load_schema

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "configuration.md"
HEADING = "\n## Keys\n"
_BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
_TYPES = {"object": "keys and values", "string": "text", "boolean": "true or false"}
_NAMES = {"embeddings": "name `<cloud>-<technique>`", "colormaps": "colormap of matplotlib"}
"""How a name is called whose registry is no key of a configuration."""


@dataclass(frozen=True)
class Row:
    """One key as it is documented."""

    key: str
    type: str
    default: str
    meaning: str


@dataclass(frozen=True)
class Section:
    """A heading, the words below it and its keys."""

    title: str
    words: str
    rows: list[Row]


def find_sections() -> list[Section]:
    """Return all sections in the order of the schema: single values first, then key by key."""
    schema = load_schema()
    defaults = yaml.safe_load(SCHEMA.with_name("defaults.yaml").read_text(encoding="utf-8"))
    parts = {key: _resolve(part) for key, part in schema["properties"].items()}
    single = {key: part for key, part in parts.items() if part.get("type") != "object"}
    rows = _rows({"properties": single, "required": schema["required"]}, given=defaults)
    found = [Section("Single values", "", list(rows))]
    for key in (key for key in parts if key not in single):
        found += _sections_of(key, parts[key], defaults)
    panel = _resolve({"$ref": "panel"})
    return [*found, *_sections_by_kind("Panels", "What figures and animations draw.", panel)]


def _sections_of(key: str, part: Mapping, defaults: Mapping) -> Iterator[Section]:
    """Yield the sections of a key: a closed object, or entries of whatever names."""
    title, words = f"`{key}`", part["description"]
    if "properties" in part:
        yield Section(title, words, list(_rows(part, f"{key}.", defaults.get(key, {}))))
        return
    entry = _resolve(part["additionalProperties"])
    of_entry = f"{words} Keys of an entry, `{key}.<name>`:"
    if key == "claims":
        yield Section(title, words, list(_rows_of_claims()))
    elif "kinds" in entry:
        yield from _sections_by_kind(title, of_entry, entry)
    elif "properties" in entry:
        yield Section(title, of_entry, list(_rows(entry)))
    else:
        row = Row(f"{key}.<name>", _type_of(entry), _code(defaults[key]), entry["description"])
        yield Section(title, words, [row])


def _sections_by_kind(title: str, words: str, entry: Mapping) -> Iterator[Section]:
    """Yield what all kinds of an entry have, then what each has besides."""
    by = entry.get("by")
    kinds = {
        name: kind | {"required": [*kind["required"], *entry.get("required", ()), name]}
        for name, kind in entry["kinds"].items()
    }
    first, *others = (kind["properties"] for kind in kinds.values())
    shared = {key for key in first if all(first[key] == other.get(key) for other in others)}
    choice = [Row(by, _choice(kinds), "required", "kind of the entry, see below")] if by else []
    some = next(iter(kinds.values()))
    yield Section(title, words, [*choice, *_rows(some | {"properties": _only(some, shared)})])
    for name, kind in kinds.items():
        own = kind | {"properties": _only(kind, kind["properties"].keys() - shared)}
        told = f"`{by}: {name}`" if by else f"`{name}`"
        yield Section(f"{title} with {told}", kind["description"], list(_rows(own)))


def _only(kind: Mapping, keys: set[str]) -> dict:
    return {key: part for key, part in kind["properties"].items() if key in keys}


def _rows_of_claims() -> Iterator[Row]:
    """Yield the keys of every claim that is shipped."""
    for claim in SHIPPED.values():
        for key, names in claim.on.items():
            kinds = f" ({' or '.join(names.kinds)})" if names.kinds else ""
            of = f"list of names under `{names.registry}`{kinds}"
            yield Row(f"claims.<paper>.{claim.id}.{key}", of, "required", claim.says)


def _resolve(part: Mapping) -> dict:
    """Return a part of the schema with what it refers to below what it says itself."""
    if "$ref" not in part:
        return dict(part)
    name = part["$ref"].removeprefix("#/$defs/")
    own = {word: value for word, value in part.items() if word != "$ref"}
    return _resolve(load_schema()["$defs"][name]) | own


def _rows(part: Mapping, prefix: str = "", given: object = None, absent: str = "") -> Iterator[Row]:
    """Yield the keys of a closed object, and those of the objects in it.

    Parameters
    ----------
    part : of the schema
    prefix : of the keys
    given : what ``defaults.yaml`` holds for it
    absent : key of an object that is asked where this one is not given
    """
    known = given if isinstance(given, Mapping) else {}
    for name, inner in ((name, _resolve(p)) for name, p in part.get("properties", {}).items()):
        key, asked = prefix + name, inner.get("absent", absent and f"{absent}.{name}")
        required = name in part.get("required", ())
        if name in known and not isinstance(known[name], Mapping):
            default = _code(known[name])
        elif asked and given is None:
            default = f"as `{asked}`" if _is_key(asked) else asked
        elif "default" in inner:
            default = _code(inner["default"])
        else:
            default = "required" if required and not known else "see below"
        yield Row(key, _type_of(inner), default, inner.get("description", ""))
        yield from _rows(inner, f"{key}.", known.get(name), asked if _is_key(asked) else "")
        if inner.get("type") == "array":
            yield from _rows(_resolve(inner["items"]), f"{key}[].")
        if inner.get("additionalProperties"):
            each = _resolve(inner["additionalProperties"])
            yield Row(f"{key}.<name>", _type_of(each), each["absent"], each["description"])


def _is_key(word: str) -> bool:
    return word.partition(".")[0] in load_schema()["properties"]


def _type_of(part: Mapping) -> str:
    if "expected" in part:
        return part["expected"]
    if "enum" in part:
        return _choice(part["enum"])
    kinds = part.get("type", "string" if "refers" in part else "object")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    return " or ".join(_word_of(kind, part) for kind in kinds)


def _word_of(kind: str, part: Mapping) -> str:
    if kind == "array":
        sizes = {part.get("minItems"), part.get("maxItems")}
        count = f"{sizes.pop()} of " if len(sizes) == 1 and None not in sizes else ""
        return f"list of {count}{_type_of(_resolve(part['items']))}"
    if kind == "string" and "refers" in part:
        return _NAMES.get(part["refers"], f"name under `{part['refers']}`")
    if kind in ("integer", "number"):
        bounds = [f"{sign} {part[bound]:,}" for bound, sign in _BOUNDS.items() if bound in part]
        return f"{kind} {', '.join(bounds)}".rstrip()
    return _TYPES.get(kind, kind)


def _choice(words: object) -> str:
    return ", ".join(f"`{word}`" for word in words)


def _code(value: object) -> str:
    return f"`{json.dumps(value, ensure_ascii=False)}`"


def render(document: str) -> str:
    """Return the text of ``docs/configuration.md`` with all that follows `HEADING` made anew."""
    written, heading, _ = document.partition(HEADING)
    return written + heading + "".join(map(_render_section, find_sections()))


def _render_section(section: Section) -> str:
    text = f"\n### {section.title}\n"
    if section.words:
        text += f"\n{section.words}\n"
    if section.rows:
        text += "\n| key | type | default | meaning |\n| --- | --- | --- | --- |\n"
    return text + "".join(
        f"| `{row.key}` | {row.type} | {row.default} | {row.meaning} |\n" for row in section.rows
    )


if __name__ == "__main__":
    DOCUMENT.write_text(render(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
