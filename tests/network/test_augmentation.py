"""Rotation and color jitter of a batch are torchvision's, image by image."""

import numpy as np
import pytest
import torch
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from lossmap.network.augmentation import jitter_colors, rotate
from lossmap.network.images import draw_epoch, move_images, take_batch

JITTER = [0.4, 0.3, 0.2, 0.1]


def draw_images(shape=(6, 3, 12, 12), seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(6, 3, 12, 12), (6, 1, 9, 9), (6, 3, 8, 14)])
def test_each_image_is_turned_as_torchvision_turns_it(shape):
    images, degrees = draw_images(shape), torch.tensor([-45.0, -20.0, 0.0, 10.0, 30.0, 45.0])
    expected = [functional.rotate(i, float(d)) for i, d in zip(images, degrees, strict=True)]
    same = torch.isclose(rotate(images, degrees), torch.stack(expected))
    assert same.float().mean() > 0.995  # the nearest of two equally near pixels is either


def test_each_image_is_tinted_as_torchvision_tints_it():
    images = draw_images()
    factors = torch.tensor([1.0, 1.0, 1.0, 0.0]) + torch.tensor(JITTER) * (
        2 * draw_images((6, 4), seed=1) - 1
    )
    expected = []
    steps = ("brightness", "contrast", "saturation", "hue")
    for image, strengths in zip(images, factors, strict=True):
        tinted = image
        for name, strength in zip(steps, strengths, strict=True):
            tinted = getattr(functional, f"adjust_{name}")(tinted, float(strength))
        expected.append(tinted)
    found = jitter_colors(images, factors)
    torch.testing.assert_close(found, torch.stack(expected), rtol=0, atol=2e-6)


@pytest.mark.parametrize("color", [0.0, 0.3, 1.0])
def test_gray_stays_gray_under_any_hue(color):
    images = torch.full((2, 3, 4, 4), color)
    factors = torch.tensor([[1.0, 1.0, 1.0, 0.25], [1.0, 1.0, 1.5, -0.5]])
    found = jitter_colors(images, factors)  # the weights of a gray value add up to 0.9999
    torch.testing.assert_close(found, images, rtol=0, atol=5e-5)


def test_neutral_factors_change_nothing():
    images = draw_images()
    neutral = torch.tensor([[1.0, 1.0, 1.0, 0.0]]).expand(6, 4)
    torch.testing.assert_close(jitter_colors(images, neutral), images, rtol=0, atol=1e-6)


def test_one_channel_has_brightness_and_contrast_alone():
    images = draw_images((6, 1, 8, 8))
    some, other = torch.full((6, 4), 0.9), torch.full((6, 4), 0.9)
    other[:, 2:] = 0.2
    torch.testing.assert_close(jitter_colors(images, some), jitter_colors(images, other))


def test_draws_stay_within_the_strengths_of_the_recipe(dataset):
    images = move_images(dataset, "train", "cpu", 2)
    recipe = {"flip": True, "rotation": 30, "color_jitter": JITTER}
    plans = [draw_epoch(images, 0, epoch, recipe) for epoch in range(20)]
    degrees = torch.stack([plan.degrees for plan in plans])
    shifts = torch.stack([plan.colors for plan in plans]) - torch.tensor([1.0, 1.0, 1.0, 0.0])
    assert 25 < degrees.abs().max() <= 30
    assert (shifts.abs().amax((0, 1)) <= torch.tensor(JITTER) + 1e-6).all()
    assert (shifts.abs().amax((0, 1)) > 0.9 * torch.tensor(JITTER)).all()


def test_order_flips_and_crops_do_not_depend_on_the_other_draws(dataset):
    images = move_images(dataset, "train", "cpu", 2)
    plain = draw_epoch(images, 0, 0, {"flip": True, "rotation": 0, "color_jitter": None})
    rich = draw_epoch(images, 0, 0, {"flip": True, "rotation": 45, "color_jitter": JITTER})
    for name in ("order", "flips", "rows", "columns"):
        assert torch.equal(getattr(plain, name), getattr(rich, name))


def test_a_batch_is_cropped_flipped_turned_and_tinted(dataset):
    images = move_images(dataset, "train", "cpu")
    recipe = {"flip": False, "rotation": 45, "color_jitter": JITTER}
    plan = draw_epoch(images, 3, 1, recipe)
    batch, labels = take_batch(images, plan, slice(5, 9))
    rows = plan.order[5:9]
    pixels = torch.from_numpy(dataset.train_images[rows]).permute(0, 3, 1, 2) / 255.0
    expected = jitter_colors(rotate(pixels, plan.degrees[5:9]), plan.colors[5:9])
    mean, std = (torch.from_numpy(v).float().view(1, 3, 1, 1) for v in (dataset.mean, dataset.std))
    torch.testing.assert_close(batch, (expected - mean) / std, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(labels, dataset.train_labels[rows])


def test_every_image_of_a_batch_has_its_own_draw_unlike_one_transform_of_the_batch():
    image = draw_images((1, 3, 12, 12)).expand(6, 3, 12, 12)
    torch.manual_seed(0)
    same = v2.RandomRotation(45)(image)
    assert (same == same[:1]).all()
    turned = rotate(image, torch.linspace(-45, 45, 6))
    assert len({tuple(one.flatten().tolist()) for one in turned}) == 6
