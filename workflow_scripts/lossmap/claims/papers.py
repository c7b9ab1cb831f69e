"""Every claim that can be measured, by its name in the configuration: ours and the user's."""

import importlib
from collections.abc import Mapping
from pathlib import Path

from lossmap.artifacts.claims import Claim
from lossmap.claims import ding2023, horoi2021, ours
from lossmap.claims.declare import STATEMENTS, Statement
from lossmap.errors import LossmapError, kind_and_reason

SHIPPED = {
    found.id: found
    for paper in (ding2023, horoi2021, ours)
    for found in vars(paper).values()
    if isinstance(found, Statement)
}
"""The claims that are named by their id alone."""


def find_statement(name: str) -> Statement:
    """Return the declaration of a claim.

    Parameters
    ----------
    name : its id where it is shipped, ``module.path:function`` where it is the user's own

    Raises
    ------
    LossmapError
        The name is neither, its module cannot be imported, or the function lacks the decorator.
    """
    if name in SHIPPED:
        return SHIPPED[name]
    module, _, function = name.partition(":")
    if not (module and function):
        raise LossmapError(f"expected a shipped claim or 'module:function', got '{name}'")
    try:
        found = getattr(importlib.import_module(module), function, None)
    except Exception as error:  # a user's module may fail in any way
        raise LossmapError(
            f"expected an importable module '{module}', got {kind_and_reason(error)}; correct the "
            "name or put the module's folder on PYTHONPATH"
        ) from error
    if not isinstance(found, Statement):
        got = "nothing" if found is None else f"a {type(found).__name__}"
        raise LossmapError(
            f"expected '{function}' in '{module}' to be a function under the decorator "
            f"lossmap.claims.declare.claim, got {got}; decorate it"
        )
    return found


def measure_claims(spec: dict, sources: Mapping[str, Path]) -> list[Claim]:
    """Return one row for each claim that the configuration lists, in the order of declaration.

    Parameters
    ----------
    spec : ``judge`` (whether this scale allows verdicts) and ``claims``
    sources : path of each artifact by ``stage/name``
    """
    entries = {find_statement(name).id: spec["claims"][name] for name in sorted(spec["claims"])}
    return [
        statement.measure(entries[id], sources, spec["judge"])
        for id, statement in STATEMENTS.items()
        if id in entries
    ]
