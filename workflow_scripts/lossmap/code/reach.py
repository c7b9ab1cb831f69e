"""The hash of exactly the code that a rule's entry script can reach, function by function.

Executes nothing, and knows neither Snakemake nor what the code computes. Where it cannot tell, it
reaches more rather than less: a needless re-run costs time, a missed one gives a stale figure.

What counts: the script's whole body; each definition whose name is used by code that counts, also
through aliases, re-exports and imports inside functions; of every module that is thereby imported,
the statements that may act when it is imported: calls, decorators and base classes not known to be
inert, blocks (`if`, `try`, `for`, `with`), assignments to attributes or items; and the content of
the files in its list `depends_on`.
What does not: comments, layout, docstrings, texts in `SETTINGS`, the place of plain functions, the
order of imports.

Not seen: names made at run time (what is chosen then is passed as an extra root), quoted
annotations, the text of docstrings where a program reads it, modules started as processes or
executed by their path, files that no `depends_on` lists.
"""

import hashlib
import os
import pkgutil
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, cached_property
from importlib.metadata import packages_distributions, version
from importlib.util import find_spec
from pathlib import Path

from lossmap.code.syntax import DEPENDS, Chain, Module, Unit, parse_module
from lossmap.errors import LossmapError

SCRIPTS = Path(__file__).resolve().parents[2]
MAIN = "__main__"

_READ_ANY_NAME = {"eval", "exec", "globals"}
_INSTALLED = {"site-packages", "dist-packages"}


def hash_code(
    script: str | Path, extra: Iterable[str] = (), search: Sequence[str | Path] | None = None
) -> str:
    """Hash the code that an entry script can reach.

    Two states of the code have one hash when they differ only in comments, docstrings, layout,
    time stamps, the place of a plain function in its module, or in code out of reach. Renaming a
    local variable is a difference. Every version of Python gives the same.

    Parameters
    ----------
    script, extra, search
        As of `Reach`.

    Returns
    -------
    str
        SHA-256, 64 hexadecimal digits.

    Raises
    ------
    LossmapError
        As `Reach`.
    """
    return Reach(script, extra, search).hash


class Reach:
    """All that a script and the extra roots can reach.

    Parameters
    ----------
    script : path
        Entry script; its whole body counts. None for the roots alone.
    extra : iterable of str
        Further roots ``module.path:name`` that are only known at run time, such as factories of
        networks. One from an installed package counts by the version of that package. ``module:*``
        is all of a module.
    search : sequence of path or LocalModules, optional
        Folders of local modules, or what has been found in them before. By default
        `workflow_scripts`, the current folder and the entries of ``PYTHONPATH``.
    source : bytes, optional
        The script's text, where it is not what lies at its path.

    Attributes
    ----------
    folders : where local modules are looked for
    units : the statements that count, by module
    modules : every module that is imported, by name
    data : what `state_of` said of every file that a module depends on before it was read, by path

    Raises
    ------
    LossmapError
        The script is missing, a module in reach is no valid Python, an extra root is malformed,
        its module is neither on `search` nor installed, or a file that a module depends on is
        missing.
    """

    def __init__(
        self,
        script: str | Path | None,
        extra: Iterable[str] = (),
        search: "Sequence[str | Path] | LocalModules | None" = None,
        source: bytes | None = None,
    ) -> None:
        self._local = search if isinstance(search, LocalModules) else LocalModules(search)
        self.folders = self._local.folders
        self.units: dict[str, set[Unit]] = defaultdict(set)
        self.modules: dict[str, Module] = {}
        self.data: dict[Path, tuple[int, ...]] = {}
        self._bindings: set[str] = set()
        self._main: Module | None = None
        self._done: set[tuple[str, Chain]] = set()
        self._loaded: set[str] = set()
        self._todo: list[tuple[Module, Unit]] = []
        for root in extra:
            self._follow_root(root)
        if script is not None:
            self._main = _read(Path(script), MAIN, None, source)
            self._load(MAIN)
            self._add(self._main, self._main.own)
        while self._todo:
            self._expand(*self._todo.pop())

    @cached_property
    def hash(self) -> str:
        """Return the SHA-256 of what counts: see `hash_code`."""
        return hashlib.sha256("\n".join(self._lines()).encode()).hexdigest()

    def definitions(self) -> dict[str, str]:
        """Return what counts, by ``module:definition``, as text to compare.

        The script's own module is ``__main__``; a statement that defines no name has its line
        instead.
        """
        found = defaultdict(list)
        for module, units in self.units.items():
            for unit in sorted(units, key=lambda unit: unit.place):
                found[f"{module}:{unit.label}"].append(unit.dump)
        return {name: "\n".join(found[name]) for name in sorted(found)}

    def files(self) -> list[Path]:
        """Return the file of every module that is imported, and those that one depends on."""
        return [*filter(None, (module.path for module in self.modules.values())), *self.data]

    def _lines(self) -> Iterator[str]:
        """Yield what is hashed: bindings, then by module the statements, those movable by name."""
        yield from sorted(self._bindings)
        for module in sorted(self.units):
            units = sorted(self.units[module], key=lambda unit: unit.place)
            yield from (f"{module} {unit.dump}" for unit in units if not unit.movable)
            yield from sorted(f"{module} {unit.dump}" for unit in units if unit.movable)

    def _follow_root(self, root: str) -> None:
        dotted, _, name = root.partition(":")
        if not dotted or not name:
            raise LossmapError(
                f"code root {root!r}: expected 'module.path:name', got no such form; "
                "write e.g. 'lossmap.network.models.resnet:resnet20'"
            )
        top = dotted.partition(".")[0]
        installed = None if self._find(top) else _installed(top)
        if installed is None and self._find(dotted) is None:
            folders = ", ".join(map(str, self.folders))
            raise LossmapError(
                f"code root {root!r}: expected a module '{dotted}' in {folders} or installed, got "
                "none; correct the factory's name or put the module's folder on PYTHONPATH"
            )
        self._bindings.add(repr((root, installed)))
        self._follow(dotted, tuple(name.split(".")))

    def _follow(self, dotted: str, chain: Chain) -> None:
        """Reach ``dotted.chain``; an empty chain, or one that leads nowhere, is all of a module."""
        module = self._find(dotted)
        if module is None or (dotted, chain) in self._done:
            return
        self._done.add((dotted, chain))
        self._load(dotted)
        if not chain:
            self._follow_all(module)
            return
        name, rest = chain[0], chain[1:]
        self._add(module, module.definitions.get(name, ()))
        for target in module.imports.get(name, ()):
            self._bind(module, name, target, rest)
        if (rest or name not in module.imports) and self._find(f"{dotted}.{name}"):
            self._follow(f"{dotted}.{name}", rest)
        elif name not in module.imports:
            self._follow_all(module)

    def _follow_all(self, module: Module) -> None:
        self._add(module, module.own)
        for name, targets in module.imports.items():
            for target in targets:
                self._bind(module, name, target, ())
        if module.folder:
            for found in pkgutil.iter_modules([str(module.folder)]):
                self._follow(f"{module.name}.{found.name}", ())

    def _bind(self, module: Module, name: str, target: Chain, rest: Chain) -> None:
        self._bindings.add(repr((module.name, name, target)))
        self._follow(target[0], target[1:] + rest)

    def _load(self, dotted: str) -> None:
        """Import a module and its parent packages: what acts in them counts."""
        if dotted in self._loaded:
            return
        self._loaded.add(dotted)
        parts = dotted.split(".")
        for end in range(1, len(parts) + 1):
            name = ".".join(parts[:end])
            module = self._find(name)
            if module is None:
                return
            if name not in self.modules:
                self.modules[name] = module
                self._add(module, module.effects)
                self._import(*module.leading)
                self._depend(module)

    def _depend(self, module: Module) -> None:
        """Count the content of the files that a module depends on, of a folder each."""
        for name in module.depends_on():
            place = Path(os.path.normpath(module.path.parent / name))
            files = sorted(place.rglob("*")) if place.is_dir() else [place]
            for file in files:
                if file.is_file() and "__pycache__" not in file.parts:
                    self.data[file] = state = state_of(file)
                    inside, digest = file.relative_to(place).as_posix(), _hash_file(file, state)
                    self._bindings.add(repr((module.name, DEPENDS, name, inside, digest)))
            if not place.exists():
                raise LossmapError(
                    f"{module.path}: {DEPENDS} lists {name!r}, but there is no {place}; "
                    "put it there or correct the list"
                )

    def _import(self, *units: Unit) -> None:
        for unit in units:
            for dotted in unit.loads:
                self._load(dotted)
            for dotted in unit.stars:
                self._follow(dotted, ())

    def _add(self, module: Module, units: Iterable[Unit]) -> None:
        new = set(units) - self.units[module.name]
        self.units[module.name] |= new
        self._todo += [(module, unit) for unit in new]

    def _expand(self, module: Module, unit: Unit) -> None:
        self._import(unit)
        for dotted in module.imported_by_name(unit):
            self._follow(dotted, ())
        for chain in unit.uses:
            name = chain[0]
            for target in unit.imports.get(name, ()):
                self._bind(module, name, target, chain[1:])
            if name in module.imports:
                self._follow(module.name, chain)
            elif name in _READ_ANY_NAME:
                self._follow(module.name, ())

    def _find(self, dotted: str) -> Module | None:
        return self._main if dotted == MAIN else self._local.find(dotted)


class LocalModules:
    """The modules that are no installed ones, each looked for and read once.

    Parameters
    ----------
    search : sequence of path, optional
        Where they are looked for, the first match wins; folders of installed packages are skipped.
        By default `workflow_scripts`, the current folder and the entries of ``PYTHONPATH``.

    Attributes
    ----------
    folders : those, and of packages that are installed by a link
    """

    def __init__(self, search: Sequence[str | Path] | None = None) -> None:
        self.folders = _local_folders(search)
        self._known: dict[str, Module | None] = {}

    def find(self, dotted: str) -> Module | None:
        """Return a module; None if there is none, or it is installed.

        Raises
        ------
        LossmapError
            It is no valid Python.
        """
        if dotted not in self._known:
            self._known[dotted] = self._look_for(dotted)
        return self._known[dotted]

    def _look_for(self, dotted: str) -> Module | None:
        top, _, _ = dotted.partition(".")
        parent = dotted.rpartition(".")[0]
        if top in sys.stdlib_module_names:
            return None
        if parent and not ((package := self.find(parent)) and package.folder):
            return None
        places = [folder.joinpath(*dotted.split(".")) for folder in self.folders]
        for place in places:
            if (place / "__init__.py").is_file():
                return _read(place / "__init__.py", dotted, place)
            if place.with_suffix(".py").is_file():
                return _read(place.with_suffix(".py"), dotted, None)
        return self._look_further(dotted, places, None if parent else _place(top))

    def _look_further(
        self, dotted: str, places: Iterable[Path], installed: Path | None
    ) -> Module | None:
        """Look for a package without ``__init__.py`` and for one that is installed by a link."""
        if installed and is_installed(installed):
            return None
        for place in places:
            if any(place.glob("*.py")) or any(place.glob("*/*.py")):
                return Module(dotted, None, place, b"")
        if installed and installed.parent not in self.folders:
            self.folders.append(installed.parent)  # local code after all
            return self._look_for(dotted)
        return None


def search_folders() -> list[Path]:
    """Return where local modules are looked for: scripts, current folder, entries of PYTHONPATH."""
    entries = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return [SCRIPTS, Path.cwd(), *(Path(entry) for entry in entries if entry)]


def is_installed(path: Path) -> bool:
    """Tell whether a file or folder belongs to installed packages, by its place."""
    return bool(_INSTALLED.intersection(path.parts)) or any(path.parent.glob("*.dist-info"))


def _local_folders(search: Sequence[str | Path] | None) -> list[Path]:
    given = search_folders() if search is None else search
    folders = dict.fromkeys(Path(folder).resolve() for folder in given)
    return [folder for folder in folders if not is_installed(folder / "any")]


@cache
def _place(top: str) -> Path | None:
    """Return where a package lies that can be imported, None if none can or it is Python's own."""
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):  # one that is half imported
        return None
    found = next(iter(spec.submodule_search_locations or ()), spec.origin) if spec else None
    return Path(found).resolve() if found and Path(found).exists() else None


@cache
def _installed(top: str) -> str | None:
    """Return the versions of an installed package."""
    if top in sys.stdlib_module_names:
        return "Python's own"
    if _place(top) is None:
        return None
    names = sorted(set(packages_distributions().get(top, ())))
    return " ".join(f"{name}=={version(name)}" for name in names)


@cache
def _hash_file(file: Path, state: tuple[int, ...]) -> str:
    """Return the SHA-256 of a file, read again only in another state."""
    try:
        with open(file, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise LossmapError(
            f"{file}: in a list {DEPENDS}, but cannot be read ({error.strerror}); make it readable"
        ) from error


def state_of(file: Path) -> tuple[int, ...]:
    """Return what changes with every change of a file: inode, size, times."""
    found = file.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _read(path: Path, name: str, folder: Path | None, source: bytes | None = None) -> Module:
    try:
        source = path.read_bytes() if source is None else source
    except OSError as error:
        raise LossmapError(
            f"{path}: expected a Python file, got {error.strerror}; restore it or correct its name"
        ) from error
    return parse_module(name, path, folder, source)
