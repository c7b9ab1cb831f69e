"""What a claim is measured on: entries of the configuration, with artifacts loaded on demand.

A case takes from the specification what its artifacts do not record, and knows where they are.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lossmap.artifacts.basis import Basis
from lossmap.artifacts.curvature import read_sharpness
from lossmap.artifacts.distance import Cloud
from lossmap.artifacts.embedding import Embedding
from lossmap.artifacts.figure import Table, load_panels
from lossmap.artifacts.grid import Grid
from lossmap.artifacts.projection import Projection
from lossmap.artifacts.provenance import Sources
from lossmap.artifacts.ring import Ring
from lossmap.artifacts.store import load, load_part
from lossmap.artifacts.trajectory import History, Trajectory


@dataclass(frozen=True)
class Case:
    """One entry of the configuration.

    Attributes
    ----------
    name : of the entry
    sources : path of each artifact by ``stage/name``
    """

    name: str
    sources: Sources


class BasisCase(Case):
    """A plane."""

    def part(self, name: str) -> np.ndarray:
        """Return one dataset of the basis without the directions, which are as long as θ."""
        return load_part(self.sources[f"basis/{self.name}"], Basis, name)


class TableCase(Case):
    """A table."""

    @cached_property
    def columns(self) -> dict[str, object]:
        """Every column of the long table by its name, see artifacts/figure.py."""
        return load_panels(self.sources[f"table/{self.name}"], Table)["table"]


@dataclass(frozen=True)
class GridCase(Case):
    """A landscape and its plane."""

    basis: BasisCase

    @cached_property
    def grid(self) -> Grid:
        """The losses."""
        return load(self.sources[f"grid/{self.name}"], Grid)


@dataclass(frozen=True)
class PlaneCase(Case):
    """Something evaluated on the planes of a run.

    Attributes
    ----------
    of : the data set and the network, as figures call them
    seed : of the run
    """

    of: str
    seed: int


class RingCase(PlaneCase):
    """A ring around a center."""

    @cached_property
    def ring(self) -> Ring:
        """The losses and the gradient."""
        return load(self.sources[f"ring/{self.name}"], Ring)


class ProjectionCase(PlaneCase):
    """A trajectory and its projections."""

    @cached_property
    def projection(self) -> Projection:
        """The losses at the snapshots and at their projections."""
        return load(self.sources[f"projection/{self.name}"], Projection)


@dataclass(frozen=True)
class RunCase(Case):
    """A run.

    Attributes
    ----------
    label : the optimizer, as the second paper calls it
    seed : of initialization and batches
    whole : the data set, where all of CIFAR is trained on, as printed; else empty
    """

    label: str
    seed: int
    whole: str = ""

    @cached_property
    def history(self) -> History:
        """The curves of the training."""
        return load_part(self.sources[f"trajectory/{self.name}"], Trajectory, "history")


@dataclass(frozen=True)
class CurvatureCase(Case):
    """The curvature at a snapshot of a run."""

    run: RunCase

    @cached_property
    def measures(self) -> dict[str, float]:
        """Sharpness, and what the run had reached at the snapshot, by name."""
        found = read_sharpness(self.sources[f"curvature/{self.name}"], self.run.history)
        return {words: found[name] for words, name in _SHARPNESS.items()}


_SHARPNESS = {
    "largest eigenvalue": "largest_eigenvalue",
    "largest eigenvalue, residual": "residual",
    "trace": "trace",
    "trace, standard error": "trace_error",
    "scaled trace": "scaled_trace",
    "scaled trace, standard error": "scaled_trace_error",
    "training loss": "train_loss",
    "test accuracy": "test_accuracy",
}


@dataclass(frozen=True)
class EmbeddingCase(Case):
    """An embedding.

    Attributes
    ----------
    technique : its settings, ``method`` and ``metric`` among them
    """

    technique: Mapping[str, object]

    @cached_property
    def embedding(self) -> Embedding:
        """The points and the method's diagnostics."""
        return load(self.sources[f"embedding/{self.name}"], Embedding)


@dataclass(frozen=True)
class CloudCase(Case):
    """A cloud of weight vectors and its embeddings.

    Attributes
    ----------
    of : the cloud that a null model imitates, None for others
    model : which null model it is, None for others
    seed : of the null model, the tree or the run of the minimum; -1 for a cloud of runs
    rates : learning rate of the retraining and the last of the training, of a minimum's cloud
    runs : members of a cloud of runs
    embeddings : in the order of their names
    """

    of: str | None
    runs: tuple[RunCase, ...]
    embeddings: tuple[EmbeddingCase, ...]
    model: str | None = None
    seed: int = -1
    rates: tuple[float, float] | None = None

    @cached_property
    def cloud(self) -> Cloud:
        """The exact pairwise geometry."""
        return load(self.sources[f"distance/{self.name}"], Cloud)


def open_case(registry: str, told: dict | str, sources: Sources) -> Case:
    """Return a case from what the specification tells of it; loads nothing.

    Parameters
    ----------
    registry : part of the configuration that it belongs to
    told : its name where nothing more is needed; otherwise see `claims_spec`
    sources : path of each artifact by ``stage/name``
    """
    return _OPENERS[registry](told, sources)


def _open_grid(told: dict, sources: Sources) -> GridCase:
    return GridCase(told["grid"], sources, BasisCase(told["basis"], sources))


def _open_ring(told: dict, sources: Sources) -> RingCase:
    return RingCase(told["ring"], sources, told["of"], told["seed"])


def _open_projection(told: dict, sources: Sources) -> ProjectionCase:
    return ProjectionCase(told["projection"], sources, told["of"], told["seed"])


def _open_run(told: dict, sources: Sources) -> RunCase:
    return RunCase(told["run"], sources, told["label"], told["seed"], told.get("whole", ""))


def _open_curvature(told: dict, sources: Sources) -> CurvatureCase:
    return CurvatureCase(told["curvature"], sources, _open_run(told["run"], sources))


def _open_cloud(told: dict, sources: Sources) -> CloudCase:
    return CloudCase(
        told["cloud"],
        sources,
        told["of"],
        tuple(_open_run(run, sources) for run in told["runs"]),
        tuple(EmbeddingCase(n, sources, t) for n, t in sorted(told["embeddings"].items())),
        told.get("model"),
        told.get("seed", -1),
        tuple(told["rates"]) if "rates" in told else None,
    )


_OPENERS = {
    "bases": BasisCase,
    "clouds": _open_cloud,
    "curvatures": _open_curvature,
    "grids": _open_grid,
    "projections": _open_projection,
    "rings": _open_ring,
    "runs": _open_run,
    "tables": TableCase,
}
