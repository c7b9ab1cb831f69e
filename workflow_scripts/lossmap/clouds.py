"""Which weight vectors make a cloud, in which order, and where each comes from.

Opens the artifacts that a cloud is made of and leaves the measuring to `geometry`.
"""

from contextlib import ExitStack
from pathlib import Path

import h5py
import numpy as np

from lossmap.artifacts.curves import CURVES, LOSS_LABEL
from lossmap.artifacts.distance import Cloud, Origins, describe_rows
from lossmap.artifacts.jumps import Jumps
from lossmap.artifacts.provenance import Sources
from lossmap.artifacts.store import load, stream
from lossmap.artifacts.trajectory import Trajectory
from lossmap.errors import LossmapError
from lossmap.geometry.distances import measure_cloud_geometry
from lossmap.geometry.nulls import draw_null


def measure_cloud(spec: dict, sources: Sources) -> Cloud:
    """Return the cloud that a specification asks for.

    Parameters
    ----------
    spec : by `kind`
        jumps: `minimum` (a run, whose last snapshot is the optimum) and `jumps` (names).
        runs: `runs` (names).
        tree: see `lossmap.embedding.tree.grow_tree`.
        null: `null` (one of `lossmap.geometry.nulls.MODELS`), `cloud`, `seed` and, of swapped
        steps, `lengths` (a cloud).
    sources : path of each artifact by ``stage/name``. null: the clouds, and a run of the network,
        which tells the number of parameters

    Raises
    ------
    LossmapError
        A source is missing, damaged or does not belong to the others, or `kind` is unknown.
    """
    kinds = {"jumps": _measure_jumps, "runs": _measure_runs, "null": _measure_null}
    if spec["kind"] == "tree":
        from lossmap.embedding.tree import grow_tree  # half a second, for one cloud of many

        return grow_tree(spec)
    if spec["kind"] not in kinds:
        raise LossmapError(
            f"cloud of kind '{spec['kind']}' is unknown; allowed: {', '.join(kinds)}, tree"
        )
    return kinds[spec["kind"]](spec, sources)


def _measure_jumps(spec: dict, sources: Sources) -> Cloud:
    """Return the optimum, then every epoch of every step size of every direction."""
    with ExitStack() as stack:
        name = f"trajectory/{spec['minimum']}"
        run = stack.enter_context(stream(_path(name, sources), Trajectory))
        vectors, parts, trajectories = {name: run["thetas"][-1:]}, [_optimum_origins(run)], 0
        for jump in (f"jumps/{name}" for name in spec["jumps"]):
            file = stack.enter_context(stream(_path(jump, sources), Jumps))
            vectors[jump] = file["thetas"]
            parts.append(_jump_origins(file, trajectories))
            trajectories += len(file["step_sizes"])
        return measure_cloud_geometry(vectors, _join(parts, [spec["minimum"]], [run]))


def _measure_runs(spec: dict, sources: Sources) -> Cloud:
    """Return run after run, snapshot after snapshot."""
    with ExitStack() as stack:
        vectors, parts, files = {}, [], []
        for index, name in enumerate(spec["runs"]):
            key = f"trajectory/{name}"
            run = stack.enter_context(stream(_path(key, sources), Trajectory))
            vectors[key] = run["thetas"]
            files.append(run)
            parts.append(_run_origins(run, index))
        return measure_cloud_geometry(vectors, _join(parts, spec["runs"], files))


def _measure_null(spec: dict, sources: Sources) -> Cloud:
    """Return a null model of a cloud."""
    with stream(_path_of_stage("trajectory", sources), Trajectory) as run:
        params = run["thetas"].shape[1]
    cloud, lengths = (
        load(_path(f"distance/{spec[key]}", sources), Cloud) if key in spec else None
        for key in ("cloud", "lengths")
    )
    return draw_null(cloud, params, spec["null"], spec["seed"], lengths)


def _path(name: str, sources: Sources) -> Path:
    if name not in sources:
        raise LossmapError(
            f"the cloud needs {name}, but the job's inputs are {', '.join(sources) or 'none'}"
        )
    return sources[name]


def _path_of_stage(stage: str, sources: Sources) -> Path:
    names = [name for name in sources if name.startswith(f"{stage}/")]
    if len(names) != 1:
        raise LossmapError(
            f"the cloud needs one input of stage '{stage}', but the job's inputs are "
            f"{', '.join(sources) or 'none'}"
        )
    return sources[names[0]]


def _optimum_origins(run: h5py.File) -> dict[str, np.ndarray]:
    return describe_rows(1, is_optimum=np.int8(1), **{name: run[name][-1] for name in CURVES})


def _jump_origins(file: h5py.File, first: int) -> dict[str, np.ndarray]:
    steps, epochs = file["thetas"].shape[:2]
    return describe_rows(
        steps * epochs,
        trajectory=np.repeat(np.arange(first, first + steps), epochs),
        direction=file["direction_seed"][()],
        step_size=np.repeat(file["step_sizes"][()], epochs),
        epoch=np.tile(file["epochs"][()], steps),
        **{name: file[name][()].ravel() for name in CURVES},
    )


def _run_origins(run: h5py.File, index: int) -> dict[str, np.ndarray]:
    epochs, curves = run["epochs"][()], {name: run[name][()] for name in CURVES}
    return describe_rows(len(epochs), trajectory=index, source=index, epoch=epochs, **curves)


def _join(parts: list[dict[str, np.ndarray]], sources: list[str], runs: list[h5py.File]) -> Origins:
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return Origins(**joined, sources=list(sources), loss_label=_label_loss(runs))


def _label_loss(runs: list[h5py.File]) -> str | None:
    """Return what the losses of some runs are called: all the names, where they differ."""
    own = {run["loss_label"].asstr()[()] if "loss_label" in run else None for run in runs}
    return None if own == {None} else " / ".join(sorted(name or LOSS_LABEL for name in own))
