"""Every stage of the workflow, declared once.

Rules, targets, limits, estimate, audit, archive and the hash of the code ask this table for what
they know of a stage. To add one: a `Stage` here, or in a module that the configuration lists under
``extensions``; a rule and an entry script, both named after its maker.
"""

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lossmap.artifacts.basis import Basis
from lossmap.artifacts.canonical import canonical_json
from lossmap.artifacts.claims import Ledger
from lossmap.artifacts.curvature import Curvature
from lossmap.artifacts.dataset import Dataset
from lossmap.artifacts.distance import Cloud
from lossmap.artifacts.embedding import Embedding
from lossmap.artifacts.figure import Animation, Figure, Table
from lossmap.artifacts.grid import Grid
from lossmap.artifacts.jumps import Jumps, spec_of_resume_points
from lossmap.artifacts.line import Line
from lossmap.artifacts.projection import Projection
from lossmap.artifacts.ring import Ring
from lossmap.artifacts.topology import Topology
from lossmap.artifacts.trajectory import Trajectory
from lossmap.errors import LossmapError
from lossmap.workflow import costs, specs
from lossmap.workflow.configuration import embedding_names, is_imported, jump_names

ROOT = Path(__file__).resolve().parents[3]
MARGIN = 4
"""Time limits are this many times the estimate."""


@dataclass(frozen=True)
class Pack:
    """The artifacts of one job: a stem, and what is appended to it for the name of each."""

    stem: str
    suffixes: tuple[str, ...] = ("",)

    @property
    def names(self) -> list[str]:
        """Return the names of the artifacts; the job is known by the first."""
        return [self.stem + suffix for suffix in self.suffixes]


@dataclass(frozen=True)
class Maker:
    """One way to make artifacts of a stage: a rule, and the entry script of the same name.

    Attributes
    ----------
    rule : name of ``rules/<rule>.smk``, of the rule in it and of ``workflow_scripts/<rule>.py``
    spec : parameters that make one artifact, from the configuration and its name
    sources : artifacts that it is made from, as ``stage/name``
    cost : what it takes
    applies : whether it makes the artifact of that name
    run : whose network it computes with, on a GPU where there is one; None for arrays alone
    factories : functions outside of the workflow, ``module:function``, that the code reaches
    files : files outside of the results that it is made from; None where there are none
    packs : what each job makes, where a job makes more than one artifact
    resume_spec : what the resume points of a specification depend on; None where a killed job
        begins anew
    minutes : time limit of the smallest job
    home : folder in which ``rules`` and ``workflow_scripts`` lie
    """

    rule: str
    spec: Callable[[dict, str], dict]
    sources: Callable[[dict, str], list[str]]
    cost: Callable[[dict, str], costs.Cost]
    applies: Callable[[dict, str], bool] = lambda config, name: True
    run: Callable[[dict, str], str] | None = None
    factories: Callable[[dict, str], tuple[str, ...]] = lambda config, name: ()
    files: Callable[[dict, str], list[Path]] | None = None
    packs: Callable[[dict], list[tuple[str, tuple[str, ...]]]] | None = None
    resume_spec: Callable[[Mapping], str] | None = None
    minutes: int = 10
    home: Path = ROOT

    @property
    def script(self) -> Path:
        """Return the entry script."""
        return self.home / "workflow_scripts" / f"{self.rule}.py"

    @property
    def rule_file(self) -> Path:
        """Return the file of the rule."""
        return self.home / "rules" / f"{self.rule}.smk"

    def reached(self, config: dict, name: str) -> tuple[str, ...]:
        """Return every function that is found by its name at run time, ``module:function``."""
        network = (specs.factory_of(config, self.run(config, name)),) if self.run else ()
        return (*network, *self.factories(config, name))


class Stage:
    """What there is to know of a stage.

    Parameters
    ----------
    name : of the folder that its artifacts lie in
    kind : their file format, a class that `artifact` declares
    names : their names in a configuration
    makers : at least one; the first that applies to a name makes it
    renderings : suffixes of the files beside an artifact that people look at
    target : its artifacts can be asked for by name
    """

    def __init__(
        self,
        name: str,
        kind: type,
        names: Callable[[dict], Iterable[str]],
        maker: Maker,
        *makers: Maker,
        renderings: tuple[str, ...] = (),
        target: bool = False,
    ):
        self.name, self.kind, self.names, self.makers = name, kind.KIND, names, (maker, *makers)
        self.renderings, self.target = renderings, target


STAGES: dict[str, Stage] = {}
"""By name, in the order of the data."""


def declare(stage: Stage) -> None:
    """Add a stage to the table.

    Raises
    ------
    LossmapError
        Its name or a rule's is taken, or a rule or an entry script is not there.
    """
    taken = {maker.rule for other in STAGES.values() for maker in other.makers}
    if stage.name in STAGES:
        raise LossmapError(f"stage '{stage.name}' is declared twice; choose another name")
    for maker in stage.makers:
        if maker.rule in taken:
            raise LossmapError(f"stage '{stage.name}': another stage has a rule '{maker.rule}'")
        for file in (maker.rule_file, maker.script):
            if not file.is_file():
                raise LossmapError(f"stage '{stage.name}': {file} is missing; add it")
    STAGES[stage.name] = stage


def declare_extensions(config: Mapping) -> None:
    """Import the modules under ``extensions``, which declare stages of the user's own.

    Raises
    ------
    LossmapError
        A module cannot be found.
    """
    for name in config["extensions"]:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            raise LossmapError(
                f"configuration: extensions: {error}; put its folder on PYTHONPATH"
            ) from error


def _in(registry: str) -> Callable[[dict], Iterable[str]]:
    return lambda config: config[registry]


for _stage in (
    Stage(
        "dataset",
        Dataset,
        _in("datasets"),
        # 30 minutes: it may have to be downloaded.
        Maker(
            "dataset",
            specs.dataset_spec,
            lambda config, name: [],
            costs.dataset_cost,
            files=specs.dataset_files,
            minutes=30,
        ),
    ),
    Stage(
        "trajectory",
        Trajectory,
        _in("runs"),
        Maker(
            "imported_trajectory",
            specs.imported_spec,
            specs.trajectory_sources,
            costs.import_cost,
            applies=is_imported,
            run=lambda config, name: name,
            files=specs.checkpoint_files,
            resume_spec=canonical_json,
        ),
        Maker(
            "trajectory",
            specs.trajectory_spec,
            specs.trajectory_sources,
            costs.trajectory_cost,
            run=lambda config, name: name,
            resume_spec=canonical_json,
        ),
    ),
    Stage(
        "curvature",
        Curvature,
        _in("curvatures"),
        Maker(
            "curvature",
            specs.curvature_spec,
            specs.curvature_sources,
            costs.curvature_cost,
            run=specs.run_of_curvature,
        ),
    ),
    Stage(
        "basis",
        Basis,
        _in("bases"),
        Maker(
            "hessian_basis",
            specs.basis_spec,
            specs.hessian_basis_sources,
            costs.basis_cost,
            applies=lambda config, name: config["bases"][name]["method"] == "hessian",
        ),
        Maker("basis", specs.basis_spec, specs.basis_sources, costs.basis_cost),
    ),
    Stage(
        "grid",
        Grid,
        _in("grids"),
        Maker("grid", specs.grid_spec, specs.grid_sources, costs.grid_cost, run=specs.run_of_grid),
    ),
    Stage(
        "projection",
        Projection,
        _in("projections"),
        Maker(
            "projection",
            specs.projection_spec,
            specs.projection_sources,
            costs.projection_cost,
            run=specs.run_of_projection,
        ),
    ),
    Stage(
        "ring",
        Ring,
        _in("rings"),
        Maker("ring", specs.ring_spec, specs.ring_sources, costs.ring_cost, run=specs.run_of_ring),
    ),
    Stage(
        "line",
        Line,
        _in("lines"),
        Maker("line", specs.line_spec, specs.line_sources, costs.line_cost, run=specs.run_of_line),
    ),
    Stage(
        "jumps",
        Jumps,
        jump_names,
        Maker(
            "jumps",
            specs.jumps_spec,
            specs.jumps_sources,
            costs.jumps_cost,
            run=specs.run_of_jumps,
            packs=specs.jump_packs,
            resume_spec=spec_of_resume_points,
        ),
    ),
    Stage(
        "distance",
        Cloud,
        _in("clouds"),
        Maker("distance", specs.distance_spec, specs.distance_sources, costs.distance_cost),
    ),
    Stage(
        "embedding",
        Embedding,
        embedding_names,
        Maker(
            "embedding",
            specs.embedding_spec,
            specs.embedding_sources,
            costs.embedding_cost,
            minutes=30,
        ),
    ),
    Stage(
        "topology",
        Topology,
        _in("topologies"),
        Maker("topology", specs.topology_spec, specs.topology_sources, costs.topology_cost),
    ),
    Stage(
        "figure",
        Figure,
        _in("figures"),
        Maker("figure", specs.figure_spec, specs.figure_sources, costs.drawing_cost),
        renderings=("pdf", "png"),
        target=True,
    ),
    Stage(
        "table",
        Table,
        _in("tables"),
        Maker(
            "curvature_table",
            specs.curvature_table_spec,
            specs.curvature_table_sources,
            costs.drawing_cost,
            applies=lambda config, name: "minima" in config["tables"][name],
        ),
        Maker("table", specs.table_spec, specs.table_sources, costs.drawing_cost),
        renderings=("csv", "tex", "html"),
        target=True,
    ),
    Stage(
        "animation",
        Animation,
        _in("animations"),
        Maker(
            "animation",
            partial(specs.figure_spec, registry="animations"),
            partial(specs.figure_sources, registry="animations"),
            costs.drawing_cost,
            minutes=30,
        ),
        renderings=("{movie}",),
        target=True,
    ),
    Stage(
        "claims",
        Ledger,
        specs.ledger_names,
        Maker(
            "joined_ledger",
            lambda config, name: {"papers": sorted(config["claims"])},
            lambda config, name: [f"claims/{paper}" for paper in sorted(config["claims"])],
            costs.drawing_cost,
            applies=lambda config, name: name == specs.LEDGER,
        ),
        Maker(
            "ledger",
            specs.claims_spec,
            specs.claims_sources,
            costs.drawing_cost,
            factories=specs.claim_roots,
        ),
        renderings=("csv", "numbers.csv", "html"),
    ),
):
    declare(_stage)


def maker_of(config: dict, stage: str, name: str) -> Maker:
    """Return what makes an artifact."""
    return next(maker for maker in STAGES[stage].makers if maker.applies(config, name))


def all_makers() -> Iterator[tuple[str, Maker]]:
    """Yield every maker with the name of its stage."""
    for stage in STAGES.values():
        yield from ((stage.name, maker) for maker in stage.makers)


def stage_of(rule: str) -> str:
    """Return the stage whose artifacts a rule makes."""
    return next(stage for stage, maker in all_makers() if maker.rule == rule)


def sources(config: dict, stage: str, name: str) -> list[str]:
    """Return the artifacts that one artifact is made from, as ``stage/name``."""
    return maker_of(config, stage, name).sources(config, name)


def spec_of(config: dict, stage: str, name: str) -> dict:
    """Return the parameters that make one artifact."""
    return maker_of(config, stage, name).spec(config, name)


def cost_of(config: dict, stage: str, name: str) -> costs.Cost:
    """Return the cost of one artifact."""
    return maker_of(config, stage, name).cost(config, name)


def packs(config: dict, rule: str) -> list[Pack]:
    """Return what each job of a rule makes."""
    stage, maker = next(pair for pair in all_makers() if pair[1].rule == rule)
    if maker.packs is not None:
        return [Pack(*found) for found in maker.packs(config)]
    names = STAGES[stage].names(config)
    return [Pack(name) for name in names if maker_of(config, stage, name) is maker]


def pack_of(config: dict, stage: str, name: str) -> Pack:
    """Return the pack of the job that makes an artifact."""
    maker = maker_of(config, stage, name)
    if maker.packs is None:
        return Pack(name)
    return next(pack for pack in packs(config, maker.rule) if name in pack.names)


def job_seconds(config: dict, stage: str, names: Iterable[str], gpu: bool) -> float:
    """Return the seconds of a job that makes some artifacts, by the rates of the configuration.

    A pass through a small network takes a GPU no less time than launching its operations does.
    """
    names = list(names)
    needed = [cost_of(config, stage, name) for name in names]
    flop, calls = 2 * sum(cost.macs for cost in needed), sum(cost.calls for cost in needed)
    rates = config["resources"]
    maker = maker_of(config, stage, names[0])
    if gpu and maker.run:
        gflops = _gpu_gflops(config, maker, maker.run(config, names[0]))
        computing = max(flop / (1e9 * gflops), calls * rates["gpu_call_ms"] / 1e3)
    else:
        computing = flop / (1e9 * rates["gflops"] * rates["threads"].get(stage, 1))
    return costs.START_SECONDS + computing + sum(cost.seconds for cost in needed)


def _gpu_gflops(config: dict, maker: Maker, run: str) -> float:
    """Return what one GPU sustains on a run's network, in training or in evaluation."""
    rates = config["resources"]["gpu_gflops"]["training" if maker.resume_spec else "evaluation"]
    return rates.get(specs.factory_of(config, run).rpartition(":")[2], rates["other"])


def time_limit(config: dict, stage: str, names: Iterable[str], gpu: bool) -> int:
    """Return a time limit in minutes for a job that makes some artifacts, generous by `MARGIN`."""
    names = list(names)
    least = max(maker_of(config, stage, name).minutes for name in names)
    return least + int(MARGIN * job_seconds(config, stage, names, gpu) / 60)
