"""Renders ``docs/format.md`` from the declarations: ``python -m lossmap.artifacts.describe``.

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

import lossmap.artifacts
from lossmap.artifacts.declare import Field, Part, derived, members

_UNIT = re.compile(r"(?P<meaning>.*?)(?: \[(?P<unit>[^\]]*)\])?\.?$", re.DOTALL)
_INTRODUCTION = """\
# The format of the artifacts

Made from the declarations in `workflow_scripts/lossmap/artifacts` by `make format-doc`; edit them, not this file.

Each artifact is one HDF5 file `results/<scale>/<stage>/<name>.h5` that any HDF5 library reads:

```python
import h5py

with h5py.File("results/demo/grid/c10-resnet20-pca.h5") as file:
    assert file.attrs["kind"] == "grid" and file.attrs["format_version"] == 1
    loss = file["loss"][()]  # loss[i, j] is at alphas[i], betas[j]
    alphas, betas = file["alphas"][()], file["betas"][()]
```

Axes are named in the order of the indices, slowest first (row-major, as in C and NumPy): `loss` with axes (n_alpha, n_beta) is indexed `loss[i, j]` by `alphas[i]` and `betas[j]`. In one file, axes of one name have one length. The axes of datasets in a group like `layout/` belong to that group. Numbers are little-endian; text is UTF-8 of variable length. Units: `1` has none, losses are in nats (natural logarithm), `[index]` counts from 0. Directions and parameters have no unit of their own: they are values of the network's weights.

## Attributes of every file

| attribute | type | meaning |
| --- | --- | --- |
| `kind` | text | which of the kinds below; one folder of results holds one kind |
| `format_version` | integer | version of that kind; grows when a dataset is renamed, removed or changes its meaning |
| `spec` | text | every parameter that the result depends on, as canonical JSON |
| `code` | text | SHA-256 of the code that the result depends on |
| `inputs` | text | JSON: content digest of every file it was made from, by `stage/name` |
| `libraries` | text | JSON: versions of the libraries that were installed |
| `digest` | text | content digest, see below |

Canonical JSON has sorted keys, no spaces, ASCII escapes (`\\u03b8`) and no NaN: `json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)`.

## Content digest

SHA-256 in hexadecimal over what the file says, whatever made it. It is fed, in this order:

1. `<kind>:<format_version>`;
2. for every dataset, sorted by its full name: `|<name>:<type>:<shape>|`, where `<type>` is NumPy's (`<f8`, `<f4`, `<i8`, `|i1`, `|u1`) or `str`, and `<shape>` is printed as Python prints a tuple: `()`, `(3,)`, `(3, 4)`;
3. after each of these, the dataset's values: numbers as their bytes in row-major order, text as the canonical JSON of the flat list of strings.

## Seal

The first 512 bytes are HDF5's user block, which HDF5 libraries skip:

```
lossmap artifact
seal <SHA-256>
recipe <SHA-256 of the canonical JSON of [spec, code]>
inputs <SHA-256 of the canonical JSON of the inputs>
content <content digest>
```

in ASCII, each line ended by a line feed, the rest zero bytes. The seal is the SHA-256 of what follows its 64 digits, up to and with the last line feed, and of every byte of the file from the 513th on. A file whose seal does not hold was damaged or edited; the workflow refuses it.

## Kinds
"""


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


def render() -> str:
    """Return the text of ``docs/format.md``."""
    return _INTRODUCTION + "".join(map(_render_kind, find_declared()))


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
    print(render(), end="")
