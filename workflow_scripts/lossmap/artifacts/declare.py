"""An artifact kind, declared once: a frozen dataclass whose annotations are its datasets.

From a declaration follow what is checked, saved and loaded (`store`) and ``docs/format.md``
(`describe`). The string below each dataset says what it means and ends in its unit in brackets.
Knows nothing of HDF5.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Annotated, Any, TypeVar, dataclass_transform, get_args, get_type_hints

import numpy as np

T = TypeVar("T")
_PYTHON = {"float64": float, "int64": int, "str": str}


@dataclass(frozen=True)
class Field:
    """One dataset of an artifact.

    ``dims`` names each axis; an axis name that occurs twice in a kind must have one length. A
    prefix of ``name`` that ends in a slash is its HDF5 group. ``dtype`` is a NumPy name or ``str``.
    """

    dtype: str
    dims: tuple[str, ...] = ()
    required: bool = True
    name: str = ""


@dataclass(frozen=True)
class Kind:
    """A file format: its name, its version and the datasets that a file must hold."""

    name: str
    version: int
    fields: Mapping[str, Field]


@dataclass(frozen=True)
class Part:
    """Datasets that are one object: a dataclass or typed dictionary, stored under a prefix."""

    made: type
    prefix: str = ""


class _Array:
    """`f64["rows", "rows"]` is an array of that type with named axes, `f64[()]` a number."""

    def __init__(self, dtype: str, name: str = "") -> None:
        self.dtype, self.name = dtype, name

    def at(self, name: str) -> "_Array":
        """Return the type of a dataset whose name in the file is not that of the attribute."""
        return _Array(self.dtype, name)

    def __getitem__(self, axes: str | tuple[str, ...]) -> Any:
        dims = (axes,) if isinstance(axes, str) else axes
        many = list[str] if self.dtype == "str" else np.ndarray
        python = many if dims else _PYTHON[self.dtype]
        return Annotated[python, Field(self.dtype, dims, name=self.name)]


f64, f32, i64, i8, u8, text = map(_Array, ("float64", "float32", "int64", "int8", "uint8", "str"))


class group:  # noqa: N801  (reads as a type: `continuity: group[Continuity]`)
    """`group[Made]` is a part whose datasets lie in an HDF5 group; its axes are its own."""

    def __class_getitem__(cls, made: type) -> Any:
        return Annotated[made, cls]


class stored(property):  # noqa: N801  (a decorator)
    """A property that is written for readers of the file and not read back."""

    field: Field


def store_as(hint: Any) -> Callable[[Callable], stored]:
    """Make a property a dataset: `@store_as(f64["rows"])`."""

    def declare(function: Callable) -> stored:
        made = stored(function)
        made.field = _member(function.__name__, hint, required=True)
        return made

    return declare


@dataclass_transform(frozen_default=True)
def artifact(name: str, version: int, per: str | None = None) -> Callable[[type[T]], type[T]]:
    """Make a class an artifact kind: its ``KIND`` follows from its annotations.

    With `per`, an object is one row of the file, and `per` the first axis of every dataset.
    """

    def declare(made: type[T]) -> type[T]:
        made = dataclass(frozen=True)(made)
        fields = dict(walk(Part(made)))
        if per:
            fields = {n: replace(field, dims=(per, *field.dims)) for n, field in fields.items()}
        made.KIND = Kind(name, version, fields)
        return made

    return declare


@cache
def members(made: type) -> dict[str, Field | Part]:
    """Return what each attribute of a declared class is: a dataset, or a part of several.

    Raises
    ------
    TypeError
        An annotation declares neither.
    """
    required = getattr(made, "__total__", True)
    hints = get_type_hints(made, include_extras=True)
    return {name: _member(name, hint, required) for name, hint in hints.items()}


def _member(name: str, hint: Any, required: bool) -> Field | Part:
    options = get_args(hint)
    if type(None) in options:
        return _member(name, options[0], required=False)
    if isinstance(hint, type):
        return Part(hint)
    if group in options:
        return Part(options[0], f"{name}/")
    if not any(isinstance(option, Field) for option in options):
        raise TypeError(f"'{name}' is declared as {hint}, expected a dataset such as f64['rows']")
    return replace(options[-1], name=options[-1].name or name, required=required)


def derived(made: type) -> dict[str, Field]:
    """Return the datasets that are written from a class's properties."""
    return {n: p.field for n, p in vars(made).items() if isinstance(p, stored)}


def walk(member: Field | Part, prefix: str = "") -> Iterator[tuple[str, Field]]:
    """Yield name and field of every dataset of a member."""
    if isinstance(member, Field):
        yield prefix + member.name, member
        return
    inside = prefix + member.prefix
    for inner in (members(member.made) | derived(member.made)).values():
        for name, field in walk(inner, inside):
            yield name, replace(field, dims=tuple(member.prefix + axis for axis in field.dims))


def to_datasets(value: object, member: Field | Part, prefix: str = "") -> dict[str, object]:
    """Return the datasets that hold a value, by name; what is None or absent is left out."""
    if isinstance(member, Field):
        return {} if value is None else {prefix + member.name: value}
    get = value.get if isinstance(value, Mapping) else lambda name: getattr(value, name)
    found: dict[str, object] = {}
    for name, inner in (members(member.made) | derived(member.made)).items():
        found |= to_datasets(get(name), inner, prefix + member.prefix)
    return found


def from_datasets(found: Mapping[str, Any], member: Field | Part, prefix: str = "") -> Any:
    """Return the value that datasets hold, None where there is none; a scalar is Python's own."""
    if isinstance(member, Field):
        value = found.get(prefix + member.name)
        return value if member.dims or value is None or member.dtype == "str" else value.item()
    values = {
        name: from_datasets(found, inner, prefix + member.prefix)
        for name, inner in members(member.made).items()
    }
    return member.made(**{name: value for name, value in values.items() if value is not None})
