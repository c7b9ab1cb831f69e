import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossmap.artifacts.declare import members
from lossmap.artifacts.layout import MAX_AXES, Layout, Tensors

SHAPES = st.lists(st.lists(st.integers(1, 5), max_size=MAX_AXES).map(tuple), min_size=0, max_size=6)


def make(shapes):
    names = [f"t{index}.weight" for index in range(len(shapes))]
    return Layout(names, ["conv"] * len(shapes), list(shapes))


@given(SHAPES)
def test_parts_tile_the_flat_vector_in_order(shapes):
    layout = make(shapes)
    flat = np.arange(layout.size)

    pieces = [flat[part].reshape(shape) for _, _, shape, part in layout.parts()]

    assert np.array_equal(np.concatenate([[], *map(np.ravel, pieces)]), flat)
    assert [piece.shape for piece in pieces] == shapes


@given(SHAPES)
def test_offsets_count_the_elements_before_each_tensor(shapes):
    layout = make(shapes)

    assert layout.offsets.dtype == np.int64
    assert layout.sizes == [len(np.zeros(shape).ravel()) for shape in shapes]
    assert layout.offsets.tolist() == [sum(layout.sizes[:index]) for index in range(len(shapes))]
    assert layout.size == sum(layout.sizes)


@given(SHAPES)
def test_datasets_give_the_layout_back(shapes):
    layout = make(shapes)

    assert Layout.from_tensors(layout.to_tensors()) == layout


def test_absent_axes_are_stored_as_length_zero():
    tensors = make([(2, 3), (4,)]).to_tensors()

    assert tensors.keys() == members(Tensors).keys()
    assert tensors["shape"].tolist() == [[2, 3, 0, 0], [4, 0, 0, 0]]
    assert tensors["offset"].tolist() == [0, 6]


def test_parts_name_tensor_and_kind():
    layout = Layout(["conv1.weight", "bn1.bias"], ["conv", "norm"], [(2, 1, 3, 3), (2,)])

    assert list(layout.parts()) == [
        ("conv1.weight", "conv", (2, 1, 3, 3), slice(0, 18)),
        ("bn1.bias", "norm", (2,), slice(18, 20)),
    ]


def test_kinds_of_another_length_are_refused():
    with pytest.raises(ValueError, match="zip"):
        list(Layout(["a", "b"], ["conv"], [(1,), (1,)]).parts())
