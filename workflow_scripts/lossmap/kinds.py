"""Kinds that are one file each: found by its name, like a kind of panel or a technique.

The modules of a package are its kinds. What a configuration may say for one, its literal
`SETTINGS` says: the closed JSON Schema object of its keys, read without importing the module.
"""

import ast
from collections.abc import Collection
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType

from lossmap.errors import LossmapError

PACKAGE = Path(__file__).parent


def find_kind(package: ModuleType, key: str, name: object) -> ModuleType:
    """Return the module of a package that is the kind of a name.

    Parameters
    ----------
    package : whose modules are the kinds
    key : under which the name is given, for the message
    name : what it is called

    Raises
    ------
    LossmapError
        There is no module of this name.
    """
    check_choice(key, name, [module.name for module in iter_modules(package.__path__)])
    return import_module(f"{package.__name__}.{name}")


def check_choice(key: str, got: object, allowed: Collection[str]) -> None:
    """Raise LossmapError unless what is given under a key is one of the allowed words."""
    if got not in allowed:
        raise LossmapError(f"{key} is '{got}', expected one of {', '.join(allowed)}")


def read_settings(folder: str) -> dict[str, dict]:
    """Return the `SETTINGS` of every kind in a folder of the package, by name, none imported.

    Raises
    ------
    LossmapError
        A module has none, or not as a literal.
    """
    names = sorted(module.name for module in iter_modules([str(PACKAGE / folder)]))
    return {name: _read_literal(PACKAGE / folder / f"{name}.py") for name in names}


def _read_literal(path: Path) -> dict:
    try:
        for node in ast.parse(path.read_bytes()).body:
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "SETTINGS":
                return dict(ast.literal_eval(node.value))
    except (SyntaxError, TypeError, ValueError) as error:
        raise LossmapError(f"{path}: SETTINGS is no literal ({error}); correct it") from error
    raise LossmapError(
        f"{path}: expected SETTINGS = {{…}}, what a configuration may say for this kind; add it"
    )
