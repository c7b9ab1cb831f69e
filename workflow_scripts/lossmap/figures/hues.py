"""Colors that mean something: a trajectory by hue, an epoch by lightness, a jump by gray.

Owns the palettes and the arithmetic of OKLab (B. Ottosson, 2020, https://bottosson.github.io/posts/
oklab), in which equal lightness looks equally light whatever the hue. Knows no panel and no axes.
"""

from functools import cache

import numpy as np
from matplotlib import color_sequences, colormaps
from matplotlib.colors import Colormap, ListedColormap

HUES = ((270.0, 0.20), (114.0, 0.12), (318.0, 0.12), (198.0, 0.07), (36.0, 0.07))
"""Hue (degrees) and chroma in OKLab of up to five categories: blue, ochre, purple, teal, brown.

Found by search: at every lightness of a ramp all pairs stay apart in chroma alone, also as seen
with protanopia and deuteranopia (Machado, Oliveira and Fernandes, 2009).
"""
FLAT = color_sequences["petroff10"]
"""Ten categories that need no lightness (M. Petroff, 2021, arXiv:2107.02270)."""
LIGHTEST, DARKEST = 0.87, 0.36
"""Ends of a ramp in OKLab's lightness; 0.87 is 85 % of CIE L*, still visible on white."""
MIDDLE = 0.4
"""Where on its ramp a hue is shown in a legend."""
STEPS = 256
_TO_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def to_oklab(colors: np.ndarray) -> np.ndarray:
    """Return sRGB colors (n, 3) in 0…1 as OKLab (n, 3): lightness, green-red, blue-yellow."""
    encoded = np.asarray(colors, np.float64)
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    return np.cbrt(linear @ _TO_CONES.T) @ _TO_LAB.T


def _to_linear(lab: np.ndarray) -> np.ndarray:
    return (lab @ np.linalg.inv(_TO_LAB).T) ** 3 @ np.linalg.inv(_TO_CONES).T


def from_oklab(lab: np.ndarray) -> np.ndarray:
    """Return OKLab colors (n, 3) as sRGB; what no screen can show loses chroma, not lightness."""
    lab = np.array(lab, np.float64)
    low, high = np.zeros(len(lab)), np.ones(len(lab))
    for _ in range(20):
        share = (low + high) / 2
        linear = _to_linear(lab * np.stack([np.ones(len(lab)), share, share], axis=1))
        shown = (linear >= -1e-6).all(axis=1) & (linear <= 1 + 1e-6).all(axis=1)
        low, high = np.where(shown, share, low), np.where(shown, high, share)
    linear = np.clip(_to_linear(lab * np.stack([np.ones(len(lab)), low, low], axis=1)), 0.0, 1.0)
    encoded = 1.055 * linear ** (1 / 2.4) - 0.055
    return np.clip(np.where(linear <= 0.0031308, 12.92 * linear, encoded), 0.0, 1.0)


@cache
def ramp(index: int, number: int) -> ListedColormap:
    """Return the ramp of one of `number` categories, from its lightest color to its darkest.

    More than five get evenly spaced hues, which not every eye can tell apart.
    """
    hue, chroma = HUES[index] if number <= len(HUES) else (360.0 * index / number, 0.13)
    angle = np.deg2rad(hue)
    lightness = np.linspace(LIGHTEST, DARKEST, STEPS)
    plane = np.tile([chroma * np.cos(angle), chroma * np.sin(angle)], (STEPS, 1))
    return ListedColormap(from_oklab(np.column_stack([lightness, plane])), f"hue-{index}")


def flat_colors(number: int) -> np.ndarray:
    """Return one color for each of `number` categories, (number, 3); beyond ten they are close."""
    if number <= len(FLAT):
        return np.array(FLAT[:number])
    return visible_map("turbo")(np.linspace(0, 1, number))[:, :3]


@cache
def visible_map(name: str) -> Colormap:
    """Return a colormap of matplotlib without the colors that vanish on white paper."""
    colors = colormaps[name](np.linspace(0, 1, STEPS))[:, :3]
    dark_enough = to_oklab(colors)[:, 0] <= LIGHTEST
    if dark_enough.sum() < 2:
        return colormaps[name]
    return ListedColormap(colors[dark_enough], name)


def step_colors(number: int) -> np.ndarray:
    """Return the grays of `number` step sizes, (number, 3), the smallest step white."""
    lightness = np.linspace(1.0, 0.15, number) if number > 1 else np.array([0.55])
    return from_oklab(np.column_stack([lightness, np.zeros((number, 2))]))


def darken(colors: np.ndarray, by: float) -> np.ndarray:
    """Return colors (n, 3) of the same hue, darker by a share of their lightness."""
    return from_oklab(to_oklab(colors) * np.array([1.0 - by, 1.0, 1.0]))
