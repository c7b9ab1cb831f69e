"""Loss landscapes: a workflow that rebuilds two papers, and functions for one's own notebook.

What is named here is imported when it is first used: ``import lossmap`` loads nothing heavy.
"""

from importlib import import_module

_PLACES = {
    "SnapshotRecorder": "artifacts.recording",
    "load_run": "network.notebook",
    "flatten": "network.notebook",
    "fit_plane": "geometry.notebook",
    "filter_normalized_plane": "network.notebook",
    "evaluate_landscape": "network.notebook",
    "evaluate_line": "network.notebook",
    "embed": "embedding.notebook",
    "plot_surface": "figures.notebook",
    "plot_contour": "figures.notebook",
    "explore": "interactive.notebook",
}
__all__ = list(_PLACES)


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module 'lossmap' has no attribute '{name}'")
    return getattr(import_module(f"lossmap.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_PLACES])
