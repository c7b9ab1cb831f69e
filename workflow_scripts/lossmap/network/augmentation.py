"""Rotation and color jitter of whole batches, every image with its own draw.

The operations are those of torchvision.transforms.v2 on float images, which draws once per call:
applied to a batch it would turn and tint all images alike. Knows tensors only.
"""

from functools import cache

import torch
from torch.nn.functional import affine_grid, grid_sample

LUMA = (0.2989, 0.587, 0.114)
"""Weights of red, green and blue in a gray value (ITU-R 601-2, as torchvision has them)."""


def rotate(images: torch.Tensor, degrees: torch.Tensor) -> torch.Tensor:
    """Return images turned counter-clockwise about their centers: nearest pixel, black outside.

    Parameters
    ----------
    images : float32 (batch, channels, height, width)
    degrees : float32 (batch,)
    """
    height, width = images.shape[2:]
    angle = torch.deg2rad(degrees)
    sine, cosine, zero = torch.sin(angle), torch.cos(angle), torch.zeros_like(angle)
    rows = [cosine, -sine * height / width, zero, sine * width / height, cosine, zero]
    inverse = torch.stack(rows, dim=1).view(-1, 2, 3)
    grid = affine_grid(inverse, list(images.shape), align_corners=False)
    return grid_sample(images, grid, mode="nearest", padding_mode="zeros", align_corners=False)


def jitter_colors(images: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """Return images of other brightness, contrast, saturation and hue, applied in this order.

    Parameters
    ----------
    images : float32 (batch, channels, height, width) in 0 … 1; saturation and hue need 3 channels
        and leave others alone
    factors : float32 (batch, 4); 1, 1, 1 and 0 change nothing, hue is in turns
    """
    brightness, contrast, saturation, hue = factors.T[:, :, None, None, None]
    images = (images * brightness).clamp(0.0, 1.0)
    images = _blend(images, _gray(images).mean(dim=(1, 2, 3), keepdim=True), contrast)
    if images.shape[1] != 3:
        return images
    return _shift_hue(_blend(images, _gray(images), saturation), hue[:, 0])


def _gray(images: torch.Tensor) -> torch.Tensor:
    if images.shape[1] != 3:
        return images
    weights = _constants(LUMA, images.device)
    return (images * weights).sum(dim=1, keepdim=True)


@cache
def _constants(values: tuple[float, ...], device: torch.device) -> torch.Tensor:
    """Return values for the channels; kept, because a captured step cannot copy from the CPU."""
    return torch.tensor(values, device=device).view(1, 3, 1, 1)


def _blend(images: torch.Tensor, other: torch.Tensor, ratio: torch.Tensor) -> torch.Tensor:
    return (ratio * images + (1.0 - ratio) * other).clamp(0.0, 1.0)


def _shift_hue(images: torch.Tensor, turns: torch.Tensor) -> torch.Tensor:
    """Turn the hue in HSV space: (batch, 3, height, width) by (batch, 1, 1) turns."""
    red, green, blue = images.unbind(1)
    value, least = images.amax(1), images.amin(1)
    chroma = value - least
    spread = chroma + (chroma == 0)  # never 0
    hue = torch.where(
        value == red,
        (green - blue) / spread,
        torch.where(value == green, 2.0 + (blue - red) / spread, 4.0 + (red - green) / spread),
    )
    sixths = 6.0 * turns + hue
    # f(n) = v - c max(0, min(k, 4 - k, 1)) with k = (n + h) mod 6, for n = 5, 3, 1
    offsets = _constants((5.0, 3.0, 1.0), turns.device)
    place = (offsets + sixths[:, None]) % 6.0
    return value[:, None] - chroma[:, None] * torch.minimum(place, 4.0 - place).clamp(0.0, 1.0)
