"""What ``config/schema.yaml`` allows: the check of a configuration, and its references.

Owns the keywords that are not JSON Schema's and that a check knows, ``refers``, ``kinds``,
``kinds_of``, ``with`` and ``expected``, and the wording of every error. Knows no registry: what is
defined, the caller says.
"""

import difflib
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

import yaml
from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend

from lossmap.errors import LossmapError
from lossmap.kinds import read_settings

SCHEMA = Path(__file__).resolve().parents[3] / "config" / "schema.yaml"
_WORDS = ("description", "with", "required", "properties", "dependentSchemas")
"""What the closed object of a kind may have."""
LISTED = 20
"""Names that a message lists at most."""
REGISTRIES = {"embeddings": "clouds as <cloud>-<technique>", "colormaps": "matplotlib's colormaps"}
"""What a registry is called in a message, where that is not its own name."""


@cache
def load_schema() -> dict:
    """Return the schema, read once, every kind in it whole.

    Raises
    ------
    LossmapError
        A module that is a kind does not say what a configuration may, or not correctly.
    """
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    schema = yaml.load(SCHEMA.read_text(encoding="utf-8"), loader)
    for part in schema["$defs"].values():
        folder = part.get("kinds_of")
        kinds = read_settings(folder) if folder else part.get("kinds")
        if kinds is not None:
            wheres = {kind: f"{folder}/{kind}.py: SETTINGS" if folder else kind for kind in kinds}
            part["kinds"] = {
                kind: _complete(kinds[kind], schema["$defs"], wheres[kind]) for kind in kinds
            }
    return schema


def _complete(kind: Mapping, definitions: Mapping, where: str) -> dict:
    """Return a kind together with what it has from the definitions that it names by ``with``.

    Raises
    ------
    LossmapError
        It says what no kind can, or names what is not defined.
    """
    for word in (word for word in kind if word not in _WORDS):
        raise LossmapError(f"{where} has '{word}'{suggest(word, _WORDS)}; it may have {_WORDS}")
    for name in _named_definitions(kind):
        if name not in definitions:
            raise LossmapError(f"{where} names '{name}', which is not among $defs of {SCHEMA.name}")
    shared = _complete(definitions[kind["with"]], definitions, where) if "with" in kind else {}
    properties = shared.get("properties", {}) | kind.get("properties", {})
    required = [*shared.get("required", ()), *kind.get("required", ())]
    for key in (key for key in required if key not in properties):
        raise LossmapError(f"{where} requires '{key}', which is not among its properties")
    return {**shared, **kind, "properties": properties, "required": required}


def _named_definitions(part: object) -> Iterator[str]:
    """Yield the names of all definitions that a part of the schema refers to."""
    if isinstance(part, Mapping):
        for key, value in part.items():
            if key in ("with", "$ref") and isinstance(value, str):
                yield value.removeprefix("#/$defs/")
    for inner in part.values() if isinstance(part, Mapping) else part:
        if isinstance(inner, Mapping | list):
            yield from _named_definitions(inner)


def resolve_kind(definition: str, kind: str, given: Mapping) -> dict[str, object]:
    """Return the keys of a kind with what is given for each, or else its ``default``."""
    properties = load_schema()["$defs"][definition]["kinds"][kind]["properties"]
    defaults = {key: value["default"] for key, value in properties.items() if "default" in value}
    return {key: value for key, value in (defaults | given).items() if key in properties}


def check_against_schema(
    value: object,
    definition: str | None,
    find_names: Callable[[str], Iterable[str]],
    where: tuple[str, ...] = (),
) -> None:
    """Refuse what the schema does not allow, and a name that is not defined.

    Parameters
    ----------
    value : a whole configuration, or a part of one
    definition : name of what it is under ``$defs``; None for a whole configuration
    find_names : returns what is defined under a registry; called for valid configurations only
    where : keys that lead to `value`

    Raises
    ------
    LossmapError
        The message names the key, the value and what is allowed.
    """
    errors = sorted(_validator_of(definition).iter_errors(value), key=_depth)
    wrong = [error for error in errors if error.validator != "refers"]
    if wrong:
        raise LossmapError(f"configuration: {_explain(wrong[0], where)}")
    for error in errors:
        check_name(
            error.instance, error.validator_value, find_names, _place([*where, *_named_key(error)])
        )


def references(entry: object, definition: str) -> list[tuple[str, str]]:
    """Return what a part of a configuration refers to, as (registry, name), in the schema's order.

    Parameters
    ----------
    entry : the part, for example a panel
    definition : name of what it is under ``$defs``, for example ``panel``
    """
    errors = _validator_of(definition).iter_errors(entry)
    return [(e.validator_value, e.instance) for e in errors if e.validator == "refers"]


def drop_other_kind(below: Mapping, over: Mapping, definition: str) -> dict:
    """Return what is left of an entry that another is laid over.

    Where the other says another kind, the keys that its kind does not have are gone: nobody could
    remove them from a file that is not theirs.
    """
    part = load_schema()["$defs"][definition]
    by, kinds = part["by"], part["kinds"]
    kind = over.get(by, below.get(by))
    if kind == below.get(by) or kind not in [*kinds]:
        return dict(below)
    return {key: value for key, value in below.items() if key in kinds[kind]["properties"]}


def check_name(
    name: str, registry: str, find_names: Callable[[str], Iterable[str]], where: str
) -> None:
    """Raise LossmapError where a name is not defined under a registry."""
    known = find_names(registry)
    if name in known:
        return
    names = sorted(known)
    more = f" … ({len(names)})" if len(names) > LISTED else ""
    raise LossmapError(
        f"configuration: {where} names '{name}', which is not defined under "
        f"{REGISTRIES.get(registry, registry)}{suggest(name, names)}; "
        f"defined: {', '.join(names[:LISTED]) or 'none'}{more}"
    )


def suggest(value: object, known: Iterable[str]) -> str:
    """Return ``(did you mean …?)`` where a known word is close."""
    words = {str(word).casefold(): word for word in known}
    close = difflib.get_close_matches(str(value).casefold(), list(words), 1)
    return f" (did you mean '{words[close[0]]}'?)" if close else ""


def _report_reference(
    validator: Draft202012Validator, registry: str, name: object, schema: Mapping
) -> Iterator[ValidationError]:
    """Report every name, defined or not: it is looked up once the whole configuration is valid."""
    if isinstance(name, str):
        yield ValidationError(registry)


def _check_kind(
    validator: Draft202012Validator, kinds: Mapping, entry: object, schema: Mapping
) -> Iterator[ValidationError]:
    """Check an entry as the closed object of its kind."""
    if not isinstance(entry, dict):
        return
    by = schema.get("by")
    found = [entry[by]] if by in entry else [kind for kind in kinds if not by and kind in entry]
    if by and not found:
        yield ValidationError("", validator="required", validator_value=[by])
    elif by and found[0] not in [*kinds]:
        allowed = {"validator": "enum", "validator_value": [*kinds], "instance": found[0]}
        yield ValidationError("", path=[by], **allowed)
    elif len(found) != 1:
        has = " and ".join(found) or "none"
        yield ValidationError(f"has {has}, expected exactly one of {', '.join(kinds)}")
    else:
        kind = found[0]
        own = [*([by] if by else []), *kinds[kind]["properties"]]
        belongs = f"with {by} '{kind}'" if by else f"beside '{kind}'"
        foreign = {key: belongs for other in kinds.values() for key in other["properties"]}
        for key in (key for key in entry if key not in own):
            yield ValidationError(_explain_strange(key, own, foreign), path=[key])
        kept = {key: value for key, value in entry.items() if key in own}
        yield from validator.descend(kept, kinds[kind], schema_path=kind)


def _explain_strange(key: object, own: list[str], foreign: Mapping[str, str]) -> str:
    """Return what is wrong with a key that a kind does not have, but perhaps another one."""
    if key in foreign:
        return f"means nothing {foreign[key]}; remove it"
    return f"is an unknown key{suggest(key, [*own, *foreign])}; allowed: {', '.join(own)}"


def _check_pattern(
    _: Draft202012Validator, pattern: str, value: object, schema: Mapping
) -> Iterator[ValidationError]:
    """Match all of a text: in Python, unlike in JSON Schema, ``$`` allows a line end after it."""
    if isinstance(value, str) and not re.fullmatch(pattern, value):
        yield ValidationError("")


def _is_finite(_: object, value: object) -> bool:
    """Tell a number that has a place in canonical JSON."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


_Validator = extend(
    Draft202012Validator,
    {"refers": _report_reference, "kinds": _check_kind, "pattern": _check_pattern},
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine("number", _is_finite),
)


@cache
def _validator_of(definition: str | None) -> Draft202012Validator:
    schema = load_schema()
    if definition is not None:
        schema = {"$ref": f"#/$defs/{definition}", "$defs": schema["$defs"]}
    return _Validator(schema)


def _depth(error: ValidationError) -> tuple:
    return (len(error.absolute_path), [str(part) for part in error.absolute_path])


def _place(path: Iterable[object]) -> str:
    return ".".join(str(part) for part in path)


def _named_key(error: ValidationError) -> list[object]:
    """Return the path to a reference; which entry of a list it is, the name itself tells."""
    path = list(error.absolute_path)
    return path[:-1] if path and isinstance(path[-1], int) else path


def _explain(error: ValidationError, prefix: tuple[str, ...]) -> str:
    where = _place([*prefix, *error.absolute_path]) or "top level"
    value, allowed = error.instance, error.validator_value
    if "propertyNames" in error.absolute_schema_path:
        where = f"{where}: the name"
    bounds = {"minimum": "at least", "exclusiveMinimum": "more than"}
    bounds |= {"maximum": "at most", "exclusiveMaximum": "less than"}
    kind = str(error.validator)
    if kind == "additionalProperties":
        text = explain_unknown(where, value, list(error.schema["properties"]))
    elif kind == "required":
        missing = next(key for key in allowed if key not in value)
        text = f"{where}: key '{missing}' is missing; add it"
    elif kind == "enum":
        words = ", ".join(str(each) for each in allowed)
        text = f"{where} is {value!r}, allowed: {words}{_hint_at_text(value)}"
    elif kind == "type":
        text = _explain_type(where, value, allowed)
    elif kind == "kinds":
        text = f"{where} {error.message}"
    elif kind in ("pattern", "not", "anyOf"):
        hint = "" if kind == "pattern" else _hint_at_text(value)
        text = f"{where} is {value!r}, expected {error.schema['expected']}{hint}"
    elif kind in bounds:
        text = f"{where} is {value!r}, expected {bounds[kind]} {allowed}"
    elif kind in _LENGTHS:
        entries = "entry" if allowed == 1 else "entries"
        text = f"{where} is {value!r}, {_LENGTHS[kind].format(allowed, entries)}"
    else:
        text = f"{where}: {error.message}"
    return text


_LENGTHS = {
    "minItems": "expected at least {} {}",
    "maxItems": "expected at most {} {}",
    "minLength": "expected text or null",
    "maxLength": "expected at most {} characters",
    "uniqueItems": "expected different ones",
}


def explain_unknown(where: str, value: Mapping, known: list[str]) -> str:
    """Return the message for a key that is not among those known."""
    unknown = next(key for key in value if key not in known)
    if where != "top level":
        return f"{where}.{unknown} {_explain_strange(unknown, known, {})}"
    parts = load_schema()["properties"]
    below = [part for part in parts if unknown in parts[part].get("properties", ())]
    if below:
        return f"{unknown} is an unknown key (did you mean '{below[0]}.{unknown}'?)"
    return f"{unknown} {_explain_strange(unknown, known, {})}"


def _explain_type(where: str, value: object, allowed: str | list[str]) -> str:
    kinds = " or ".join([allowed] if isinstance(allowed, str) else allowed)
    kinds = kinds.replace("object", "keys and values").replace("array", "a list")
    hint = _hint_at_text(value)
    if where.endswith(": the name"):
        hint = " (YAML reads null, ~, yes, no and digits as no text; put it in quotes)"
    elif value is None:
        hint = " (YAML reads null where nothing is given; give it or remove the key)"
    return f"{where} is {value!r}, expected {kinds}{hint}"


def _hint_at_text(value: object) -> str:
    """Return a hint where a value is text, but was hardly meant as text."""
    if not isinstance(value, str) or not value:
        return ""
    try:
        meant = yaml.safe_load(value)
    except (yaml.YAMLError, ValueError):  # ValueError: no such date
        return ""
    if meant is None or isinstance(meant, int | float):
        return (
            " (it is text, as is all in braces or brackets after --config: write it into a file "
            "and give it by --configfile; in a file take it out of its quotes)"
        )
    return " (YAML reads 1e-3 as text; write 1.0e-3)" if _is_number(value) else ""


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
