"""Images as one tensor on the device: seeded order, augmentation and normalization of batches."""

from dataclasses import dataclass, replace

import numpy as np
import torch

from lossmap.artifacts.dataset import Dataset
from lossmap.errors import LossmapError
from lossmap.network.augmentation import jitter_colors, rotate
from lossmap.network.loaders.assembly import rank_in_class


@dataclass(frozen=True)
class Images:
    """Labeled images on a device.

    Attributes
    ----------
    pixels : uint8 (n, height + 2 padding, width + 2 padding, channels), zero-padded
    labels : int64 (n,)
    mean, deviation : float32 (channels,), of pixels scaled to 0 … 255
    padding : pixels on each side
    channels_first : how batches lie in memory, see `normalize`
    """

    pixels: torch.Tensor
    labels: torch.Tensor
    mean: torch.Tensor
    deviation: torch.Tensor
    padding: int
    channels_first: bool = False

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)

    @property
    def size(self) -> tuple[int, int]:
        """Return height and width of an image without padding."""
        height, width = self.pixels.shape[1:3]
        return height - 2 * self.padding, width - 2 * self.padding

    def normalize(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return float32 (batch, channels, height, width) of mean 0 and standard deviation 1.

        The memory is channels-last, which convolutions on CPUs, and on GPUs in tf32 and bf16, run
        up to twice as fast on; on a GPU in float32 it is channels-first, a third faster there.
        """
        scaled = (pixels.float() - self.mean) / self.deviation
        if self.channels_first:
            return scaled.permute(0, 3, 1, 2).contiguous()
        return scaled.contiguous().permute(0, 3, 1, 2)  # rotation leaves it channels-first


def move_images(
    dataset: Dataset, split: str, device: str, padding: int = 0, precision: str = "float32"
) -> Images:
    """Return the ``train`` or ``test`` images of a data set as tensors on `device`.

    `precision` is that in which a network will see them.
    """
    pixels = torch.from_numpy(getattr(dataset, f"{split}_images"))
    pixels = torch.nn.functional.pad(pixels, (0, 0) + (padding,) * 4)
    labels = torch.from_numpy(getattr(dataset, f"{split}_labels"))
    mean, deviation = (
        torch.from_numpy(255.0 * values).float().to(device)
        for values in (dataset.mean, dataset.std)
    )
    channels_first = device == "cuda" and precision == "float32"
    tensors = (pixels.to(device), labels.to(device), mean, deviation)
    return Images(*tensors, padding, channels_first)


def use_moments(dataset: Dataset, spec: dict) -> Dataset:
    """Return a data set whose pixels are normalized as a run says under ``normalize``, if it does.

    ``mean`` and ``std`` are of pixels scaled to 0 … 1, one number per channel.

    Raises
    ------
    LossmapError
        There is another number of channels.
    """
    if "normalize" not in spec:
        return dataset
    channels = dataset.train_images.shape[3]
    mean, std = (np.asarray(spec["normalize"][key], np.float64) for key in ("mean", "std"))
    if not len(mean) == len(std) == channels:
        raise LossmapError(
            f"runs.{spec['run']}.normalize: {len(mean)} means and {len(std)} deviations, but the "
            f"images have {channels} channels; give one of each per channel"
        )
    return replace(dataset, mean=mean, std=std)


@dataclass(frozen=True)
class Epoch:
    """The random decisions of one epoch, drawn on the CPU so that every device sees the same.

    Attributes
    ----------
    order : int64 (n,), a permutation of the images
    flips : bool (n,), horizontal mirror images
    rows, columns : int64 (n,), offsets of the crops in the padded images
    degrees : float32 (n,), angles of rotation, or None
    colors : float32 (n, 4), factors of brightness, contrast, saturation and hue, or None
    """

    order: torch.Tensor
    flips: torch.Tensor
    rows: torch.Tensor
    columns: torch.Tensor
    degrees: torch.Tensor | None
    colors: torch.Tensor | None


def epoch_generator(seed: int, epoch: int) -> torch.Generator:
    """Return a generator that is a function of seed and epoch alone."""
    words = np.random.SeedSequence([seed, epoch]).generate_state(2)
    return torch.Generator().manual_seed(int(words[0]) << 32 | int(words[1]))


def draw_epoch(images: Images, seed: int, epoch: int, augmentation: dict) -> Epoch:
    """Draw order and augmentation as a function of seed and epoch alone.

    No generator state has to be saved, so a resumed run sees what an undisturbed one would.

    Parameters
    ----------
    images : to be ordered; their padding bounds the crops
    augmentation : ``flip``, ``rotation`` (largest angle, degrees), ``color_jitter`` (largest
        changes of brightness, contrast, saturation and hue, or None)
    """
    count, device = len(images), images.labels.device
    generator = epoch_generator(seed, epoch)
    order = torch.randperm(count, generator=generator)
    flips = torch.rand(count, generator=generator) < (0.5 if augmentation["flip"] else 0.0)
    offsets = torch.randint(0, 2 * images.padding + 1, (2, count), generator=generator)
    degrees = colors = None
    if angle := augmentation["rotation"]:
        degrees = (angle * (2.0 * torch.rand(count, generator=generator) - 1.0)).to(device)
    if strengths := augmentation["color_jitter"]:
        shifts = 2.0 * torch.rand((count, 4), generator=generator) - 1.0
        factors = torch.tensor([1.0, 1.0, 1.0, 0.0]) + torch.tensor(strengths) * shifts
        colors = factors.to(device)
    return Epoch(*(t.to(device) for t in (order, flips, *offsets)), degrees, colors)


def take_batch(
    images: Images, epoch: Epoch, batch: slice | torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return one augmented, normalized batch and its labels; `batch` are positions in the epoch.

    Crop and mirror image are one gather: output pixel (r, c) of an image is padded pixel
    (row + r, column + c), counted from the right where it is flipped.
    """
    chosen = epoch.order[batch]
    height, width = images.size
    device = chosen.device
    across = torch.arange(width, device=device).expand(len(chosen), width)
    across = torch.where(epoch.flips[batch, None], width - 1 - across, across)
    columns = (epoch.columns[batch, None] + across)[:, None, :]
    rows = (epoch.rows[batch, None] + torch.arange(height, device=device))[:, :, None]
    pixels = images.pixels[chosen[:, None, None], rows, columns]
    if epoch.degrees is not None or epoch.colors is not None:
        pixels = _distort(pixels, epoch, batch)
    return images.normalize(pixels), images.labels[chosen]


def _distort(pixels: torch.Tensor, epoch: Epoch, batch: slice | torch.Tensor) -> torch.Tensor:
    """Return pixels (batch, height, width, channels), 0 … 255, turned and tinted."""
    shares = pixels.permute(0, 3, 1, 2).contiguous().float() / 255.0
    if epoch.degrees is not None:
        shares = rotate(shares, epoch.degrees[batch])
    if epoch.colors is not None:
        shares = jitter_colors(shares, epoch.colors[batch])
    return 255.0 * shares.permute(0, 2, 3, 1)


def choose_balanced(
    labels: np.ndarray, count: int, seed: int, setting: str = "evaluation.images"
) -> np.ndarray:
    """Return `count` indices, equally many of each class as far as possible, in seeded order.

    `setting` is the name of `count` in the configuration, for the message.

    Raises
    ------
    LossmapError
        There are fewer images than asked for.
    """
    if count > len(labels):
        raise LossmapError(
            f"{setting}: {count}, but the data set has {len(labels)} training images"
        )
    generator = np.random.default_rng(seed)
    shuffled = generator.permutation(len(labels))
    turns = rank_in_class(labels[shuffled])
    chosen = shuffled[np.argsort(turns, kind="stable")][:count]
    return generator.permutation(chosen)
