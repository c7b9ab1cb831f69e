"""Each kind of bad input ends in one line that names the culprit and the remedy; nothing is left.

Four lists: configurations refused in process, broken scale files, what the real Snakemake refuses
before any job starts, and jobs that fail. The jobs run in one Snakemake with --keep-going, each on
a damaged copy of a healthy artifact or image file under a name of its own.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml

from lossmap.artifacts.basis import load_basis
from lossmap.artifacts.dataset import load_dataset
from lossmap.artifacts.grid import load_grid
from lossmap.artifacts.projection import load_projection
from lossmap.artifacts.trajectory import load_history
from lossmap.errors import LossmapError
from lossmap.workflow.configuration import load_configuration

ROOT = Path(__file__).resolve().parents[2]
RUN, FN, PCA = "c10-resnet20", "c10-resnet20-fn-start", "c10-resnet20-pca-last"
START, PROJECTION = "c10-resnet20-pca-start", "c10-resnet20-pca-batch"
OWN_RUN = {"dataset": "c10", "network": "resnet20", "recipe": "ding2023"}
CURVE = {"draw": "curve", "run": RUN}


def panel(**keys: object) -> dict:
    """Return a configuration with one figure of one panel."""
    return {"figures": {"mine_fig1": {"columns": 1, "panels": [keys]}}}


def recipe(**leaves: object) -> dict:
    return {"recipes": {"ding2023": leaves}}


def run(**keys: object) -> dict:
    return {"runs": {"mine": OWN_RUN | keys}}


def basis(name: str, **keys: object) -> dict:
    return {"bases": {name: keys}}


def dataset(**keys: object) -> dict:
    return {"datasets": {"mine": keys}}


def cell(**keys: str) -> dict:
    """Return a table whose first column names the given projections under ``batch``."""
    pair = {"fn": "c10-resnet20-fn-centre", "pca": "c10-resnet20-pca-centre"}
    batch = {"fn": "c10-resnet20-fn-batch", "pca": PROJECTION} | keys
    column = {"dataset": "d", "network": "n", "projections": {"centre": pair, "batch": batch}}
    return {"tables": {"mine_table1": {"columns": [column]}}}


# kind: (what the user gives, the culprit, the remedy), at the scale `tiny`.
CONFIGURATIONS = {
    "unknown key": ({"gird": {}}, "gird", "did you mean 'grid'?"),
    "unknown nested key": ({"grid": {"resolutions": 5}}, "grid.resolutions", "'resolution'?"),
    "unknown key of a run": (run(epoch=3), "runs.mine.epoch", "'epochs'?"),
    "key that is no text": ({3: 4}, "3 is an unknown key", "allowed: scale"),
    "text for a number": ({"grid": {"extent": "wide"}}, "grid.extent is 'wide'", "number"),
    "YAML's 1e-3": (recipe(optimizer={"lr": "1e-3"}), "lr is '1e-3'", "write 1.0e-3"),
    "number not finite": ({"grid": {"extent": float("nan")}}, "grid.extent is nan", "number"),
    "registry emptied": ({"runs": None}, "runs is None", "keys and values"),
    "registry as a list": ({"runs": [1]}, "runs is [1]", "keys and values"),
    "negative rate": (recipe(optimizer={"lr": -0.1}), "lr is -0.1", "more than 0"),
    "momentum of 1": (recipe(optimizer={"momentum": 1}), "momentum is 1", "less than 1"),
    "unknown optimiser": (recipe(optimizer={"name": "sdg"}), "name is 'sdg'", "sgd, adam"),
    "no epochs": (recipe(epochs=0), "epochs is 0", "at least 1"),
    "negative seed": (recipe(seed=-1), "seed is -1", "at least 0"),
    "batches of 1": (recipe(batch_size=1), "batch_size is 1", "at least 2"),
    "last batch of 1": (recipe(batch_size=39), "batch_size is 39", "another batch_size"),
    "rare snapshots": (recipe(snapshot_every=9), "snapshot_every is 9", "4 epochs"),
    "incomplete recipe": (
        {"recipes": {"mine": {"seed": 0, "epochs": 1}}},
        "recipes.mine",
        "'batch_size' is missing",
    ),
    "late milestone": (
        recipe(schedule={"name": "steps", "milestones": [4]}),
        "milestones is [4]",
        "from 1 to 3",
    ),
    "steps without milestones": (
        recipe(schedule={"name": "steps"}),
        "milestones is []",
        "from 1 to 3",
    ),
    "nesterov without momentum": (
        recipe(optimizer={"nesterov": True, "momentum": 0}),
        "optimizer.nesterov",
        "momentum above 0",
    ),
    "even resolution": ({"grid": {"resolution": 4}}, "grid.resolution is 4", "an odd number"),
    "even resolution of a grid": (
        {"grids": {FN: {"resolution": 10}}},
        f"grids.{FN}.resolution is 10",
        "an odd number",
    ),
    "resolution of 1": ({"grid": {"resolution": 1}}, "grid.resolution is 1", "at least 3"),
    "unknown scale": ({"scale": "dekstop"}, "scale: 'dekstop'", "choose one of demo, desk"),
    "scale outside its folder": ({"scale": "../defaults"}, "../defaults", "choose one of"),
    "unknown data set": (run(dataset="c11"), "runs.mine.dataset", "did you mean 'c10'?"),
    "unknown network": (run(network="resnet2"), "runs.mine.network", "did you mean 'resnet"),
    "unknown recipe": (run(recipe="ding"), "runs.mine.recipe", "did you mean 'ding2023'?"),
    "unknown run of a basis": (basis(PCA, run="c10"), f"bases.{PCA}.run", "defined: c10-resnet20"),
    "unknown basis of a grid": ({"grids": {FN: {"basis": "b"}}}, f"grids.{FN}.basis", "defined:"),
    "unknown basis of a projection": (
        {"projections": {PROJECTION: {"basis": "b"}}},
        f"projections.{PROJECTION}.basis",
        "defined:",
    ),
    "unknown run of a figure": (
        panel(draw="curve", run="c10-resnet2"),
        "mine_fig1.panels.0.run",
        "did you mean 'c10-resnet",
    ),
    "unknown grid of a figure": (panel(draw="surface", grid="g"), "panels.0.grid", "defined:"),
    "unknown projection of a figure": (
        panel(draw="surface", grid=PCA, trajectory=True, projection="p"),
        "panels.0.projection",
        "defined:",
    ),
    "unknown projection of a table": (cell(fn="p"), "projections.batch.fn", "defined:"),
    "projection in the wrong cell": (
        cell(fn=PROJECTION),
        f"projections.batch.fn is '{PROJECTION}'",
        "expected 'fn' and 'batch'",
    ),
    "table of other statistics": (
        {"bn_statistics": "recalibrate"},
        "bn_statistics 'recalibrate'",
        "set projections.",
    ),
    "unknown claim": (
        {"claims": {"ding2023": {"ding-pca-decent": {"grids": [FN]}}}},
        "claims.ding2023.ding-pca-decent",
        "did you mean 'ding-pca-descent'?",
    ),
    "unknown grid of a claim": (
        {"claims": {"ding2023": {"ding-pca-descent": {"grids": ["g"]}}}},
        "claims.ding2023.ding-pca-descent.grids",
        "defined:",
    ),
    "claim on what it cannot read": (
        {"claims": {"ding2023": {"ding-pca-descent": {"tables": ["ding2023_table1"]}}}},
        "claims.ding2023.ding-pca-descent.tables",
        "allowed: grids",
    ),
    "unknown moment": (basis(PCA, centre="end"), f"bases.{PCA}.centre names 'end'", "last"),
    "unknown moment of a curve": (panel(**CURVE, moments=["end"]), "0.moments", "defined: early"),
    "moment beyond the run": ({"moments": {"late": 1.5}}, "moments.late is 1.5", "at most 1"),
    "epoch beyond the run": (basis(PCA, centre=400), "centre is epoch 400", "from 0 to 4"),
    "epoch without a snapshot": (
        recipe(snapshot_every=2) | basis(PCA, centre=1),
        "centre is epoch 1",
        "every 2 epochs",
    ),
    "window reversed": (basis(PCA, window=[3, 1]), "epoch 3 to 1", "at least 3 within 0 to 4"),
    "window too small": (basis(PCA, window=[1, 2]), "holds 2 snapshots", "at least 3"),
    "window beyond the run": (basis(PCA, window=[0, 9]), "epoch 0 to 9", "within 0 to 4"),
    "run with too few snapshots": (recipe(snapshot_every=4), "holds 2 snapshots", "at least 3"),
    "seeds of a PCA": (basis(PCA, seeds=[1]), f"bases.{PCA}.seeds", "remove it"),
    "ignore of a PCA": (basis(PCA, ignore="none"), f"bases.{PCA}.ignore", "remove it"),
    "window of an FN": (basis(FN, window=[0, 4]), f"bases.{FN}.window", "remove it"),
    "a seed twice": (basis(FN, seeds=[1, 1]), f"bases.{FN}.seeds", "different ones"),
    "statistics of an untrained centre": (
        {"grids": {START: {"bn_statistics": "centre"}}},
        f"grids.{START}.bn_statistics is 'centre'",
        "use 'batch' or 'recalibrate'",
    ),
    "evaluation batch too large": (
        {"evaluation": {"batch": 30}},
        "evaluation.batch is 30",
        "divides evaluation.images",
    ),
    "evaluation batch of 1": (
        {"evaluation": {"images": 21}},
        "evaluation.batch is 10",
        "divides evaluation.images",
    ),
    "more evaluated than there are": (
        {"evaluation": {"images": 50}},
        "evaluation.images is 50",
        "has 40 training images",
    ),
    "more measured than there are": (
        {"metrics": {"images": 50}},
        "metrics.images is 50",
        "has 40 training images",
    ),
    "malformed factory": (
        {"networks": {"mine": {"factory": "my.module"}}},
        "networks.mine.factory is 'my.module'",
        "module.path:function",
    ),
    "malformed factory of a run": (
        run(network="my.module:"),
        "runs.mine.network is 'my.module:'",
        "module.path:function",
    ),
    "name of a figure and a table": (
        {"figures": {"ding2023_table1": {"columns": 1, "panels": [CURVE]}}},
        "'ding2023_table1' is a figure and a table",
        "rename one",
    ),
    "figure without a paper": (
        {"figures": {"mine": {"columns": 1, "panels": [CURVE]}}},
        "'mine'",
        "paper_figure",
    ),
    "paper named like a rule": (
        {"figures": {"grid_fig1": {"columns": 1, "panels": [CURVE]}}},
        "'grid'",
        "choose another word",
    ),
    "upper-case name": ({"runs": {"Mine": OWN_RUN}}, "'Mine'", "lower-case letters"),
    "number in a name": ({"runs": {"lr0.1": OWN_RUN}}, "'lr0.1'", "joined by hyphens"),
    "unknown draw": (panel(draw="heatmap", grid=PCA), "draw is 'heatmap'", "curve, surface"),
    "no panels": ({"figures": {"mine_fig1": {"columns": 1, "panels": []}}}, "panels", "at least 1"),
    "more panels than letters": (
        {"figures": {"mine_fig1": {"columns": 9, "panels": [CURVE] * 27}}},
        "figures.mine_fig1.panels",
        "at most 26",
    ),
    "panel without a grid": (panel(draw="surface"), "panels.0", "'grid' is missing; add it"),
    "curve without a run": (panel(draw="curve"), "panels.0", "'run' is missing; add it"),
    "curve of a grid": (panel(**CURVE, grid=PCA), "panels.0.grid", "remove it"),
    "moments on a surface": (
        panel(draw="surface", grid=PCA, moments=["last"]),
        "panels.0.moments",
        "remove it",
    ),
    "trajectory without a projection": (
        panel(draw="surface", grid=PCA, trajectory=True),
        "panels.0",
        "'projection' is missing; add it",
    ),
    "heights without a trajectory": (
        panel(draw="surface", grid=PCA, heights="true"),
        "panels.0",
        "'trajectory' is missing; add it",
    ),
    "projection that is not drawn": (
        panel(draw="surface", grid=PCA, projection=PROJECTION),
        f"projection is '{PROJECTION}'",
        "add 'trajectory: true'",
    ),
    "projection on another basis": (
        panel(draw="surface", grid=FN, trajectory=True, projection=PROJECTION),
        f"grid '{FN}'",
        "both must have one basis",
    ),
    "unknown mark": (panel(draw="surface", grid=PCA, marks=["end"]), "marks.0", "converged"),
    "unknown option": (
        {"figures": {"ding2023_fig2": {"options": {"colourmap": "magma"}}}},
        "ding2023_fig2.options.colourmap",
        "did you mean 'colormap'?",
    ),
    "resolution of print too low": ({"style": {"dpi": 5}}, "style.dpi is 5", "at least 30"),
    "unknown device": ({"device": "gpu"}, "device is 'gpu'", "auto, cpu, cuda"),
    "no jobs on a GPU": ({"jobs_per_gpu": 0}, "jobs_per_gpu is 0", "at least 1"),
    "threads of an unknown stage": (
        {"resources": {"threads": {"figure": 2}}},
        "resources.threads.figure",
        "allowed: trajectory",
    ),
    "digits with 7 classes": (dataset(source="digits", classes=7), "classes is 7", "10, 100"),
    "digits without classes": (dataset(source="digits"), "datasets.mine", "'classes' is missing"),
    "unknown source": (dataset(source="imagenet"), "'imagenet'", "digits, cifar10"),
    "no source": (dataset(title="mine"), "datasets.mine", "'source' is missing"),
    "image file not named": (dataset(source="hdf5"), "datasets.mine", "'file' is missing"),
    "image file missing": (dataset(source="hdf5", file="no/x.h5"), "'no/x.h5'", "correct the path"),
    "data folder missing": (
        dataset(source="cifar10") | {"data_dir": "no/data"},
        "data_dir: no such folder 'no/data'",
        "null to download",
    ),
}

# kind: (bytes of the scale's file, the culprit, the remedy)
SCALE_FILES = {
    "broken YAML": (b"grid: {resolution: [5}", "line 1, column 22", "correct the file"),
    "a list": (b"- grid\n", "got a list", "write 'key: value'"),
    "not UTF-8": (b"grid: {resolution: 5} # \xff", "can't decode byte 0xff", "correct the file"),
    "impossible date": (b"grid: 2020-13-45", "month must be in 1..12", "correct the file"),
    "a name twice": (b"runs:\n  a: {}\n  a: {}\n", "key 'a' is given twice", "line 3, column 3"),
}

# kind: (arguments, what the user gives in a file, the culprit, the remedy)
REFUSED = {
    "a key mistyped on the command line": (["--config", "gird=5"], {}, "gird", "'grid'?"),
    "an undefined run of a figure": (
        ["mine_fig1"],
        panel(draw="curve", run="nobody"),
        "mine_fig1.panels.0.run names 'nobody'",
        "defined: c10-resnet20",
    ),
    "a factory whose module is missing": (
        ["trajectory/mine"],
        run(network="my.module:net"),
        "'my.module:net'",
        "correct the factory's name",
    ),
    "an image file that is missing": (
        ["dataset/mine"],
        dataset(source="hdf5", file="none.h5"),
        "datasets.mine.file: no such file 'none.h5'",
        "correct the path",
    ),
    "a file of configuration that is a list": ([], "- 1", "Config file", "keys at top level"),
    "an unknown target": (["ding2023_fig33"], {}, "ding2023_fig33", "No rule to produce"),
    "an artifact that nobody defined": (["grid/nobody"], {}, "grid/nobody.h5", "No rule to"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Give a copy of ``config/`` with the scale ``tiny``."""
    copy = Path(shutil.copytree(ROOT / "config", tmp_path_factory.mktemp("bad") / "config"))
    shutil.copy2(ROOT / "tests" / "scales" / "tiny.yaml", copy / "scales")
    return copy


def refuse(folder: Path, given: dict) -> str:
    """Return the one line with which a configuration is refused."""
    with pytest.raises(LossmapError) as caught:
        load_configuration(folder, {"scale": "tiny"} | given)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("kind", CONFIGURATIONS)
def test_a_bad_configuration_names_culprit_and_remedy(folder, kind):
    given, culprit, remedy = CONFIGURATIONS[kind]
    message = refuse(folder, given)
    assert culprit in message
    assert remedy in message


@pytest.mark.parametrize("kind", SCALE_FILES)
def test_a_bad_scale_file_names_culprit_and_remedy(folder, kind):
    content, culprit, remedy = SCALE_FILES[kind]
    path = folder / "scales" / "bad.yaml"
    path.write_bytes(content)
    message = refuse(folder, {"scale": "bad"})
    path.unlink()
    assert message.startswith(f"{path}: ")
    assert culprit in message
    assert remedy in message


def test_an_unreadable_scale_file_is_named(folder):
    path = folder / "scales" / "bad.yaml"
    path.mkdir()
    message = refuse(folder, {"scale": "bad"})
    path.rmdir()
    assert message == f"{path}: cannot be read (Is a directory); restore it"


def give(project, name: str, given: dict | str) -> list[str]:
    """Write a file of configuration and return the arguments that name it."""
    text = given if isinstance(given, str) else yaml.safe_dump(given)
    (project.folder / name).write_text(text)
    return ["--configfile", name]


def targets(project, *names: str) -> list[str]:
    """Return the paths of artifacts given as stage/name, and every other name as it is."""
    return [str(project.path(*n.split("/")).relative_to(project.folder)) for n in names]


def results(project) -> set[Path]:
    return set((project.folder / "results").rglob("*"))


@pytest.mark.parametrize("kind", REFUSED)
def test_snakemake_refuses_before_any_job(shared_project, kind):
    arguments, given, culprit, remedy = REFUSED[kind]
    wanted = [t for a in arguments for t in (targets(shared_project, a) if "/" in a else [a])]
    config = dict(pair.split("=") for pair in wanted if "=" in pair)
    wanted = [a for a in wanted if "=" not in a and a != "--config"]
    before = results(shared_project)
    named = give(shared_project, "refused.yaml", given)
    done = shared_project.snakemake(*wanted, *named, check=False, **config)
    lines = [line for line in (done.stdout + done.stderr).splitlines() if culprit in line]
    assert done.returncode != 0
    assert any(remedy in line for line in lines), done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert results(shared_project) == before


# --- jobs that fail -----------------------------------------------------------------------------


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def make_text(path: Path) -> None:
    path.write_text("<!doctype html>\n")


def strip(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["images"] = np.zeros(3)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@contextmanager
def editing(path: Path) -> Iterator[h5py.File]:
    """Open an artifact for a change that its seal does not tell."""
    with h5py.File(path, "r+") as file:
        yield file
        size = file.userblock_size
    with path.open("r+b") as stream:
        stream.write(bytes(size))


def relabel(path: Path) -> None:
    with editing(path) as file:
        file.attrs["kind"] = "jumps"


def age(path: Path) -> None:
    with editing(path) as file:
        file.attrs["format_version"] = 99


def numbers_of(file: h5py.File) -> h5py.Dataset:
    """Return the first dataset of numbers with an axis."""
    found: list[h5py.Dataset] = []
    file.visititems(lambda _, item: found.append(item) if hasattr(item, "dtype") else None)
    return next(item for item in found if item.dtype.kind in "iuf" and item.ndim)


def alter(path: Path) -> None:
    with editing(path) as file:
        numbers_of(file)[0] = numbers_of(file)[0] + 1


def remove(path: Path) -> None:
    with editing(path) as file:
        del file[numbers_of(file).name]


DAMAGES = {
    "truncated": (truncate, "damaged"),
    "emptied": (empty, "(0 bytes; truncated or damaged)"),
    "flipped": (flip, "damaged or edited"),
    "foreign": (strip, "attribute 'kind' is absent"),
    "other-kind": (relabel, "got 'jumps'"),
    "other-version": (age, "format version 99"),
    "altered": (alter, "content does not match its digest"),
    "incomplete": (remove, "' is missing from this"),
}
HEALTHY = {"dataset": "c10", "trajectory": RUN, "basis": PCA, "grid": PCA, "projection": PROJECTION}
LOADERS = {
    "dataset": load_dataset,
    "trajectory": load_history,
    "basis": load_basis,
    "grid": load_grid,
    "projection": load_projection,
}
DAMAGED = {  # stage: kinds of damage that the next job is given
    "trajectory": tuple(DAMAGES),
    "basis": ("truncated",),
    "grid": ("other-kind",),
    "projection": ("foreign",),
    "dataset": ("altered",),
}


@dataclass
class Job:
    """One job that must fail: its target, what its one line says, and what leads to it."""

    target: str
    says: tuple[str, ...]
    config: dict = field(default_factory=dict)


def damaged_artifact(project, stage: str, damage: str) -> Job:
    """Damage a copy of an artifact and return the job that reads it."""
    name, (hurt, message) = f"{stage}-{damage}", DAMAGES[damage]
    path = project.path(stage, name)
    shutil.copy2(project.path(stage, HEALTHY[stage]), path)
    hurt(path)
    figure = f"bad_{stage}_{damage}".replace("-", "_")
    drawn = {"draw": "contour", "grid": PCA}
    if stage == "trajectory":
        given = {"runs": {name: OWN_RUN}}
        given |= basis(name, run=name, method="pca", centre="last")
        target = f"basis/{name}"
    elif stage == "dataset":
        given = {"runs": {name: OWN_RUN | {"dataset": name}}}
        given |= {"datasets": {name: {"source": "digits", "classes": 10, "train": 40, "test": 20}}}
        target = f"trajectory/{name}"
    else:
        target = f"figure/{figure}"
        given = {f"{stage}s": {name: {"basis": PCA}}}
        drawn |= {"grid": name} if stage == "grid" else {"projection": name, "trajectory": True}
        if stage == "basis":
            shutil.copy(project.path("grid", PCA), project.path("grid", name))
            given = basis(name, run=RUN, method="pca", centre="last")
            given |= {"grids": {name: {"basis": name}}}
            drawn = {"draw": "contour", "grid": name, "marks": ["converged"]}
        given |= {"figures": {figure: {"columns": 1, "panels": [drawn]}}}
    return Job(target, (f"{stage}/{name}.h5: ", message, "run again"), given)


def write_images(path: Path) -> None:
    """Write ten images of two classes for training and four for testing."""
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        file["classes"] = ["cat", "dog"]
        for split, count in (("train", 40), ("test", 4)):
            file[f"{split}/images"] = rng.integers(0, 256, (count, 32, 32, 3), np.uint8)
            file[f"{split}/labels"] = np.arange(count) % 2


def replace(path: Path, name: str, values: np.ndarray) -> None:
    with h5py.File(path, "r+") as file:
        del file[name]
        file[name] = values


def list_digest(path: Path) -> None:
    path.with_name("SHA256SUMS").write_text(f"{'0' * 64}  {path.name}\n")


IMAGE_FILES = {  # kind: (how the file is spoilt, the culprit, the remedy)
    "truncated": (truncate, "truncated or damaged", "fetch the file again"),
    "text": (make_text, "not a readable HDF5 file", "fetch the file again"),
    "flipped": (list_digest, "SHA-256 is", "fetch the file again"),
    "floats": (
        lambda path: replace(path, "train/images", np.zeros((40, 32, 32, 3))),
        "'train/images' is float64 (40, 32, 32, 3), expected uint8",
        "convert the file",
    ),
    "out-of-range": (
        lambda path: replace(path, "train/labels", np.full(40, 2)),
        "'train/labels'[0] is 2, expected 0 to 1",
        "correct the labels or the classes",
    ),
    "no-dogs": (
        lambda path: replace(path, "train/labels", np.zeros(40, np.int64)),
        "but there are 0",
        "ask for fewer",
    ),
    "too-few": (lambda path: None, "60 images asked, but there are 40", "ask for 1 to 40"),
}


def spoilt_images(project, kind: str) -> Job:
    """Spoil an image file and return the job that reads it."""
    name, (spoil, *says) = f"images-{kind}", IMAGE_FILES[kind]
    path = project.folder / "data" / kind / "images.h5"
    path.parent.mkdir(parents=True)
    write_images(path)
    spoil(path)
    source = {"source": "hdf5", "file": str(path), "train": 60 if kind == "too-few" else 40}
    return Job(f"dataset/{name}", (f"{path}: ", *says), {"datasets": {name: source}})


def other_jobs(project) -> dict[str, Job]:
    """Return the jobs whose configuration only they can judge, and a CIFAR file cut short."""
    cifar = project.folder / "data" / "cifar10.h5"
    write_images(cifar)
    truncate(cifar)
    factory = "lossmap.network.models.resnet:resnet21"
    unknown = {"columns": 1, "panels": [CURVE], "options": {"colormap": "viridiss"}}
    return {
        "cifar10.h5 truncated": Job(
            "dataset/cifar",
            (f"{cifar}: ", "truncated or damaged", "fetch the file again"),
            {"datasets": {"cifar": {"source": "cifar10", "train": 40}}},
        ),
        "unknown colour map": Job(
            "figure/bad_colormap",
            ("matplotlib has no colormap 'viridiss'", "correct it under style"),
            {"figures": {"bad_colormap": unknown}},
        ),
        "factory without its function": Job(
            "trajectory/no-function",
            (f"network factory '{factory}'", "correct the name"),
            {"runs": {"no-function": OWN_RUN | {"network": factory}}},
        ),
    }


JOBS = [
    *(f"{stage} {damage}" for stage, damages in DAMAGED.items() for damage in damages),
    *(f"images {kind}" for kind in IMAGE_FILES),
    "cifar10.h5 truncated",
    "unknown colour map",
    "factory without its function",
]


@pytest.fixture(scope="module")
def failed(shared_project):
    """Run every job that must fail, and one that must not, in one Snakemake."""
    project = shared_project
    project.snakemake(*targets(project, f"grid/{PCA}", f"projection/{PROJECTION}"))
    (project.folder / "data").mkdir()
    jobs = {f"images {kind}": spoilt_images(project, kind) for kind in IMAGE_FILES}
    jobs |= other_jobs(project)
    for stage, damages in DAMAGED.items():
        jobs |= {f"{stage} {d}": damaged_artifact(project, stage, d) for d in damages}
    given = panel(draw="contour", grid=PCA, trajectory=True, projection=PROJECTION)
    given["data_dir"] = str(project.folder / "data")
    for job in jobs.values():
        for registry, entries in job.config.items():
            given.setdefault(registry, {}).update(entries)
    named = give(project, "failing.yaml", given)
    wanted = targets(project, "figure/mine_fig1", *(job.target for job in jobs.values()))
    done = project.snakemake(*wanted, *named, "--keep-going", check=False)
    return jobs, done


@pytest.mark.parametrize("kind", JOBS)
def test_a_failing_job_names_culprit_and_remedy_and_leaves_nothing(shared_project, failed, kind):
    jobs, done = failed
    job, output = jobs[kind], shared_project.path(*jobs[kind].target.split("/"))
    log = shared_project.path(f"log/{output.parent.name}", output.stem, "log").read_text()
    errors = [line for line in log.splitlines() if " error: " in line]
    assert len(errors) == 1, log
    assert [part for part in job.says if part not in errors[0]] == []
    assert errors[0] in done.stdout + done.stderr
    assert not list(output.parent.glob(f"{output.stem}.*"))
    assert not list(output.parent.glob(f".{output.stem}.*"))


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("stage", LOADERS)
@pytest.mark.usefixtures("failed")
def test_a_damaged_artifact_is_not_read(shared_project, tmp_path, stage, damage):
    path, (hurt, says) = tmp_path / f"{stage}.h5", DAMAGES[damage]
    shutil.copy2(shared_project.path(stage, HEALTHY[stage]), path)
    hurt(path)
    with pytest.raises(LossmapError) as caught:
        LOADERS[stage](path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert says in message
    assert "run again" in message
    assert "\n" not in message


def test_the_failures_are_reported_without_a_traceback(shared_project, failed):
    _, done = failed
    assert done.returncode != 0
    assert "Traceback" not in done.stdout + done.stderr
    assert shared_project.path("figure", "mine_fig1").exists(), "the healthy job was not run"


def test_a_gpu_that_is_not_there_is_one_line(shared_project, failed):
    target = targets(shared_project, "trajectory/c10-resnet32")
    done = shared_project.snakemake(*target, check=False, device="cuda")
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "error: device: cuda was asked for, but no GPU is visible" in said
    assert "set device=cpu" in said
    assert "Traceback" not in said
    assert not shared_project.path("trajectory", "c10-resnet32").exists()
