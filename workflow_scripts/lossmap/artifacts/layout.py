"""Where each tensor of a network lies in a flat vector; shared by several kinds of artifact."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypedDict

import numpy as np

from lossmap.artifacts.declare import i64, text

MAX_AXES = 4


class Tensors(TypedDict):
    """How a layout is stored: one row per tensor of a flat vector, in its order."""

    name: text["tensors"]
    """Name of the tensor in the network's state"""
    kind: text["tensors"]
    """conv, linear, norm, bias or other for parameters; buffer for running statistics"""
    shape: i64["tensors", "axes"]
    """Length along each of four axes; an axis that is absent has length 0 [elements]"""
    offset: i64["tensors"]
    """Index of the first element in the flat vector; within a tensor, row-major order [index]"""


class RawTensors(TypedDict, total=False):
    """How tensors of several types lie in one vector of bytes, none where there are no such."""

    name: text["tensors"]
    """Name of the tensor in the network's state"""
    dtype: text["tensors"]
    """Type of its elements, such as int64 or bool, stored little-endian"""
    shape: i64["tensors", "axes"]
    """Length along each of four axes; an axis that is absent has length 0 [elements]"""
    offset: i64["tensors"]
    """Index of the first byte in the flat vector; within a tensor, row-major order [index]"""


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

    def to_tensors(self) -> Tensors:
        """Return how this layout is stored."""
        return Tensors(
            name=list(self.names),
            kind=list(self.kinds),
            shape=pad_shapes(self.shapes),
            offset=self.offsets,
        )

    @classmethod
    def from_tensors(cls, found: Tensors) -> "Layout":
        """Return the layout that is stored in this way."""
        shapes = [tuple(int(n) for n in row if n) for row in found["shape"]]
        return cls(found["name"], found["kind"], shapes)


def pad_shapes(shapes: list[tuple[int, ...]]) -> np.ndarray:
    """Return one row of four lengths per tensor, int64 (tensors, 4), as both tables store them."""
    padded = np.zeros((len(shapes), MAX_AXES), np.int64)
    for row, shape in enumerate(shapes):
        padded[row, : len(shape)] = shape
    return padded
