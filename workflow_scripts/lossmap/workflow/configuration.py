"""The configuration: defaults, registry, scale and the user's own settings, merged and checked.

Everything that can be wrong with a configuration is found here, before any job starts.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from functools import partial
from pathlib import Path

import yaml

from lossmap.artifacts.checkpoints import Snapshot, find_checkpoints
from lossmap.artifacts.dataset import shape_of_images
from lossmap.claims.declare import Names, Statement
from lossmap.claims.papers import SHIPPED, find_statement
from lossmap.errors import LossmapError, reason
from lossmap.workflow.colormaps import COLORMAPS
from lossmap.workflow.repeats import repeat, take_repeats
from lossmap.workflow.schema import (
    LISTED,
    check_against_schema,
    check_name,
    drop_other_kind,
    explain_unknown,
    suggest,
)

REGISTRIES = ("defaults.yaml", "ding2023.yaml", "horoi2021.yaml")
_RULE_FILES = Path(__file__).resolve().parents[3].joinpath("rules").glob("*.smk")
RULES = {"all", "datasets", "figures", "tables", "claims", "audit", "report"}
RULES |= {path.stem for path in _RULE_FILES} - {"common"}  # which holds no rule
"""Names that no paper may have: a paper is a target like these."""
_KINDS = {"datasets": "dataset", "bases": "basis", "techniques": "technique"}
"""Registries whose entries have a kind, and what the schema calls such an entry."""
CIFAR_FILES = {"cifar10": "cifar10.h5", "cifar100": "cifar100.h5"}
LANDSCAPES = ("grids", "projections", "rings", "lines")
"""Registries whose entries are evaluated on a plane, if they name a basis."""
MIN_SNAPSHOTS = 3
"""Fewer do not span a plane."""


def load_configuration(folder: Path, given: Mapping, files: Iterable[str] = ()) -> dict:
    """Return the checked configuration: defaults < registry < scale < what the user gave.

    Parameters
    ----------
    folder : where ``defaults.yaml``, the registries and ``scales/`` lie
    given : Snakemake's ``config``: the user's ``--configfile`` and ``--config``
    files : the files that are part of it, in which Snakemake overlooks a key that is given twice

    Raises
    ------
    LossmapError
        A file is missing or not valid YAML, a key is unknown, a value is not allowed, or a name
        refers to nothing. The message names the key, the value and what is allowed.
    """
    for file in files:
        _read_yaml(Path(file))
    merged: dict = {}
    for name in REGISTRIES:
        _merge(merged, _read_yaml(folder / name))
    scale = given.get("scale", merged["scale"])
    _lay(merged, _read_yaml(_scale_file(folder, scale)))
    _lay(merged, given)
    check_against_schema(merged, None, partial(names_under, merged))
    _repeat(merged)
    _center_on_curvatures(merged)
    for check in _CHECKS:
        check(merged)
    return merged


def _repeat(config: dict) -> None:
    """Let claims mean every repeat of what they name."""
    repeats = take_repeats(config)
    for paper, claims in config["claims"].items():
        for claim, entry in claims.items():
            on = _statement_of(claim, f"claims.{paper}.{claim}").on
            for key in entry.keys() & on.keys():
                registry = on[key].registry
                named = (repeat(config, registry, name, repeats) for name in entry[key])
                entry[key] = [name for names in named for name in names]


def _center_on_curvatures(config: dict) -> None:
    """Give planes of eigenvectors the run and the center of their curvature."""
    for basis in config["bases"].values():
        if "curvature" in basis:
            curvature = config["curvatures"][basis["curvature"]]
            basis |= {key: curvature[key] for key in ("run", "center")}


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """YAML in which a key that is given twice is an error, where plain YAML keeps the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                problem = f"key '{key.value}' is given twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _read_yaml(path: Path) -> dict:
    try:
        found = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except OSError as error:
        raise LossmapError(f"{path}: cannot be read ({error.strerror}); restore it") from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: no UTF-8, no such date
        raise LossmapError(f"{path}: not valid YAML: {reason(error)}; correct the file") from error
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise LossmapError(
            f"{path}: expected keys and values, got a {type(found).__name__}; write 'key: value'"
        )
    return found


def read_settings(files: Iterable[Path], words: Iterable[str]) -> dict:
    """Return what Snakemake would make of ``--configfile`` and ``--config KEY=VALUE``.

    Raises
    ------
    LossmapError
        A file cannot be read or is not valid YAML, or a word is not of that form.
    """
    given: dict = {}
    for file in files:
        _merge(given, _read_yaml(file))
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise LossmapError(f"--config {word}: expected KEY=VALUE")
        _merge(given, {key: yaml.safe_load(value)})
    return given


def _scale_file(folder: Path, scale: object) -> Path:
    known = sorted(path.stem for path in (folder / "scales").glob("*.yaml"))
    if scale not in known:
        raise LossmapError(
            f"scale: '{scale}' is unknown; choose one of {', '.join(known)}"
            f"{suggest(scale, known)}, or write {folder.name}/scales/{scale}.yaml"
        )
    return folder / "scales" / f"{scale}.yaml"


def _merge(base: dict, over: Mapping) -> None:
    """Lay `over` on `base` in place: mappings merge, everything else replaces."""
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(base.get(key), dict):
            _merge(base[key], value)
        else:
            base[key] = deepcopy(value) if not isinstance(value, Mapping) else _copied(value)


def _lay(base: dict, over: Mapping) -> None:
    """Lay a scale or the user's settings on `base`; they may change the kind of an entry."""
    for registry, definition in _KINDS.items():
        for name, below in base[registry].items():
            entry = (over.get(registry) or {}).get(name)
            if isinstance(entry, Mapping):
                base[registry][name] = drop_other_kind(below, entry, definition)
    _merge(base, over)


def _copied(value: Mapping) -> dict:
    fresh: dict = {}
    _merge(fresh, value)
    return fresh


def names_under(config: Mapping, registry: str) -> Iterable[str]:
    """Return the names that a reference to a registry may have."""
    if registry == "embeddings":
        return embedding_names(config)
    return COLORMAPS if registry == "colormaps" else config[registry]


def epoch_of(config: dict, run: str, epoch: str | int, where: str) -> int:
    """Return an epoch of a run that is given as a name from ``epoch_names`` or as a number.

    A name stands for the nearest epoch with a snapshot, of two equally near ones the earlier.

    Raises
    ------
    LossmapError
        No snapshot is kept at that epoch.
    """
    epochs = kept_epochs(config, run)
    if isinstance(epoch, str):
        asked = config["epoch_names"][epoch] * epochs[-1]
        return min(epochs, key=lambda kept: abs(kept - asked))
    if epoch not in epochs:
        raise LossmapError(
            f"configuration: {where} is epoch {epoch}, but run '{run}' "
            f"{_describe_epochs(config, run)}; choose one of these"
        )
    return epoch


def _describe_epochs(config: dict, run: str) -> str:
    if is_imported(config, run):
        epochs = [str(epoch) for epoch in kept_epochs(config, run)]
        more = f" … {epochs[-1]}" if len(epochs) > LISTED else ""
        return f"has checkpoints of epochs {', '.join(epochs[:LISTED])}{more}"
    recipe = run_recipe(config, run)
    return f"keeps a snapshot every {recipe['snapshot_every']} epochs from 0 to {recipe['epochs']}"


def is_imported(config: Mapping, run: str) -> bool:
    """Tell whether a run was trained elsewhere and is read from checkpoints."""
    return "checkpoints" in config["runs"][run]


def checkpoints_of(config: Mapping, run: str) -> list[Snapshot]:
    """Return the snapshots of an imported run; raises LossmapError as `find_checkpoints`."""
    return find_checkpoints(
        config["runs"][run]["checkpoints"], f"configuration: runs.{run}.checkpoints"
    )


def kept_epochs(config: Mapping, run: str) -> list[int]:
    """Return the epochs at which there is a snapshot of a run.

    Of one that is trained here: every `snapshot_every` and the last.
    """
    if is_imported(config, run):
        return [snapshot.epoch for snapshot in checkpoints_of(config, run)]
    recipe = run_recipe(config, run)
    epochs = recipe["epochs"]
    return sorted({*range(0, epochs, recipe["snapshot_every"]), epochs})


def own_runs(folder: Path, config: Mapping) -> list[str]:
    """Return the runs that are not the papers' own, nor repeats of theirs."""
    papers = {run for file in REGISTRIES for run in _read_yaml(folder / file).get("runs", {})}
    return [run for run in config["runs"] if {run, re.sub(r"-\d+$", "", run)}.isdisjoint(papers)]


def trained_runs(config: Mapping) -> list[str]:
    """Return the runs that are trained here."""
    return [run for run in config["runs"] if not is_imported(config, run)]


def run_recipe(config: dict, run: str) -> dict:
    """Return a run's recipe with the run's own leaves laid over it."""
    entry = config["runs"][run]
    recipe = _copied(config["recipes"][entry["recipe"]])
    leaves = {*recipe, "metrics", "precision"}
    _merge(recipe, {key: value for key, value in entry.items() if key in leaves})
    return recipe


def minimum_recipe(config: dict, name: str) -> dict:
    """Return the recipe of retraining from a minimum: its run's, or an imported run's as named."""
    entry = config["minima"][name]
    if "recipe" in entry:
        return _copied(config["recipes"][entry["recipe"]])
    return run_recipe(config, entry["run"])


def task_of(config: Mapping, run: str) -> dict | None:
    """Return the task of a run; None for the images of a data set."""
    entry = config["runs"][run]
    return config["tasks"][entry["task"]] if "task" in entry else None


_OF_IMAGES = (
    "dataset",
    "network",
    "arguments",
    "width",
    "normalize",
    "metrics",
    "batch_size",
    "augmentation",
)
"""What a run of images has of its own, and one of a task leaves to the task."""


def _check_data(config: dict) -> None:
    for name, entry in config["runs"].items():
        missing = [key for key in ("dataset", "network") if key not in entry]
        if "task" not in entry and missing:
            other = "" if missing[1:] == [] else ", or name a task"
            raise LossmapError(
                f"configuration: runs.{name}: key '{missing[0]}' is missing; add it{other}"
            )
        for key in (key for key in _OF_IMAGES if "task" in entry and key in entry):
            raise LossmapError(
                f"configuration: runs.{name}.{key} means nothing beside 'task', which has its own; "
                "remove it"
            )
        if "task" in entry and not is_imported(config, name):
            _check_plain(config, entry["recipe"], f"runs.{name}")


def _check_plain(config: dict, recipe: str, where: str) -> None:
    """Refuse a recipe that would augment what only a task understands."""
    if any(config["recipes"][recipe]["augmentation"].values()):
        raise LossmapError(
            f"configuration: {where}.recipe is '{recipe}', which augments images, but the run is "
            "of a task, which makes its own batches; name one without, such as plain"
        )


def _check_runs(config: dict) -> None:
    for name in config["runs"]:
        if is_imported(config, name):
            checkpoints_of(config, name)
        else:
            _check_recipe(name, run_recipe(config, name))


def _check_minima(config: dict) -> None:
    for name, minimum in config["minima"].items():
        run, imported = minimum["run"], is_imported(config, minimum["run"])
        if imported and "recipe" not in minimum:
            raise LossmapError(
                f"configuration: minima.{name}.run is '{run}', which was imported: how it was "
                f"trained is not known; add minima.{name}.recipe, by which it is retrained, such "
                "as plain"
            )
        if "recipe" in minimum and not imported:
            raise LossmapError(
                f"configuration: minima.{name}.recipe means nothing for run '{run}', which has a "
                "recipe; remove it"
            )
        if imported and task_of(config, run):
            _check_plain(config, minimum["recipe"], f"minima.{name}")


def _check_recipe(name: str, recipe: dict) -> None:
    epochs, schedule, optimizer = recipe["epochs"], recipe["schedule"], recipe["optimizer"]
    late = [m for m in schedule["milestones"] if m >= epochs]
    if schedule["name"] == "steps" and (late or not schedule["milestones"]):
        raise LossmapError(
            f"configuration: runs.{name}: schedule.milestones is {schedule['milestones']}, but "
            f"'steps' of a run of {epochs} epochs needs epochs from 1 to {epochs - 1}"
        )
    if recipe["snapshot_every"] > epochs:
        raise LossmapError(
            f"configuration: runs.{name}: snapshot_every is {recipe['snapshot_every']}, more than "
            f"the run's {epochs} epochs"
        )
    if optimizer["name"] == "sgd" and optimizer["nesterov"] and optimizer["momentum"] == 0:
        raise LossmapError(
            f"configuration: runs.{name}: optimizer.nesterov is true, which needs momentum above 0"
        )


def _check_last_batches(config: dict) -> None:
    for name in trained_runs(config):
        if task_of(config, name):
            continue
        batch = run_recipe(config, name)["batch_size"]
        train = config["datasets"][config["runs"][name]["dataset"]].get("train")
        if train and train % batch == 1:
            raise LossmapError(
                f"configuration: runs.{name}: batch_size is {batch} for {train} images, whose last "
                "batch holds 1, too few for batch norm; choose another batch_size"
            )


def _check_datasets(config: dict) -> None:
    if config["keep_datasets"]:  # their sources need not be here
        return
    for name, dataset in config["datasets"].items():
        if dataset["source"] == "hdf5" and not Path(dataset["file"]).is_file():
            raise LossmapError(
                f"configuration: datasets.{name}.file: no such file '{dataset['file']}'; correct "
                "the path or put the file there"
            )
        if dataset["source"] in CIFAR_FILES and not Path(config["data_dir"] or ".").is_dir():
            raise LossmapError(
                f"configuration: data_dir: no such folder '{config['data_dir']}', but datasets."
                f"{name} is read from it; correct the path, or null to download"
            )


CLOUD_KINDS = ("minimum", "runs", "tree", "model")
"""What a cloud may be made of: the key that says so."""


def cloud_kind(cloud: Mapping) -> str:
    """Return which of `CLOUD_KINDS` a cloud is."""
    return next(kind for kind in CLOUD_KINDS if kind in cloud)


def topology_kind(topology: Mapping) -> str:
    """Return what a topology is of: ``grid`` or ``cloud``, the key that says so."""
    return "grid" if "grid" in topology else "cloud"


def _check_topologies(config: dict) -> None:
    for name, topology in config["topologies"].items():
        if topology_kind(topology) == "cloud":
            cloud = topology["cloud"]
            kind = cloud_kind(config["clouds"][cloud])
            if kind not in ("minimum", "runs"):
                raise LossmapError(
                    f"configuration: topologies.{name}.cloud is '{cloud}', a cloud of '{kind}', "
                    "whose points have no loss; name one of a minimum or of runs"
                )


def embedding_names(config: Mapping) -> dict[str, tuple[str, str]]:
    """Return cloud and technique of every embedding, by its name ``<cloud>-<technique>``."""
    return {
        f"{name}-{technique}": (name, technique)
        for name, cloud in config["clouds"].items()
        for technique in cloud["embeddings"]
    }


def jump_names(config: Mapping) -> dict[str, tuple[str, int]]:
    """Return minimum and direction of every jump-and-retrain, by ``<minimum>-d<direction>``."""
    return {
        f"{name}-d{direction}": (name, direction)
        for name in config["minima"]
        for direction in minimum_of(config, name)["directions"]
    }


def minimum_of(config: Mapping, name: str) -> dict:
    """Return a minimum with the leaves of ``jumps`` that it does not override."""
    return config["jumps"] | config["minima"][name]


def _check_clouds(config: dict) -> None:
    for name, cloud in config["clouds"].items():
        if "model" not in cloud:
            continue
        for key in ("of", "lengths"):
            if key in cloud and "minimum" not in config["clouds"][cloud[key]]:
                raise LossmapError(
                    f"configuration: clouds.{name}.{key} is '{cloud[key]}', which is no cloud of "
                    "jumps; name one that has 'minimum'"
                )
        if (cloud["model"] == "swapped") != ("lengths" in cloud):
            raise LossmapError(
                f"configuration: clouds.{name} is of model '{cloud['model']}', expected 'lengths', "
                "a cloud, with model 'swapped' and with no other"
            )
    count = sum(len(cloud["embeddings"]) for cloud in config["clouds"].values())
    if len(embedding_names(config)) != count:
        raise LossmapError(
            "configuration: clouds: two embeddings have one name, <cloud>-<technique>; "
            "rename a cloud"
        )


def embedding_technique(config: Mapping, name: str) -> dict:
    """Return how a cloud is embedded: a technique with the leaves that the cloud overrides."""
    cloud, technique = embedding_names(config)[name]
    given = config["clouds"][cloud]["embeddings"][technique]
    return drop_other_kind(config["techniques"][technique], given, "technique") | given


def _check_embeddings(config: dict) -> None:
    for name, (cloud, technique) in embedding_names(config).items():
        if not config["clouds"][cloud]["embeddings"][technique]:
            continue
        whole, where = embedding_technique(config, name), ("clouds", cloud, "embeddings", technique)
        check_against_schema(whole, "technique", partial(names_under, config), where)


def _check_bases(config: dict) -> None:
    for name, basis in config["bases"].items():
        epoch_of(config, basis["run"], basis["center"], f"bases.{name}.center")
        epochs = kept_epochs(config, basis["run"])
        first, last = basis.get("window") or (0, epochs[-1])
        count = sum(first <= epoch <= last for epoch in epochs)
        if count < MIN_SNAPSHOTS or last > epochs[-1]:
            raise LossmapError(
                f"configuration: bases.{name}: the window from epoch {first} to {last} holds "
                f"{count} snapshots, expected at least {MIN_SNAPSHOTS} within 0 to "
                f"{epochs[-1]}; run '{basis['run']}' {_describe_epochs(config, basis['run'])}"
            )
        center = {"run": basis["run"], "epoch": basis["center"]}
        _check_points(config, [center, *basis.get("through", ())], f"bases.{name}")


def _check_lines(config: dict) -> None:
    for name, line in config["lines"].items():
        where = f"lines.{name}"
        if "basis" in line:
            last = 2 * len(config["bases"][line["basis"]].get("seeds", [0])) - 1
            if line.get("direction", 0) > last:
                raise LossmapError(
                    f"configuration: {where}.direction is {line['direction']}, but basis "
                    f"'{line['basis']}' has directions 0 to {last}; name one of these"
                )
            continue
        _check_points(config, [line["from"], line["to"]], where)
        if statistics_of(config, line) not in ("batch", "recalibrate"):
            raise LossmapError(
                f"configuration: bn_statistics is '{config['bn_statistics']}', but no running "
                f"statistics belong to both ends of {where}; set {where}.bn_statistics to batch or "
                "recalibrate"
            )


def _check_points(config: dict, points: list[dict], where: str) -> None:
    """Refuse snapshots that are one and the same, or whose runs differ in network or data."""
    found = [(point["run"], epoch_of(config, **point, where=where)) for point in points]
    for run, epoch in found:
        if found.count((run, epoch)) > 1:
            raise LossmapError(
                f"configuration: {where} names epoch {epoch} of run '{run}' twice; name different "
                "snapshots"
            )
        for key in ("task", "dataset", "network", "arguments", "width", "normalize"):
            first, other = (config["runs"][each].get(key) for each in (found[0][0], run))
            if first != other:
                raise LossmapError(
                    f"configuration: {where} joins run '{found[0][0]}' of {key} '{first}' and run "
                    f"'{run}' of '{other}', expected one network on one data set; name other runs"
                )


def _on_planes(config: dict) -> Iterator[tuple[str, dict]]:
    """Yield place and entry of everything that is evaluated on a plane."""
    for registry in LANDSCAPES:
        for name, entry in config[registry].items():
            if "basis" in entry:
                yield f"{registry}.{name}", entry


def _check_landscapes(config: dict) -> None:
    for where, entry in _on_planes(config):
        basis = config["bases"][entry["basis"]]
        epoch = epoch_of(config, basis["run"], basis["center"], f"bases.{entry['basis']}")
        key = f"{where}.bn_statistics" if "bn_statistics" in entry else "bn_statistics"
        if statistics_of(config, entry) == "center":
            _check_trained(config, basis["run"], epoch, where, key)


def _check_curvatures(config: dict) -> None:
    for name, entry in config["curvatures"].items():
        where = f"curvatures.{name}"
        epoch = epoch_of(config, entry["run"], entry["center"], f"{where}.center")
        key = f"{where if 'bn_statistics' in entry else 'curvature'}.bn_statistics"
        if curvature_of(config, name)["bn_statistics"] == "center":
            _check_trained(config, entry["run"], epoch, where, key)


def _check_trained(config: dict, run: str, epoch: int, where: str, key: str) -> None:
    if epoch == 0 and not is_imported(config, run):
        raise LossmapError(
            f"configuration: {key} is 'center', but the center of {where} is the untrained "
            "network, whose running statistics mean nothing; use 'batch' or 'recalibrate', "
            "or 'initial' where mean 0 and variance 1 are what is meant"
        )


def curvature_of(config: Mapping, name: str) -> dict:
    """Return a curvature with the leaves of ``curvature`` that it does not override."""
    return config["curvature"] | config["curvatures"][name]


def _check_rings(config: dict) -> None:
    for name, entry in config["rings"].items():
        if statistics_of(config, entry) == "recalibrate":
            raise LossmapError(
                f"configuration: bn_statistics is 'recalibrate', but rings.{name} has a gradient, "
                f"which needs one pass; set rings.{name}.bn_statistics to batch, center or initial"
            )


def statistics_of(config: dict, entry: dict) -> str:
    """Return the batch-norm statistics of a grid, projection, ring or line."""
    return entry.get("bn_statistics", config["bn_statistics"])


def _check_evaluation(config: dict) -> None:
    images, batch = config["evaluation"]["images"], config["evaluation"]["batch"]
    if images % batch == 1 or batch > images:
        raise LossmapError(
            f"configuration: evaluation.batch is {batch} for {images} images; every batch needs at "
            "least 2 images: choose a batch that divides evaluation.images"
        )
    evaluated = [config["bases"][entry["basis"]]["run"] for _, entry in _on_planes(config)]
    evaluated += [line["from"]["run"] for line in config["lines"].values() if "from" in line]
    for run in evaluated:
        _check_images(config, run, "evaluation.images", images)
    for entry in config["curvatures"].values():
        _check_images(config, entry["run"], "evaluation.images", images)
    for run in config["runs"]:
        wanted = (metrics_of(config, run) or {"images": 0})["images"]
        _check_images(config, run, f"{_metrics_key(config, run)}.images", wanted)


def _metrics_key(config: dict, run: str) -> str:
    entry = config["runs"][run]
    if "metrics" in entry or is_imported(config, run):
        return f"runs.{run}.metrics"
    recipe = entry["recipe"]
    return f"recipes.{recipe}.metrics" if "metrics" in config["recipes"][recipe] else "metrics"


def metrics_of(config: dict, run: str) -> dict | None:
    """Return what a run's snapshots are measured on: the recipe's setting, else the global one.

    None are all of them: no scale makes an imported run's less.
    """
    if is_imported(config, run) or task_of(config, run):
        return config["runs"][run].get("metrics")
    return run_recipe(config, run).get("metrics", config["metrics"])


def _check_images(config: dict, run: str, key: str, wanted: int) -> None:
    if task_of(config, run):
        return
    name = config["runs"][run]["dataset"]
    dataset = config["datasets"][name]
    train = dataset.get("train")
    if (
        train is None
        and dataset["source"] == "hdf5"
        and (shape := shape_of_images(dataset["file"]))
    ):
        train = shape[0]
    if train is not None and wanted > train:
        raise LossmapError(
            f"configuration: {key} is {wanted}, but datasets.{name} has {train} training images; "
            "lower the one or raise the other"
        )


def _check_figures(config: dict) -> None:
    for name, figure in config["figures"].items():
        for number, panel in enumerate(figure["panels"]):
            where = f"figures.{name}.panels.{number}"
            for index, series in enumerate(panel.get("series", [])):
                _check_series(config, series, f"{where}.series.{index}.runs")
            _check_projection(config, panel, where)
            _check_marks(config, panel, where)
            _check_curve(config, panel, where)
            for epoch in panel.get("epochs", []):
                epoch_of(config, panel["run"], epoch, f"{where}.epochs")
    _check_targets(config)


def _check_curve(config: dict, panel: dict, where: str) -> None:
    if panel["draw"] == "curve" and is_imported(config, panel["run"]):
        raise LossmapError(
            f"configuration: {where} draws the loss of every iteration of run '{panel['run']}', "
            "which was imported: nobody recorded it here; remove the panel"
        )


def _check_series(config: dict, series: dict, where: str) -> None:
    kept = {run: kept_epochs(config, run) for run in series["runs"]}
    first = next(iter(kept))
    for run, epochs in kept.items():
        if epochs != kept[first]:
            raise LossmapError(
                f"configuration: {where}: '{run}' and '{first}' keep other epochs; a band needs "
                "runs of one recipe: make them two series"
            )


def _check_targets(config: dict) -> None:
    registries = ("figures", "tables", "animations")
    for name in [name for registry in registries for name in config[registry]]:
        found = [registry[:-1] for registry in registries if name in config[registry]]
        if len(found) > 1:
            raise LossmapError(
                f"configuration: '{name}' is a {found[0]} and {_article(found[1])}; rename one"
            )
        paper = name.partition("_")[0]
        if paper in RULES:
            raise LossmapError(
                f"configuration: '{name}' gives its paper the name '{paper}', which is a rule; "
                "choose another word before the first underscore"
            )


def _article(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def _check_projection(config: dict, panel: dict, where: str) -> None:
    if "projection" not in panel:
        return
    if not panel.get("trajectory") and "converged" not in panel.get("marks", ()):
        raise LossmapError(
            f"configuration: {where}.projection is '{panel['projection']}', but nothing of it is "
            "drawn; add 'trajectory: true' or the mark 'converged', or remove it"
        )
    drawn, projected = config["grids"][panel["grid"]], config["projections"][panel["projection"]]
    if drawn["basis"] != projected["basis"]:
        raise LossmapError(
            f"configuration: {where} draws projection '{panel['projection']}' (basis "
            f"'{projected['basis']}') on grid '{panel['grid']}' (basis '{drawn['basis']}'); "
            "both must have one basis"
        )


def _check_marks(config: dict, panel: dict, where: str) -> None:
    if "points" in panel.get("marks", ()) and "grid" in panel:
        basis = config["grids"][panel["grid"]]["basis"]
        if "through" not in config["bases"][basis]:
            raise LossmapError(
                f"configuration: {where}.marks has 'points', but basis '{basis}' is of method "
                f"'{config['bases'][basis]['method']}', which is laid through none; remove it"
            )


def _check_tables(config: dict) -> None:
    for name, table in config["tables"].items():
        for number, column in enumerate(table.get("columns", ())):
            for statistics, pair in column["projections"].items():
                for method, projection in pair.items():
                    where = f"tables.{name}.columns.{number}.projections.{statistics}.{method}"
                    _check_cell(config, projection, statistics, method, where)


def _check_cell(config: dict, name: str, statistics: str, method: str, where: str) -> None:
    """Refuse a number that would stand in the wrong cell of a table."""
    entry = config["projections"][name]
    found = config["bases"][entry["basis"]]["method"], statistics_of(config, entry)
    if found != (method, statistics):
        raise LossmapError(
            f"configuration: {where} is '{name}', whose method is '{found[0]}' and bn_statistics "
            f"'{found[1]}', expected '{method}' and '{statistics}'; name another projection, or "
            f"set projections.{name}.bn_statistics"
        )


def _check_claims(config: dict) -> None:
    for paper, claims in config["claims"].items():
        if paper in RULES:
            raise LossmapError(
                f"configuration: claims.{paper} is the name of a rule; choose another"
            )
        for name, entry in claims.items():
            where = f"claims.{paper}.{name}"
            statement = _statement_of(name, where)
            _check_claim_keys(statement, entry, where)
            for key, names in statement.on.items():
                _check_claim_names(config, names, entry[key], f"{where}.{key}")
            for key, names in statement.on.items():
                _check_claim_pairs(config, key, names, entry, where)


def _statement_of(name: str, where: str) -> Statement:
    if ":" not in name and name not in SHIPPED:
        raise LossmapError(
            f"configuration: {where} is an unknown claim{suggest(name, SHIPPED)}; known: "
            f"{', '.join(SHIPPED)}; name a claim of your own as module:function"
        )
    try:
        return find_statement(name)
    except LossmapError as error:
        raise LossmapError(f"configuration: {where}: {error}") from error


def _check_claim_keys(statement: Statement, entry: Mapping, where: str) -> None:
    for key in entry:
        if key not in statement.on:
            raise LossmapError(
                f"configuration: {explain_unknown(where, entry, list(statement.on))}"
            )
    for key in statement.on:
        if key not in entry:
            raise LossmapError(f"configuration: {where}: key '{key}' is missing; add it")


def _check_claim_names(config: dict, names: Names, given: list[str], where: str) -> None:
    if names.count is not None and len(given) != names.count:
        entries = "entry" if names.count == 1 else "entries"
        raise LossmapError(
            f"configuration: {where} is {given!r}, expected exactly {names.count} {entries}"
        )
    for name in given:
        check_name(name, names.registry, partial(names_under, config), where)
        noun, kind = _kind_of(config, names.registry, name)
        if names.kinds and kind not in names.kinds:
            raise LossmapError(
                f"configuration: {where} names '{name}', a {noun} of '{kind}', expected one of "
                f"{', '.join(names.kinds)}; name another"
            )


def _kind_of(config: dict, registry: str, name: str) -> tuple[str, str | None]:
    """Return what an entry of a registry is called, and of which kind it is."""
    entry = config[registry][name]
    found = {"clouds": cloud_kind, "bases": lambda basis: basis["method"]}
    nouns = {"clouds": "cloud", "bases": "plane"}
    return nouns.get(registry, "entry"), found.get(registry, lambda _: None)(entry)


def _check_claim_pairs(config: dict, key: str, names: Names, entry: Mapping, where: str) -> None:
    """Check the names under one key against those under another."""
    if names.pairs and len(entry[key]) != len(entry[names.pairs]):
        raise LossmapError(
            f"configuration: {where} has {len(entry[names.pairs])} {names.pairs} and "
            f"{len(entry[key])} {key}, expected pairs; name as many of each"
        )
    if not names.models:
        return
    originals = [name for other in names.models for name in entry[other]]
    imitated = {name: config["clouds"][name]["of"] for name in entry[key]}
    for model, of in imitated.items():
        if of not in originals:
            raise LossmapError(
                f"configuration: {where}.{key} names '{model}', a model of '{of}', which is not "
                f"among its {' and '.join(names.models)}; remove it"
            )
    for name in originals:
        if name not in imitated.values():
            raise LossmapError(f"configuration: {where}.{key} has no model of '{name}'; add one")


_CHECKS = (
    _check_data,
    _check_datasets,
    _check_runs,
    _check_minima,
    _check_last_batches,
    _check_curvatures,
    _check_bases,
    _check_landscapes,
    _check_rings,
    _check_lines,
    _check_clouds,
    _check_embeddings,
    _check_topologies,
    _check_evaluation,
    _check_figures,
    _check_tables,
    _check_claims,
)
