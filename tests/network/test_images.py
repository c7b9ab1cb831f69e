"""Augmentation equals slicing and flipping image by image; every draw follows from its seed."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lossmap.errors import LossmapError
from lossmap.network.images import Epoch, choose_balanced, draw_epoch, move_images, take_batch

AUGMENTATION = {"flip": True, "rotation": 0, "color_jitter": None}

PADDING = 2


@pytest.fixture
def images(dataset):
    """Give images of unequal sides, so that rows and columns cannot be confused."""
    return move_images(replace(dataset, train_images=_crop(dataset)), "train", "cpu", PADDING)


def _crop(dataset) -> np.ndarray:
    return np.ascontiguousarray(dataset.train_images[:, :, :6])


def normalize_plainly(pixels: np.ndarray, dataset) -> np.ndarray:
    scaled = (pixels / 255.0 - dataset.mean) / dataset.std
    return scaled.transpose(2, 0, 1)


def test_batches_equal_padding_slicing_and_flipping_each_image(images, dataset):
    plan = draw_epoch(images, 4, 1, AUGMENTATION)
    found = [take_batch(images, plan, slice(start, start + 7)) for start in range(0, 30, 7)]
    inputs = torch.cat([inputs for inputs, _ in found])
    labels = torch.cat([labels for _, labels in found])
    sides = (PADDING, PADDING)
    padded = np.pad(_crop(dataset), ((0, 0), sides, sides, (0, 0)))
    for position, image in enumerate(plan.order.tolist()):
        row, column = int(plan.rows[position]), int(plan.columns[position])
        expected = padded[image, row : row + 8, column : column + 6]
        if plan.flips[position]:
            expected = expected[:, ::-1]
        expected = normalize_plainly(expected, dataset)
        np.testing.assert_allclose(inputs[position].numpy(), expected, atol=1e-5)
        assert labels[position] == dataset.train_labels[image]


@pytest.mark.parametrize(
    "changes", [{}, {"rotation": 45}, {"color_jitter": [0.4, 0.4, 0.4, 0.1]}], ids=str
)
def test_batches_lie_channels_last_whatever_was_done_to_them(images, changes):
    """Convolutions on CPUs take up to twice as long otherwise."""
    plan = draw_epoch(images, 4, 1, AUGMENTATION | changes)
    inputs, _ = take_batch(images, plan, slice(0, 7))
    assert inputs.is_contiguous(memory_format=torch.channels_last)


def test_draws_take_every_value(images):
    plans = [draw_epoch(images, 0, epoch, AUGMENTATION) for epoch in range(10)]
    for name in ("rows", "columns"):
        drawn = torch.cat([getattr(plan, name) for plan in plans])
        assert drawn.unique().tolist() == list(range(2 * PADDING + 1))
    flips = torch.cat([plan.flips for plan in plans])
    assert 0.35 < float(flips.double().mean()) < 0.65
    for plan in plans:
        assert plan.order.sort().values.tolist() == list(range(30))


def test_draws_depend_on_seed_and_epoch_alone(images):
    def draw(seed, epoch):
        found = vars(draw_epoch(images, seed, epoch, AUGMENTATION))
        return {name: drawn for name, drawn in found.items() if drawn is not None}

    first = draw(3, 5)
    torch.manual_seed(99)
    draw(3, 4)
    again = draw(3, 5)
    assert all(torch.equal(first[name], again[name]) for name in first)
    for other in (draw(3, 6), draw(4, 5), draw(5, 3)):
        assert not torch.equal(first["order"], other["order"])


def test_global_random_state_is_left_alone(images):
    before = torch.get_rng_state()
    draw_epoch(images, 0, 0, AUGMENTATION)
    assert torch.equal(torch.get_rng_state(), before)


def test_without_flip_and_padding_only_the_order_is_drawn(dataset):
    images = move_images(dataset, "train", "cpu")
    plan = draw_epoch(images, 0, 0, AUGMENTATION | {"flip": False})
    assert not plan.flips.any()
    assert not plan.rows.any()
    assert not plan.columns.any()
    inputs, _ = take_batch(images, plan, slice(0, 1))
    expected = normalize_plainly(dataset.train_images[int(plan.order[0])], dataset)
    np.testing.assert_allclose(inputs[0].numpy(), expected, atol=1e-5)


def test_padding_is_black_before_normalization(images, dataset):
    corner = torch.zeros(30, dtype=torch.int64)
    plan = Epoch(torch.arange(30), corner.bool(), corner, corner, None, None)
    inputs, _ = take_batch(images, plan, slice(0, 3))
    black = torch.from_numpy(-dataset.mean / dataset.std).float()
    border = inputs[:, :, :PADDING, :]
    torch.testing.assert_close(border, black[None, :, None, None].expand_as(border))


def test_normalized_images_have_mean_0_and_deviation_1(dataset):
    images = move_images(dataset, "train", "cpu")
    inputs = images.normalize(images.pixels).double()
    torch.testing.assert_close(inputs.mean((0, 2, 3)), torch.zeros(3).double(), atol=1e-5, rtol=0)
    deviation = inputs.std((0, 2, 3), correction=0)
    torch.testing.assert_close(deviation, torch.ones(3).double(), atol=1e-5, rtol=0)


def test_test_images_are_normalized_by_the_training_images(dataset):
    images = move_images(dataset, "test", "cpu")
    expected = normalize_plainly(dataset.test_images[4], dataset)
    np.testing.assert_allclose(images.normalize(images.pixels)[4].numpy(), expected, atol=1e-5)
    assert len(images) == 10
    assert images.size == (8, 8)


@pytest.mark.parametrize("count", [1, 7, 12, 25, 40])
def test_choice_is_balanced_as_far_as_possible(count):
    labels = np.array([0] * 20 + [1] * 20 + [2] * 3)
    chosen = choose_balanced(labels, count, seed=0)
    assert len(set(chosen.tolist())) == count
    found = np.bincount(labels[chosen], minlength=3)
    assert found[2] <= 3
    assert abs(found[0] - found[1]) <= 1
    assert found[2] == 3 or found.max() - found[2] <= 1


def test_choice_is_seeded_and_mixes_the_classes():
    labels = np.repeat(np.arange(3), 30)
    first, again, other = (choose_balanced(labels, 60, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert set(first.tolist()) != set(other.tolist())
    assert np.any(np.diff(labels[first]) < 0)


def test_choice_of_all_images_is_a_permutation():
    assert sorted(choose_balanced(np.array([0, 0, 0, 1]), 4, 0).tolist()) == [0, 1, 2, 3]


def test_more_images_than_there_are_is_refused():
    with pytest.raises(
        LossmapError, match=r"^evaluation.images: 5, but the data set has 4 training images"
    ):
        choose_balanced(np.zeros(4, np.int64), 5, 0)
