"""Makes the kinds in ``docs/format.md`` from their declarations: `make format-doc`.

Reads the strings below the datasets from the source; no job imports this module.
"""

import ast
import inspect
import pkgutil
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import lossmap.artifacts
from lossmap.artifacts.declare import Field, Part, derived, members

_UNIT = re.compile(r"(?P<meaning>.*?)(?: \[(?P<unit>[^\]]*)\])?\.?$", re.DOTALL)
DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "format.md"
HEADING = "\n## Kinds\n"


@dataclass(frozen=True)
class Row:
    """One dataset of a kind as it is documented; an axis is named by what it counts."""

    name: str
    field: Field
    meaning: str
    unit: str


def find_declared() -> list[type]:
    """Return the class of every kind, in the order of the workflow."""
    found = {}
    for module in pkgutil.iter_modules(lossmap.artifacts.__path__):
        for value in vars(import_module(f"lossmap.artifacts.{module.name}")).values():
            if hasattr(value, "KIND"):
                found[value.KIND.name] = value
    return [found[name] for name in sorted(found)]


def rows_of(declared: type) -> list[Row]:
    """Return the datasets of a kind, in the order of its declaration."""
    fields = declared.KIND.fields
    return [Row(name, fields[name], *words) for name, words in _walk(Part(declared))]


def _walk(part: Part, prefix: str = "") -> Iterator[tuple[str, tuple[str, str]]]:
    words, inside = _read_words(part.made), prefix + part.prefix
    for attribute, member in (members(part.made) | derived(part.made)).items():
        if isinstance(member, Part):
            yield from _walk(member, inside)
        else:
            yield inside + member.name, words.get(attribute, ("", ""))


def _read_words(made: type) -> dict[str, tuple[str, str]]:
    """Return meaning and unit by attribute, from the string below it or a property's docstring."""
    body = ast.parse(textwrap.dedent(inspect.getsource(made))).body[0].body
    found = {}
    for statement, below in zip(body, [*body[1:], None], strict=True):
        if isinstance(statement, ast.FunctionDef):
            found[statement.name] = _split(ast.get_docstring(statement) or "")
        elif isinstance(statement, ast.AnnAssign) and _is_text(below):
            found[statement.target.id] = _split(inspect.cleandoc(below.value.value))
    return found


def _is_text(statement: ast.stmt | None) -> bool:
    value = getattr(statement, "value", None) if isinstance(statement, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def _split(words: str) -> tuple[str, str]:
    found = _UNIT.match(" ".join(words.removeprefix("Return ").split()))
    return found["meaning"], found["unit"] or ""


def render(document: str) -> str:
    """Return the text of ``docs/format.md`` with all that follows its `HEADING` made anew."""
    written, heading, _ = document.partition(HEADING)
    return written + heading + "".join(map(_render_kind, find_declared()))


def _render_kind(declared: type) -> str:
    kind, rows = declared.KIND, rows_of(declared)
    text = f"\n### {kind.name}, version {kind.version}\n\n{inspect.getdoc(declared)}\n"
    if rows:
        text += "\n| dataset | type | axes | unit | meaning |\n| --- | --- | --- | --- | --- |\n"
    return text + "".join(map(_render_row, rows))


def _render_row(row: Row) -> str:
    optional = "" if row.field.required else " (optional)"
    kind = "text" if row.field.dtype == "str" else row.field.dtype
    axes = f"({', '.join(row.field.dims)})" if row.field.dims else "scalar"
    return f"| `{row.name}`{optional} | {kind} | {axes} | {row.unit} | {row.meaning} |\n"


if __name__ == "__main__":
    DOCUMENT.write_text(render(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
