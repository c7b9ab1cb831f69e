"""Where each tensor of a network lies in a flat vector: the part of a format shared by kinds."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from lossmap.artifacts.store import Field

MAX_AXES = 4


def layout_fields(group: str, axis: str) -> dict[str, Field]:
    """Return the fields of a layout stored under `group`, one row per tensor."""
    return {
        f"{group}/name": Field("str", (axis,)),
        f"{group}/kind": Field("str", (axis,)),
        f"{group}/shape": Field("int64", (axis, f"{axis}_axes")),
        f"{group}/offset": Field("int64", (axis,)),
    }


@dataclass(frozen=True)
class Layout:
    """Names, kinds, shapes and offsets of the tensors in a flat vector.

    ``kinds`` are ``conv``, ``linear``, ``norm``, ``bias`` or ``other`` for parameters and
    ``buffer`` for running statistics.
    """

    names: list[str]
    kinds: list[str]
    shapes: list[tuple[int, ...]]

    @property
    def sizes(self) -> list[int]:
        """Return the number of elements of each tensor."""
        return [int(np.prod(shape)) for shape in self.shapes]

    @property
    def offsets(self) -> np.ndarray:
        """Return the index of each tensor's first element, int64."""
        return np.concatenate([[0], np.cumsum(self.sizes)])[: len(self.names)].astype(np.int64)

    @property
    def size(self) -> int:
        """Return the length of the flat vector."""
        return sum(self.sizes)

    def parts(self) -> Iterator[tuple[str, str, tuple[int, ...], slice]]:
        """Yield name, kind, shape and the slice of the flat vector, tensor by tensor."""
        for name, kind, shape, offset, size in zip(
            self.names, self.kinds, self.shapes, self.offsets, self.sizes, strict=True
        ):
            yield name, kind, shape, slice(int(offset), int(offset) + size)

    def to_datasets(self, group: str) -> dict[str, object]:
        """Return the datasets that store this layout; absent axes have length 0."""
        shapes = np.zeros((len(self.shapes), MAX_AXES), np.int64)
        for row, shape in enumerate(self.shapes):
            shapes[row, : len(shape)] = shape
        return {
            f"{group}/name": list(self.names),
            f"{group}/kind": list(self.kinds),
            f"{group}/shape": shapes,
            f"{group}/offset": self.offsets,
        }

    @classmethod
    def from_datasets(cls, found: Mapping[str, object], group: str) -> "Layout":
        """Return the layout stored in the datasets under `group`."""
        shapes = [tuple(int(n) for n in row if n) for row in found[f"{group}/shape"]]
        return cls(found[f"{group}/name"], found[f"{group}/kind"], shapes)
