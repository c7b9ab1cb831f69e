"""Repeats of runs, null models and trees from other seeds, so that claims have a spread.

Where a claim names what was trained or drawn from one of them, it means all its repeats, and what
they need is added to the configuration under ``<name>-1``, ``<name>-2``, …
"""

from lossmap.errors import LossmapError

_BELOW = {"curvature": "curvatures", "run": "runs", "basis": "bases"}
"""Registry of what an entry is of, by the key that names it; runs and clouds have no such key."""


def take_repeats(config: dict) -> dict[tuple[str, str], int]:
    """Take the key ``repeats`` out of all entries, and return it by registry and name."""
    return {
        (registry, name): entry.pop("repeats", 1)
        for registry in ("runs", "clouds")
        for name, entry in config[registry].items()
    }


def repeat(config: dict, registry: str, name: str, repeats: dict[tuple[str, str], int]) -> list:
    """Return the names of an entry and of its repeats, which are added to the configuration.

    Raises
    ------
    LossmapError
        A repeat is called as another entry is.
    """
    count = repeats.get(_origin(config, registry, name), 1)
    return [name, *(_add(config, registry, name, number) for number in range(1, count))]


def _origin(config: dict, registry: str, name: str) -> tuple[str, str]:
    """Return registry and name of the run, or of the cloud, that an entry is of."""
    while key := _key_below(config[registry].get(name, {})):
        registry, name = _BELOW[key], config[registry][name][key]
    return registry, name


def _key_below(entry: dict) -> str | None:
    return next((key for key in _BELOW if key in entry), None)


def _add(config: dict, registry: str, name: str, number: int) -> str:
    entry, copy = config[registry][name], f"{name}-{number}"
    if key := _key_below(entry):
        made = entry | {key: _add(config, _BELOW[key], entry[key], number)}
    elif "tree" in entry:
        made = entry | {"tree": entry["tree"] | {"seed": entry["tree"]["seed"] + number}}
    else:
        recipe = config["recipes"].get(entry.get("recipe"), {})
        made = entry | {"seed": entry.get("seed", recipe.get("seed", 0)) + number}
    if config[registry].setdefault(copy, made) != made:
        raise LossmapError(
            f"configuration: {registry}.{name}: a repeat is called '{copy}', as another entry is; "
            "rename that one"
        )
    return copy
