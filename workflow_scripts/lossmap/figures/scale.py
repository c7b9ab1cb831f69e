"""From loss to height and color: one scale for all panels of a comparison.

A height is log10 of the loss on a log scale and the loss itself on a linear one. Surfaces, contours
and color bars all live in heights, and only their tick labels are losses.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, MaxNLocator

from lossmap.artifacts.curves import LOSS_LABEL
from lossmap.errors import LossmapError

SCALES = ("log", "linear")
_MANTISSAS = ((1, 1.5, 2, 3, 4, 5, 7), (1, 2, 3, 5), (1, 2, 5), (1, 3), (1,))
_NO_LOSS = (1.0, 10.0)  # the range of a comparison in which no loss can be drawn


@dataclass(frozen=True)
class LossScale:
    """The range of heights of a comparison.

    Attributes
    ----------
    name : ``log`` or ``linear``
    norm : from heights to colors; its limits are those of the grids
    bottom, top : lowest and highest height of anything drawn, marks and trajectories too
    label : what the losses are called, with their unit
    """

    name: str
    norm: Normalize
    bottom: float
    top: float
    label: str = LOSS_LABEL

    def to_height(self, loss: np.ndarray | float) -> np.ndarray:
        """Return the heights of losses, NaN where a loss cannot be drawn."""
        return to_height(loss, self.name)

    def to_loss(self, height: np.ndarray | float) -> np.ndarray:
        """Return the losses at heights."""
        return 10.0 ** np.asarray(height) if self.name == "log" else np.asarray(height)

    def choose_levels(self, bottom: float, top: float, at_most: int) -> np.ndarray:
        """Return round losses between two heights, log-spaced on a log scale."""
        low, high = (float(self.to_loss(height)) for height in (bottom, top))
        return _choose_levels(low, high, at_most, self.name)

    def choose_contours(self, heights: np.ndarray, at_most: int) -> np.ndarray:
        """Return the heights of a panel's contour lines, at round losses.

        The panels of a comparison share their levels, so that close lines mean steep; a panel that
        so few of them cross that it would look empty gets its own.
        """
        finite = heights[np.isfinite(heights)]
        if not finite.size:
            return np.zeros(0)
        low, high = float(finite.min()), float(finite.max())
        for bottom, top, number in (
            (self.norm.vmin, self.norm.vmax, at_most),
            (low, high, at_most // 2),
        ):
            levels = self.to_height(self.choose_levels(bottom, top, number))
            levels = levels[(levels > low) & (levels < high)]
            if len(levels) >= 3:
                break
        return levels

    def set_ticks(
        self, axis: Axis, bottom: float, top: float, at_most: int, at_least: int = 0
    ) -> None:
        """Tick an axis of heights at round losses; rather some more than fewer than `at_least`."""
        choices = [
            self.choose_levels(bottom, top, number) for number in range(at_most, at_most + 6)
        ]
        losses = next((each for each in choices if len(each) >= at_least), choices[0])
        axis.set_major_locator(FixedLocator(self.to_height(losses)))
        axis.set_major_formatter(FixedFormatter([format_loss(loss) for loss in losses]))
        axis.set_minor_locator(FixedLocator([]))


def to_height(loss: np.ndarray | float, name: str) -> np.ndarray:
    """Return the heights of losses on the scale `name`, NaN where a loss cannot be drawn."""
    loss = np.asarray(loss, np.float64)
    if name == "linear":
        return np.where(np.isfinite(loss), loss, np.nan)
    drawable = np.isfinite(loss) & (loss > 0)
    return np.where(drawable, np.log10(np.where(drawable, loss, 1.0)), np.nan)


def fit_scale(
    name: str,
    grids: Iterable[np.ndarray],
    others: Iterable[np.ndarray] = (),
    label: str = LOSS_LABEL,
) -> LossScale:
    """Return the scale that shows every finite loss of some grids, marks and trajectories.

    Parameters
    ----------
    name : ``log`` or ``linear``
    grids : losses that are colored
    others : losses of marks and trajectories, which the height must reach as well
    label : what they are called

    Raises
    ------
    LossmapError
        The scale has another name.
    """
    if name not in SCALES:
        raise LossmapError(f"z_scale: got '{name}', expected one of {', '.join(SCALES)}")
    colored = _span([to_height(loss, name) for loss in grids], name)
    reached = _span([np.array(colored), *(to_height(loss, name) for loss in others)], name)
    return LossScale(name, Normalize(*colored), *reached, label)


def _span(heights: list[np.ndarray], name: str) -> tuple[float, float]:
    finite = np.concatenate([np.ravel(height) for height in heights])
    finite = finite[np.isfinite(finite)]
    if not finite.size:
        return tuple(float(height) for height in to_height(np.array(_NO_LOSS), name))
    low, high = float(finite.min()), float(finite.max())
    if high - low > 1e-9 * max(abs(low), abs(high), 1.0):
        return low, high
    margin = 0.05 * max(abs(low), 0.1)  # a flat landscape is a plane halfway up
    return low - margin, high + margin


def _choose_levels(low: float, high: float, at_most: int, name: str) -> np.ndarray:
    slack = 1e-9 * (high - low)
    if name == "linear" or high / low < 4:
        found = MaxNLocator(at_most, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
        return found[(found >= low - slack) & (found <= high + slack)][:at_most]
    decades = np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    candidates = [np.outer(10.0**decades, mantissas).ravel() for mantissas in _MANTISSAS]
    candidates += [10.0 ** decades[decades % stride == 0] for stride in range(2, len(decades) + 1)]
    for levels in candidates:
        inside = levels[(levels >= low * (1 - 1e-9)) & (levels <= high * (1 + 1e-9))]
        if len(inside) <= at_most:
            break
    return inside


def format_loss(loss: float) -> str:
    """Return a loss as a tick label: plain between 0.001 and 9999, a power of ten beyond."""
    if loss == 0 or 1e-3 * (1 - 1e-9) <= abs(loss) < 1e4:
        return f"{loss:.6g}"
    mantissa, exponent = f"{loss:.4e}".split("e")
    factor = f"{float(mantissa):g}"
    power = f"10^{{{int(exponent)}}}"
    return f"${power}$" if factor == "1" else rf"${factor}\!\cdot\!{power}$"


def draw_loss_bar(
    figure: Figure, axes: Axes, length: float, *, scale: LossScale, colormap: object
) -> None:
    """Draw the color bar of a scale of losses, ticked at round losses."""
    mappable = ScalarMappable(scale.norm, colormap)
    bar = figure.colorbar(mappable, cax=axes, orientation="horizontal", label=scale.label)
    room = 0.28 if scale.name == "log" else 0.45  # inches for one label
    number = max(3, int(length / room))
    scale.set_ticks(bar.ax.xaxis, scale.norm.vmin, scale.norm.vmax, at_most=number)


def tick_epochs(first: float, last: float, length: float) -> list[float]:
    """Return round epochs along a bar of some inches, the last one always among them."""
    locator = MaxNLocator(max(3, int(length / 0.35)), integer=True, steps=[1, 2, 5, 10])
    inside = [float(tick) for tick in locator.tick_values(first, last) if first <= tick < last]
    spacing = inside[1] - inside[0] if len(inside) > 1 else 0.0
    if inside and last - inside[-1] < 0.5 * spacing:  # their labels would touch
        inside.pop()
    return [*inside, float(last)]
