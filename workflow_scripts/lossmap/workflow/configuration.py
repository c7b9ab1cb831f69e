"""The configuration: defaults, registry, scale and the user's own words, merged and checked.

Everything that can be wrong with a configuration is found here, before any job starts.
"""

import difflib
from collections.abc import Iterable, Mapping
from copy import deepcopy
from pathlib import Path

import yaml
from jsonschema import Draft202012Validator, ValidationError

from lossmap.errors import LossmapError

REGISTRIES = ("defaults.yaml", "ding2023.yaml")


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


def _read_yaml(path: Path) -> dict:
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise LossmapError(f"{path}: cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = " ".join(str(error).split())
        raise LossmapError(f"{path}: not valid YAML: {where}") from error
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise LossmapError(f"{path}: expected keys and values, got {type(found).__name__}")
    return found


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


def _check_schema(config: dict, schema: dict) -> None:
    errors = sorted(Draft202012Validator(schema).iter_errors(config), key=_depth)
    if errors:
        raise LossmapError(f"configuration: {_explain(errors[0])}")


def _depth(error: ValidationError) -> tuple:
    return (len(error.absolute_path), [str(part) for part in error.absolute_path])


def _explain(error: ValidationError) -> str:
    where = ".".join(str(part) for part in error.absolute_path) or "top level"
    value, allowed = error.instance, error.validator_value
    bounds = {"minimum": "at least", "exclusiveMinimum": "more than"}
    bounds |= {"maximum": "at most", "exclusiveMaximum": "less than"}
    kind = str(error.validator)
    if kind == "additionalProperties":
        text = _explain_unknown(where, value, list(error.schema["properties"]))
    elif kind == "required":
        text = f"{where}: key '{next(key for key in allowed if key not in value)}' is missing"
    elif kind == "enum":
        text = f"{where} is {value!r}, allowed: {', '.join(str(each) for each in allowed)}"
    elif kind == "type":
        text = _explain_type(where, value, allowed)
    elif kind == "pattern":
        text = (
            f"{where}: name {value!r} is not allowed; lower-case letters and digits joined by "
            "hyphens (figures and tables: underscores; factories: module.path:function)"
        )
    elif kind in bounds:
        text = f"{where} is {value!r}, expected {bounds[kind]} {allowed}"
    else:
        text = f"{where}: {error.message}"
    return text


def _explain_unknown(where: str, value: Mapping, known: list[str]) -> str:
    unknown = next(key for key in value if key not in known)
    prefix = "" if where == "top level" else f"{where}."
    return (
        f"{prefix}{unknown} is an unknown key{_suggest(unknown, known)}; "
        f"allowed: {', '.join(known)}"
    )


def _explain_type(where: str, value: object, allowed: str | list[str]) -> str:
    kinds = allowed if isinstance(allowed, str) else " or ".join(allowed)
    hint = ""
    if isinstance(value, str) and _is_number(value):
        hint = " (YAML reads 1e-3 as text; write 1.0e-3)"
    return f"{where} is {value!r}, expected {kinds}{hint}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def moment_epoch(config: dict, run: str, moment: str | int, where: str) -> int:
    """Return the epoch of a moment of a run: a name from ``moments``, or an epoch itself.

    A named moment is rounded to the nearest epoch of which a snapshot is kept.

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
        share = config["moments"][moment]
        return epochs if share == 1.0 else min(epochs, round(share * epochs / every) * every)
    if not 0 <= moment <= epochs or (moment % every and moment != epochs):
        raise LossmapError(
            f"configuration: {where} is epoch {moment}, but run '{run}' keeps every {every}. epoch "
            f"from 0 to {epochs}"
        )
    return moment


def run_recipe(config: dict, run: str) -> dict:
    """Return a run's recipe with the run's own leaves laid over it."""
    entry = config["runs"][run]
    recipe = _copied(config["recipes"][entry["recipe"]])
    _merge(recipe, {key: value for key, value in entry.items() if key in recipe})
    return recipe


def _unknown(where: str, name: object, registry: str, known: Iterable[str]) -> None:
    names = list(known)
    raise LossmapError(
        f"configuration: {where} names '{name}', which is not defined under {registry}"
        f"{_suggest(name, names)}; defined: {', '.join(sorted(names)) or 'none'}"
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
    epochs = recipe["epochs"]
    late = [m for m in recipe["schedule"]["milestones"] if m >= epochs]
    if late:
        raise LossmapError(
            f"configuration: runs.{name}: schedule.milestones has {late[0]}, but the run ends "
            f"after {epochs} epochs"
        )
    if recipe["snapshot_every"] > epochs:
        raise LossmapError(
            f"configuration: runs.{name}: snapshot_every is {recipe['snapshot_every']}, more than "
            f"the run's {epochs} epochs"
        )
    if recipe["optimizer"]["nesterov"] and recipe["optimizer"]["momentum"] == 0:
        raise LossmapError(
            f"configuration: runs.{name}: optimizer.nesterov is true, which needs momentum above 0"
        )


def _check_bases(config: dict) -> None:
    for name, basis in config["bases"].items():
        _require(config, "runs", basis["run"], f"bases.{name}.run")
        moment_epoch(config, basis["run"], basis["centre"], f"bases.{name}.centre")
        foreign = {"pca": ("seeds", "ignore"), "fn": ("window",)}[basis["method"]]
        for key in foreign:
            if key in basis:
                raise LossmapError(
                    f"configuration: bases.{name}.{key} has no meaning for method "
                    f"'{basis['method']}'; remove it"
                )
        window = basis.get("window")
        if window and window[0] >= window[1]:
            raise LossmapError(
                f"configuration: bases.{name}.window is {window}, expected [first, last] epoch"
            )


def _check_landscapes(config: dict) -> None:
    for registry in ("grids", "projections"):
        for name, entry in config[registry].items():
            where = f"{registry}.{name}"
            _require(config, "bases", entry["basis"], f"{where}.basis")
            statistics = entry.get("bn_statistics", config["bn_statistics"])
            basis = config["bases"][entry["basis"]]
            epoch = moment_epoch(config, basis["run"], basis["centre"], f"bases.{entry['basis']}")
            if statistics == "centre" and epoch == 0:
                raise LossmapError(
                    f"configuration: {where}.bn_statistics is 'centre', but the centre is the "
                    "untrained network, whose running statistics mean nothing; use 'batch' or "
                    "'recalibrate'"
                )
            resolution = entry.get("resolution", config["grid"]["resolution"])
            if resolution % 2 == 0:
                raise LossmapError(
                    f"configuration: {where}: resolution is {resolution}, expected an odd number, "
                    "so that the centre is a grid point"
                )


def _check_evaluation(config: dict) -> None:
    images, batch = config["evaluation"]["images"], config["evaluation"]["batch"]
    if images % batch == 1 or batch > images:
        raise LossmapError(
            f"configuration: evaluation.batch is {batch} for {images} images; every batch needs at "
            "least 2 images, choose a batch that divides evaluation.images"
        )
    for name, dataset in config["datasets"].items():
        train = dataset.get("train")
        for key in ("evaluation", "metrics"):
            if train is not None and config[key]["images"] > train:
                raise LossmapError(
                    f"configuration: {key}.images is {config[key]['images']}, but datasets.{name} "
                    f"has {train} training images"
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
            _check_same_basis(config, panel, where)
            for moment in panel.get("moments", []):
                moment_epoch(config, panel["run"], moment, f"{where}.moments")
        if name in config["tables"]:
            raise LossmapError(f"configuration: '{name}' is a figure and a table; rename one")


def _check_same_basis(config: dict, panel: dict, where: str) -> None:
    if "projection" not in panel or "grid" not in panel:
        return
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


CLAIM_SOURCES = {"grids": "grids", "tables": "tables", "bases": "bases", "fn_bases": "bases"}


def _check_claims(config: dict) -> None:
    for name, claim in config["claims"].items():
        for key, registry in CLAIM_SOURCES.items():
            for entry in claim.get(key, []):
                _require(config, registry, entry, f"claims.{name}.{key}")


_CHECKS = (
    _check_runs,
    _check_bases,
    _check_landscapes,
    _check_evaluation,
    _check_figures,
    _check_tables,
    _check_claims,
)
