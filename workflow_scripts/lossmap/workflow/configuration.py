"""The configuration: defaults, registry, scale and the user's own words, merged and checked.

Everything that can be wrong with a configuration is found here, before any job starts.
"""

import difflib
import math
from collections.abc import Iterable, Mapping
from copy import deepcopy
from pathlib import Path

import yaml
from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend

from lossmap.errors import LossmapError, reason

REGISTRIES = ("defaults.yaml", "ding2023.yaml", "horoi2021.yaml")
RULES = (
    *("all", "datasets", "figures", "tables", "claims", "estimate", "audit", "report"),
    *("ledger", "joined_ledger"),
    *("dataset", "trajectory", "basis", "grid", "projection", "figure", "table"),
    *("jumps", "distance", "embedding", "animation"),
)
"""Names that no paper may have: a paper is a target like these."""
CIFAR_FILES = {"cifar10": "cifar10.h5", "cifar100": "cifar100.h5"}
LISTED = 20
"""Names that a message lists at most."""
MIN_SNAPSHOTS = 3
"""Fewer do not span a plane."""


def load_configuration(folder: Path, given: Mapping) -> dict:
    """Return the checked configuration: defaults < registry < scale < what the user gave.

    Parameters
    ----------
    folder : where ``defaults.yaml``, ``scales/`` and ``schema.yaml`` lie
    given : Snakemake's ``config``: the user's ``--configfile`` and ``--config``

    Raises
    ------
    LossmapError
        A file is missing or no YAML, a key is unknown, a value is not allowed, or a name refers to
        nothing. The message names the key, the value and what is allowed.
    """
    merged: dict = {}
    for name in REGISTRIES:
        _merge(merged, _read_yaml(folder / name))
    scale = given.get("scale", merged["scale"])
    _merge(merged, _read_yaml(_scale_file(folder, scale)))
    _merge(merged, given)
    _check_schema(merged, _read_yaml(folder / "schema.yaml"))
    for check in _CHECKS:
        check(merged)
    return merged


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
        A file cannot be read or is no YAML, or a word is not of that form.
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
            f"{_suggest(scale, known)}, or write {folder.name}/scales/{scale}.yaml"
        )
    return folder / "scales" / f"{scale}.yaml"


def _merge(base: dict, over: Mapping) -> None:
    """Lay `over` on `base` in place: mappings merge, everything else replaces."""
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(base.get(key), dict):
            _merge(base[key], value)
        else:
            base[key] = deepcopy(value) if not isinstance(value, Mapping) else _copied(value)


def _copied(value: Mapping) -> dict:
    fresh: dict = {}
    _merge(fresh, value)
    return fresh


def _suggest(value: object, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(str(value), list(known), 1)
    return f" (did you mean '{close[0]}'?)" if close else ""


def _is_finite(_: object, value: object) -> bool:
    """Tell a number that has a place in canonical JSON."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


_TYPES = Draft202012Validator.TYPE_CHECKER.redefine("number", _is_finite)
_Validator = extend(Draft202012Validator, type_checker=_TYPES)


def _check_schema(config: dict, schema: dict) -> None:
    errors = sorted(_Validator(schema).iter_errors(config), key=_depth)
    if errors:
        raise LossmapError(f"configuration: {_explain(errors[0], config)}")


def _depth(error: ValidationError) -> tuple:
    return (len(error.absolute_path), [str(part) for part in error.absolute_path])


def _explain(error: ValidationError, config: dict) -> str:
    where = ".".join(str(part) for part in error.absolute_path) or "top level"
    value, allowed = error.instance, error.validator_value
    if "propertyNames" in error.absolute_schema_path:
        where = f"{where}: the name"
    bounds = {"minimum": "at least", "exclusiveMinimum": "more than"}
    bounds |= {"maximum": "at most", "exclusiveMaximum": "less than"}
    kind = str(error.validator)
    if kind == "additionalProperties":
        text = _explain_unknown(where, value, list(error.schema["properties"]))
    elif kind == "required":
        missing = next(key for key in allowed if key not in value)
        text = f"{where}: key '{missing}' is missing; add it"
    elif kind == "enum":
        text = f"{where} is {value!r}, allowed: {', '.join(str(each) for each in allowed)}"
    elif kind == "type":
        text = _explain_type(where, value, allowed)
    elif kind == "not" and not allowed:
        text = _explain_meaningless(error, where, config)
    elif kind in ("pattern", "not", "anyOf"):
        text = f"{where} is {value!r}, expected {error.schema['description']}"
    elif kind in bounds:
        text = f"{where} is {value!r}, expected {bounds[kind]} {allowed}"
    elif kind in _LENGTHS:
        entries = "entry" if allowed == 1 else "entries"
        text = f"{where} is {value!r}, {_LENGTHS[kind].format(allowed, entries)}"
    else:
        text = f"{where}: {error.message}"
    return text


_LENGTHS = {
    "minItems": "expected at least {} {}",
    "maxItems": "expected at most {} {}",
    "minLength": "expected text or null",
    "maxLength": "expected at most {} characters",
    "uniqueItems": "expected different ones",
}


def _explain_meaningless(error: ValidationError, where: str, config: dict) -> str:
    entry: object = config
    for part in list(error.absolute_path)[:-1]:
        entry = entry[part]
    key = next(key for key in ("draw", "method") if key in entry)
    return f"{where} means nothing with {key} '{entry[key]}'; remove it"


def _explain_unknown(where: str, value: Mapping, known: list[str]) -> str:
    unknown = next(key for key in value if key not in known)
    prefix = "" if where == "top level" else f"{where}."
    return (
        f"{prefix}{unknown} is an unknown key{_suggest(unknown, known)}; "
        f"allowed: {', '.join(known)}"
    )


def _explain_type(where: str, value: object, allowed: str | list[str]) -> str:
    kinds = " or ".join([allowed] if isinstance(allowed, str) else allowed)
    kinds = kinds.replace("object", "keys and values").replace("array", "a list")
    hint = ""
    if isinstance(value, str) and _is_number(value):
        hint = " (YAML reads 1e-3 as text; write 1.0e-3)"
    elif where.endswith(": the name"):
        hint = " (YAML reads null, ~, yes, no and digits as no text; put it in quotes)"
    elif value is None:
        hint = " (YAML reads null where nothing is given; give it or remove the key)"
    return f"{where} is {value!r}, expected {kinds}{hint}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def moment_epoch(config: dict, run: str, moment: str | int, where: str) -> int:
    """Return the epoch of a moment of a run: a name from ``moments``, or an epoch itself.

    A named moment is the nearest epoch of which a snapshot is kept, of two the earlier.

    Raises
    ------
    LossmapError
        The moment is unknown, or no snapshot is kept at that epoch.
    """
    recipe = run_recipe(config, run)
    epochs, every = recipe["epochs"], recipe["snapshot_every"]
    if isinstance(moment, str):
        if moment not in config["moments"]:
            _unknown(where, moment, "moments", config["moments"])
        asked = config["moments"][moment] * epochs
        return min(kept_epochs(recipe), key=lambda epoch: abs(epoch - asked))
    if not 0 <= moment <= epochs or (moment % every and moment != epochs):
        raise LossmapError(
            f"configuration: {where} is epoch {moment}, but run '{run}' keeps a snapshot every "
            f"{every} epochs from 0 to {epochs}; choose one of these"
        )
    return moment


def kept_epochs(recipe: dict) -> list[int]:
    """Return the epochs at which a run keeps a snapshot: every so many, and the last."""
    epochs = recipe["epochs"]
    return sorted({*range(0, epochs, recipe["snapshot_every"]), epochs})


def run_recipe(config: dict, run: str) -> dict:
    """Return a run's recipe with the run's own leaves laid over it."""
    entry = config["runs"][run]
    recipe = _copied(config["recipes"][entry["recipe"]])
    leaves = {*recipe, "metrics"}
    _merge(recipe, {key: value for key, value in entry.items() if key in leaves})
    return recipe


def _unknown(where: str, name: object, registry: str, known: Iterable[str]) -> None:
    names = sorted(known)
    more = f" … ({len(names)})" if len(names) > LISTED else ""
    raise LossmapError(
        f"configuration: {where} names '{name}', which is not defined under {registry}"
        f"{_suggest(name, names)}; defined: {', '.join(names[:LISTED]) or 'none'}{more}"
    )


def _require(config: dict, registry: str, name: str, where: str) -> None:
    if name not in config[registry]:
        _unknown(where, name, registry, config[registry])


def _check_runs(config: dict) -> None:
    for name, run in config["runs"].items():
        _require(config, "datasets", run["dataset"], f"runs.{name}.dataset")
        _require(config, "recipes", run["recipe"], f"runs.{name}.recipe")
        if ":" not in run["network"]:
            _require(config, "networks", run["network"], f"runs.{name}.network")
        _check_recipe(name, run_recipe(config, name))


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
    for name, run in config["runs"].items():
        batch = run_recipe(config, name)["batch_size"]
        train = config["datasets"][run["dataset"]].get("train")
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


CLOUD_KINDS = {"minimum": "minima", "runs": "runs", "tree": None, "model": None}
"""What a cloud is made of, and the registry that the names under that key belong to."""


def cloud_kind(cloud: Mapping) -> str:
    """Return which of `CLOUD_KINDS` a cloud is."""
    return next(kind for kind in CLOUD_KINDS if kind in cloud)


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


def _check_minima(config: dict) -> None:
    for name, minimum in config["minima"].items():
        _require(config, "runs", minimum["run"], f"minima.{name}.run")


def _check_clouds(config: dict) -> None:
    for name, cloud in config["clouds"].items():
        where = f"clouds.{name}"
        kinds = [kind for kind in CLOUD_KINDS if kind in cloud]
        if len(kinds) != 1:
            raise LossmapError(
                f"configuration: {where} has {' and '.join(kinds) or 'none'}, expected exactly one "
                f"of {', '.join(CLOUD_KINDS)}"
            )
        _check_cloud(config, cloud, kinds[0], where)
        for technique in cloud["embeddings"]:
            _require(config, "techniques", technique, f"{where}.embeddings")
    count = sum(len(cloud["embeddings"]) for cloud in config["clouds"].values())
    if len(embedding_names(config)) != count:
        raise LossmapError(
            "configuration: clouds: two embeddings have one name, <cloud>-<technique>; "
            "rename a cloud"
        )


def _check_cloud(config: dict, cloud: dict, kind: str, where: str) -> None:
    if kind != "model":
        for key in ("of", "seed"):
            if key in cloud:
                raise LossmapError(
                    f"configuration: {where}.{key} means nothing without 'model'; remove it"
                )
    if kind == "minimum":
        _require(config, "minima", cloud["minimum"], f"{where}.minimum")
    elif kind == "runs":
        for run in cloud["runs"]:
            _require(config, "runs", run, f"{where}.runs")
    elif kind == "model":
        if "of" not in cloud:
            raise LossmapError(
                f"configuration: {where}: key 'of' is missing; add the cloud that 'model' imitates"
            )
        _require(config, "clouds", cloud["of"], f"{where}.of")
        if "minimum" not in config["clouds"][cloud["of"]]:
            raise LossmapError(
                f"configuration: {where}.of is '{cloud['of']}', which is no cloud of jumps; name "
                "one that has 'minimum'"
            )


_DISTANCES = ("cosine_space", "components")
TECHNIQUE_KEYS = {
    "phate": (*_DISTANCES, "knn", "decay", "t", "mds_solver", "seed"),
    "tsne": (*_DISTANCES, "perplexity", "learning_rate", "iterations", "seed"),
    "umap": (*_DISTANCES, "neighbors", "min_dist", "seed"),
    "pca": (),
    "random": ("seed",),
}
"""What each method is told besides metric and include_optimum."""


def _check_techniques(config: dict) -> None:
    for name, technique in config["techniques"].items():
        _check_technique(technique, f"techniques.{name}")
    for cloud, technique in embedding_names(config).values():
        given = config["clouds"][cloud]["embeddings"][technique]
        _check_technique(
            config["techniques"][technique] | given, f"clouds.{cloud}.embeddings.{technique}"
        )


def _check_technique(technique: Mapping, where: str) -> None:
    method = technique["method"]
    wanted = ("method", "metric", "include_optimum", *TECHNIQUE_KEYS[method])
    missing = [key for key in wanted if key not in technique]
    if missing:
        raise LossmapError(f"configuration: {where}: key '{missing[0]}' is missing; add it")
    strange = [key for key in technique if key not in wanted]
    if strange:
        raise LossmapError(
            f"configuration: {where}.{strange[0]} means nothing with method '{method}'; remove it"
        )
    if method in ("pca", "random") and technique["metric"] != "euclidean":
        raise LossmapError(
            f"configuration: {where}.metric is '{technique['metric']}', but method '{method}' is "
            "euclidean; set it so"
        )


def _check_bases(config: dict) -> None:
    for name, basis in config["bases"].items():
        _require(config, "runs", basis["run"], f"bases.{name}.run")
        moment_epoch(config, basis["run"], basis["center"], f"bases.{name}.center")
        recipe = run_recipe(config, basis["run"])
        first, last = basis.get("window") or (0, recipe["epochs"])
        count = sum(first <= epoch <= last for epoch in kept_epochs(recipe))
        if count < MIN_SNAPSHOTS or last > recipe["epochs"]:
            raise LossmapError(
                f"configuration: bases.{name}: the window from epoch {first} to {last} holds "
                f"{count} snapshots, expected at least {MIN_SNAPSHOTS} within 0 to "
                f"{recipe['epochs']}; run '{basis['run']}' has snapshot_every "
                f"{recipe['snapshot_every']}"
            )


def _check_landscapes(config: dict) -> None:
    for registry in ("grids", "projections"):
        for name, entry in config[registry].items():
            where = f"{registry}.{name}"
            _require(config, "bases", entry["basis"], f"{where}.basis")
            basis = config["bases"][entry["basis"]]
            epoch = moment_epoch(config, basis["run"], basis["center"], f"bases.{entry['basis']}")
            if epoch == 0 and statistics_of(config, entry) == "center":
                key = f"{where}.bn_statistics" if "bn_statistics" in entry else "bn_statistics"
                raise LossmapError(
                    f"configuration: {key} is 'center', but the center of {where} is the untrained "
                    "network, whose running statistics mean nothing; use 'batch' or 'recalibrate'"
                )


def statistics_of(config: dict, entry: dict) -> str:
    """Return the batch-norm statistics of a grid or projection."""
    return entry.get("bn_statistics", config["bn_statistics"])


def _check_evaluation(config: dict) -> None:
    images, batch = config["evaluation"]["images"], config["evaluation"]["batch"]
    if images % batch == 1 or batch > images:
        raise LossmapError(
            f"configuration: evaluation.batch is {batch} for {images} images; every batch needs at "
            "least 2 images: choose a batch that divides evaluation.images"
        )
    for entry in [*config["grids"].values(), *config["projections"].values()]:
        run = config["bases"][entry["basis"]]["run"]
        _check_images(config, run, "evaluation.images", images)
    for run in config["runs"]:
        wanted = metrics_of(config, run)["images"]
        _check_images(config, run, f"{_metrics_key(config, run)}.images", wanted)


def _metrics_key(config: dict, run: str) -> str:
    entry = config["runs"][run]
    if "metrics" in entry:
        return f"runs.{run}.metrics"
    recipe = entry["recipe"]
    return f"recipes.{recipe}.metrics" if "metrics" in config["recipes"][recipe] else "metrics"


def metrics_of(config: dict, run: str) -> dict:
    """Return what a run's snapshots are measured on: its recipe's word, or everybody's."""
    return run_recipe(config, run).get("metrics", config["metrics"])


def _check_images(config: dict, run: str, key: str, wanted: int) -> None:
    name = config["runs"][run]["dataset"]
    train = config["datasets"][name].get("train")
    if train is not None and wanted > train:
        raise LossmapError(
            f"configuration: {key} is {wanted}, but datasets.{name} has {train} training images; "
            "lower the one or raise the other"
        )


def _check_figures(config: dict) -> None:
    for name, figure in config["figures"].items():
        for number, panel in enumerate(figure["panels"]):
            where = f"figures.{name}.panels.{number}"
            for key, registry in (
                ("run", "runs"),
                ("grid", "grids"),
                ("projection", "projections"),
            ):
                if key in panel:
                    _require(config, registry, panel[key], f"{where}.{key}")
            for index, series in enumerate(panel.get("series", [])):
                _check_series(config, series, f"{where}.series.{index}.runs")
            _check_embedding(config, panel, where)
            _check_projection(config, panel, where)
            for moment in panel.get("moments", []):
                moment_epoch(config, panel["run"], moment, f"{where}.moments")
    for name, animation in config["animations"].items():
        for number, panel in enumerate(animation["panels"]):
            _check_embedding(config, panel, f"animations.{name}.panels.{number}")
    _check_targets(config)


def _check_series(config: dict, series: dict, where: str) -> None:
    for run in series["runs"]:
        _require(config, "runs", run, where)
    kept = {run: kept_epochs(run_recipe(config, run)) for run in series["runs"]}
    first = next(iter(kept))
    for run, epochs in kept.items():
        if epochs != kept[first]:
            raise LossmapError(
                f"configuration: {where}: '{run}' and '{first}' keep other epochs; a band needs "
                "runs of one recipe: make them two series"
            )


def _check_embedding(config: dict, panel: dict, where: str) -> None:
    known = embedding_names(config)
    if "embedding" in panel and panel["embedding"] not in known:
        registry = "clouds as <cloud>-<technique>"
        _unknown(f"{where}.embedding", panel["embedding"], registry, known)


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


def _check_tables(config: dict) -> None:
    for name, table in config["tables"].items():
        for number, column in enumerate(table["columns"]):
            for statistics, pair in column["projections"].items():
                for method, projection in pair.items():
                    where = f"tables.{name}.columns.{number}.projections.{statistics}.{method}"
                    _require(config, "projections", projection, where)
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


def claim_registry(key: str) -> str:
    """Return the registry that the names under a key of a claim belong to: its last word."""
    return key.rpartition("_")[2]


CLAIM_KINDS = {
    "good_clouds": ("minimum",),
    "bad_clouds": ("minimum",),
    "crossed_clouds": ("minimum",),
    "null_clouds": ("model",),
}
"""Of what kinds the clouds under a key of a claim may be."""
CLOUDS_OF = {
    "horoi-phate-continuity": ("minimum", "runs", "tree"),
    "horoi-sgd-direction": ("runs",),
    "horoi-adam-spread": ("runs",),
    "horoi-null-control": ("minimum",),
    "horoi-robustness": ("minimum",),
}


def _check_claim(config: dict, claim: Mapping, where: str) -> None:
    kinds = CLAIM_KINDS | {"clouds": CLOUDS_OF.get(where.rpartition(".")[2], ())}
    for key in (key for key in claim if claim_registry(key) == "clouds"):
        for name in claim[key]:
            kind = cloud_kind(config["clouds"][name])
            if kind not in kinds[key]:
                raise LossmapError(
                    f"configuration: {where}.{key} names '{name}', a cloud of '{kind}', expected "
                    f"one of {', '.join(kinds[key])}; name another"
                )
    for null in claim.get("null_clouds", []):
        if config["clouds"][null]["of"] not in claim["clouds"]:
            raise LossmapError(
                f"configuration: {where}.null_clouds names '{null}', a model of "
                f"'{config['clouds'][null]['of']}', which is not among its clouds; remove it"
            )
    imitated = {config["clouds"][null]["of"] for null in claim.get("null_clouds", [])}
    for name in claim["clouds"] if "null_clouds" in claim else []:
        if name not in imitated:
            raise LossmapError(
                f"configuration: {where}.null_clouds has no model of '{name}'; add one"
            )
    pairs = [len(claim.get(key, [])) for key in ("good_runs", "bad_runs")]
    if len(set(pairs)) > 1:
        raise LossmapError(
            f"configuration: {where} has {pairs[0]} good_runs and {pairs[1]} bad_runs, expected "
            "pairs; name as many of each"
        )


def _check_claims(config: dict) -> None:
    for paper, claims in config["claims"].items():
        for name, claim in claims.items():
            for key, entries in claim.items():
                for entry in entries:
                    where = f"claims.{paper}.{name}.{key}"
                    _require(config, claim_registry(key), entry, where)
            _check_claim(config, claim, f"claims.{paper}.{name}")
        if paper in ("claims", *RULES):
            raise LossmapError(
                f"configuration: claims.{paper} is the name of a rule; choose another"
            )


_CHECKS = (
    _check_datasets,
    _check_runs,
    _check_last_batches,
    _check_bases,
    _check_landscapes,
    _check_minima,
    _check_clouds,
    _check_techniques,
    _check_evaluation,
    _check_figures,
    _check_tables,
    _check_claims,
)
