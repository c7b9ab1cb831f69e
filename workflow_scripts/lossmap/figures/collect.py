"""Collects what a figure draws: artifacts in, finished arrays out, panel by panel.

Knows no axes: a panel is drawn from these arrays and nothing else. Each kind of
panel documents their names in ``figure/*.h5``.
"""

from string import ascii_lowercase

from lossmap.figures import panels
from lossmap.figures.panel import Kind
from lossmap.figures.sources import Panel, Sources, Spec
from lossmap.kinds import find_kind


def collect_panels(spec: Spec, sources: Sources) -> dict[str, Panel]:
    """Return the arrays that a figure draws, by panel name (``panel-a``, ``panel-b`` …).

    Parameters
    ----------
    spec : the figure's entry of the registry
    sources : path of each artifact, by ``stage/name``

    Raises
    ------
    LossmapError
        A panel asks for something unknown, for an artifact that is not among the sources, or an
        artifact is damaged.
    """
    found = {}
    for name, panel in zip(panel_names(spec), spec["panels"], strict=True):
        where = f"{spec['figure']} {name}"
        found[name] = kind_of(panel, where).collect(panel, spec, sources, where)
    return found


def panel_names(spec: Spec) -> list[str]:
    """Return the names of a figure's panels, ``panel-a`` first."""
    return [f"panel-{letter}" for letter, _ in zip(ascii_lowercase, spec["panels"], strict=False)]


def kind_of(panel: Spec, where: str) -> Kind:
    """Return the kind of a panel, which the word under ``draw`` names; raises LossmapError."""
    return find_kind(panels, f"{where}: draw", panel["draw"]).KIND
