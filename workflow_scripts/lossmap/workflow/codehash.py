"""The hash of exactly the code that a rule's entry script can reach, function by function.

Owns the static reading of local modules; executes nothing, and knows neither Snakemake nor what
the code computes. Where it cannot tell, it reaches more rather than less: a needless re-run costs
time, a missed one gives a stale figure.

What counts: the script's whole body; each definition whose name is used by code that counts, also
through aliases, re-exports and imports inside functions; and, of every module that is thereby
imported, the statements that may act when it is imported: calls, decorators and base classes not
known to be inert, blocks (`if`, `try`, `for`, `with`), assignments to attributes or items.
What does not: comments, layout, docstrings, the place of plain functions, the order of imports.

Not seen: names in strings (`importlib.import_module`, quoted annotations), the text of docstrings
where a program reads it, modules started as processes, data files. What is chosen at run time is
passed as an extra root.
"""

import ast
import builtins
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

from lossmap.errors import LossmapError

SCRIPTS = Path(__file__).resolve().parents[2]
MAIN = "__main__"

Chain = tuple[str, ...]
"""A dotted name: `store.KIND.name` is ("store", "KIND", "name")."""

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_IMPORTS = (ast.Import, ast.ImportFrom)
_READ_ANY_NAME = {"eval", "exec", "globals"}
_INSTALLED = {"site-packages", "dist-packages"}
# What a module may call, decorate with or inherit from without acting on anything else: these
# modules, these names, and the builtin types (but `map` and `filter` call their argument).
_INERT_MODULES = {
    "abc",
    "collections",
    "contextlib",
    "dataclasses",
    "enum",
    "re",
    "types",
    "typing",
}
_INERT = {
    "functools.cache",
    "functools.cached_property",
    "functools.lru_cache",
    "functools.total_ordering",
    "len",
    "logging.getLogger",
    "numpy.array",
    "pathlib.Path",
    "torch.inference_mode",
    "torch.nn.Module",
    "torch.no_grad",
    *(name for name, value in vars(builtins).items() if isinstance(value, type)),
} - {"filter", "map", "type"}


def hash_code(
    script: str | Path, extra: Iterable[str] = (), search: Sequence[str | Path] | None = None
) -> str:
    """Hash the code that an entry script can reach.

    Two states of the code have one hash when they differ only in comments, docstrings, layout,
    time stamps, the place of a plain function in its module, or in code out of reach. Renaming a
    local variable is a difference. The hash is made of `ast.dump`, which another minor version of
    Python may print differently: it is comparable within one.

    Parameters
    ----------
    script : path
        Entry script; its whole body counts.
    extra : iterable of str
        Further roots ``module.path:name`` that are only known at run time, such as factories of
        networks. One from an installed package counts by the version of that package.
    search : sequence of path, optional
        Folders of local modules, the first match wins; folders of installed packages are skipped.
        By default `workflow_scripts`, the current folder and the entries of ``PYTHONPATH``.

    Returns
    -------
    str
        SHA-256, 64 hexadecimal digits.

    Raises
    ------
    LossmapError
        The script is missing, a module in reach is no valid Python, an extra root is malformed,
        or its module is neither on `search` nor installed.
    """
    lines = _Reach(script, extra, search).lines()
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def reachable(
    script: str | Path, extra: Iterable[str] = (), search: Sequence[str | Path] | None = None
) -> list[str]:
    """Return what `hash_code` counts, as sorted ``module:definition``.

    The script's own module is ``__main__``; a statement that defines no name has its line instead.

    Raises
    ------
    LossmapError
        As `hash_code`.
    """
    units = _Reach(script, extra, search).units
    return sorted({f"{module}:{unit.label}" for module in units for unit in units[module]})


class _Unit:
    """One top-level statement of a module: what it defines, uses and imports."""

    def __init__(self, statement: ast.stmt, package: str) -> None:
        self.statement = statement
        self.place = (statement.lineno, statement.col_offset)
        self.movable = False
        self.names = set(_bound_names(statement))
        self.reads: set[str] = set()
        self.imports: dict[str, list[Chain]] = defaultdict(list)  # name -> (module[, attribute])
        self.loads: list[str] = []
        self.stars: list[str] = []
        self.globals: set[str] = set()
        for node in ast.walk(statement):
            if isinstance(node, ast.Name):
                self.reads.add(node.id)
            elif isinstance(node, ast.Global):
                self.globals.update(node.names)
            elif isinstance(node, ast.Import):
                self._add_import(node)
            elif isinstance(node, ast.ImportFrom):
                self._add_import_from(node, package)

    def _add_import(self, node: ast.Import) -> None:
        for alias in node.names:
            top = alias.name.partition(".")[0]
            self.loads.append(alias.name)
            self.imports[alias.asname or top].append((alias.name if alias.asname else top,))

    def _add_import_from(self, node: ast.ImportFrom, package: str) -> None:
        parents = package.split(".")
        parents = parents[: len(parents) + 1 - node.level] if node.level else []
        module = ".".join([*parents, node.module] if node.module else parents)
        for alias in node.names:
            if alias.name == "*":
                self.stars.append(module)
            else:
                self.loads.append(f"{module}.{alias.name}")  # may be a module itself
                self.imports[alias.asname or alias.name].append((module, alias.name))

    @property
    def label(self) -> str:
        return ", ".join(sorted(self.names)) or f"line {self.statement.lineno}"

    @cached_property
    def uses(self) -> set[Chain]:
        return set(_chains(self.statement))

    @cached_property
    def dump(self) -> str:
        return ast.dump(self.statement)


class _Module:
    """A local module: its definitions, its imports and the statements that act on import."""

    def __init__(self, name: str, folder: Path | None, statements: Iterable[ast.stmt]) -> None:
        self.name = name
        self.folder = folder
        """Where its submodules lie; None unless it is a package."""
        package = name if folder else name.rpartition(".")[0]
        self.units = [_Unit(statement, package) for statement in statements]
        self.definitions: dict[str, list[_Unit]] = defaultdict(list)
        self.imports: dict[str, list[Chain]] = defaultdict(list)  # all bound names, often to none
        for unit in self.units:
            for bound in unit.names | unit.globals:
                self.imports[bound] += unit.imports.get(bound, [])
                if not isinstance(unit.statement, _IMPORTS):
                    self.definitions[bound].append(unit)
        self.leading = [unit for unit in self.units if isinstance(unit.statement, _IMPORTS)]
        self.own = [unit for unit in self.units if not isinstance(unit.statement, _IMPORTS)]
        self.effects = list(self._find_effects())
        for unit in self.units:
            unit.movable = self._is_movable(unit.statement)

    def _find_effects(self) -> Iterator[_Unit]:
        used = set().union(*(unit.reads for unit in self.units))
        acted = False
        for unit in self.units:
            if not isinstance(unit.statement, _IMPORTS):
                acts = self._acts(unit.statement)
                acted |= acts
            else:  # its place matters after, say, the choice of a device; unused, it is for effect
                acts = acted or not used & unit.imports.keys()
            if acts:
                yield unit

    def _acts(self, statement: ast.stmt) -> bool:
        """Tell whether the statement may do more, when imported, than bind its names."""
        if not isinstance(statement, (*_FUNCTIONS, ast.ClassDef, ast.Assign, ast.AnnAssign)):
            return True
        applied = [*getattr(statement, "decorator_list", ()), *getattr(statement, "bases", ())]
        applied += [keyword.value for keyword in getattr(statement, "keywords", ())]
        if not all(self._is_inert(_unwrap(node)) for node in applied):
            return True
        if isinstance(statement, ast.ClassDef) and any(map(self._acts, statement.body)):
            return True
        nodes = (node for part in _evaluated(statement) for node in ast.walk(part))
        return any(
            (isinstance(node, ast.Call) and not self._is_inert(node.func))
            or (isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store))
            for node in nodes
        )

    def _is_inert(self, node: ast.expr) -> bool:
        if isinstance(node, ast.Constant):
            return True
        chain = _chain(node)
        if chain is None or self.definitions.get(chain[0]):
            return False
        targets = self.imports.get(chain[0]) or [chain[:1]]
        names = [".".join(target + chain[1:]) for target in targets]
        return all(name in _INERT or name.split(".")[0] in _INERT_MODULES for name in names)

    def _is_movable(self, statement: ast.stmt) -> bool:
        """Tell whether the statement's place among the others is without effect."""
        if not isinstance(statement, _FUNCTIONS) or len(self.definitions[statement.name]) > 1:
            return False
        return all(isinstance(part, ast.Constant) for part in _evaluated(statement))


class _Reach:
    """The closure over everything that a script and the extra roots can reach."""

    def __init__(
        self,
        script: str | Path,
        extra: Iterable[str],
        search: Sequence[str | Path] | None,
    ) -> None:
        self.folders = _local_folders(search)
        self.units: dict[str, set[_Unit]] = defaultdict(set)
        self.bindings: set[str] = set()
        self._modules: dict[str, _Module | None] = {}
        self._done: set[tuple[str, Chain | None]] = set()
        self._todo: list[tuple[_Module, _Unit]] = []
        for root in extra:
            self._follow_root(root)
        self._modules[MAIN] = main = _read(Path(script), MAIN, None)
        self._load(MAIN)
        self._add(main, main.own)
        while self._todo:
            self._expand(*self._todo.pop())

    def lines(self) -> Iterator[str]:
        """Yield what is hashed: bindings, then by module the statements, those movable by name."""
        yield from sorted(self.bindings)
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
        installed = None if self._module(top) else _installed(top)
        if isinstance(installed, Path):  # an editable installation: local code after all
            self.folders.append(installed)
            self._modules.clear()
        if not isinstance(installed, str) and self._module(dotted) is None:
            folders = ", ".join(map(str, self.folders))
            raise LossmapError(
                f"code root {root!r}: expected a module '{dotted}' in {folders} or installed, got "
                "none; correct the factory's name or put the module's folder on PYTHONPATH"
            )
        self.bindings.add(repr((root, installed if isinstance(installed, str) else None)))
        self._follow(dotted, tuple(name.split(".")))

    def _follow(self, dotted: str, chain: Chain) -> None:
        """Reach ``dotted.chain``; an empty chain, or one that leads nowhere, is all of a module."""
        module = self._module(dotted)
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
        if (rest or name not in module.imports) and self._module(f"{dotted}.{name}"):
            self._follow(f"{dotted}.{name}", rest)
        elif name not in module.imports:
            self._follow_all(module)

    def _follow_all(self, module: _Module) -> None:
        self._add(module, module.own)
        for name, targets in module.imports.items():
            for target in targets:
                self._bind(module, name, target, ())
        if module.folder:
            for found in pkgutil.iter_modules([str(module.folder)]):
                self._follow(f"{module.name}.{found.name}", ())

    def _bind(self, module: _Module, name: str, target: Chain, rest: Chain) -> None:
        self.bindings.add(repr((module.name, name, target)))
        self._follow(target[0], target[1:] + rest)

    def _load(self, dotted: str) -> None:
        """Import a module and its parent packages: what acts in them counts."""
        parts = dotted.split(".")
        for end in range(1, len(parts) + 1):
            name = ".".join(parts[:end])
            module = self._module(name)
            if module is None:
                return
            if (name, None) not in self._done:
                self._done.add((name, None))
                self._add(module, module.effects)
                self._import(*module.leading)

    def _import(self, *units: _Unit) -> None:
        for unit in units:
            for dotted in unit.loads:
                self._load(dotted)
            for dotted in unit.stars:
                self._follow(dotted, ())

    def _add(self, module: _Module, units: Iterable[_Unit]) -> None:
        new = set(units) - self.units[module.name]
        self.units[module.name] |= new
        self._todo += [(module, unit) for unit in new]

    def _expand(self, module: _Module, unit: _Unit) -> None:
        self._import(unit)
        for chain in unit.uses:
            name = chain[0]
            for target in unit.imports.get(name, ()):
                self._bind(module, name, target, chain[1:])
            if name in module.imports:
                self._follow(module.name, chain)
            elif name in _READ_ANY_NAME:
                self._follow(module.name, ())

    def _module(self, dotted: str) -> _Module | None:
        if dotted not in self._modules:
            self._modules[dotted] = self._find(dotted)
        return self._modules[dotted]

    def _find(self, dotted: str) -> _Module | None:
        top, _, _ = dotted.partition(".")
        parent = dotted.rpartition(".")[0]
        if top in sys.stdlib_module_names:
            return None
        if parent and not ((package := self._module(parent)) and package.folder):
            return None
        places = [folder.joinpath(*dotted.split(".")) for folder in self.folders]
        for place in places:
            if (place / "__init__.py").is_file():
                return _read(place / "__init__.py", dotted, place)
            if place.with_suffix(".py").is_file():
                return _read(place.with_suffix(".py"), dotted, None)
        for place in places:
            if any(place.glob("*.py")) or any(place.glob("*/*.py")):
                return _Module(dotted, place, ())  # a package without __init__.py
        return None


def search_folders() -> list[Path]:
    """Return where local modules are looked for: scripts, current folder, entries of PYTHONPATH."""
    entries = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return [SCRIPTS, Path.cwd(), *(Path(entry) for entry in entries if entry)]


def _local_folders(search: Sequence[str | Path] | None) -> list[Path]:
    folders = [
        Path(folder).resolve() for folder in (search_folders() if search is None else search)
    ]
    return [folder for folder in folders if not _INSTALLED.intersection(folder.parts)]


@cache
def _installed(top: str) -> str | Path | None:
    """Return the versions of an installed package, or its folder where it is only linked to."""
    spec = find_spec(top)
    if spec is None:
        return None
    if top in sys.stdlib_module_names:
        return "Python's own"
    place = Path(next(iter(spec.submodule_search_locations or ()), spec.origin)).resolve()
    if not _INSTALLED.intersection(place.parts):
        return place.parent
    names = sorted(set(packages_distributions().get(top, ())))
    return " ".join(f"{name}=={version(name)}" for name in names)


def _read(path: Path, name: str, folder: Path | None) -> _Module:
    try:
        source = path.read_bytes()
    except OSError as error:
        raise LossmapError(
            f"{path}: expected a Python file, got {error.strerror}; restore it or correct its name"
        ) from error
    return _parse(source, path, name, folder)


@cache
def _parse(source: bytes, path: Path, name: str, folder: Path | None) -> _Module:
    # By content, not by time stamp: an edit within the clock's tick is seen too.
    try:
        tree = ast.parse(source, filename=str(path))
    except (SyntaxError, ValueError) as error:
        line, found = getattr(error, "lineno", None) or 1, getattr(error, "msg", error)
        raise LossmapError(
            f"{path}:{line}: expected valid Python {sys.version_info.major}."
            f"{sys.version_info.minor}, got {found}; correct the file"
        ) from error
    for node in ast.walk(tree):
        for block in ("body", "orelse", "finalbody"):
            statements = getattr(node, block, None)
            if isinstance(statements, list):
                setattr(node, block, [item for item in statements if not _is_idle(item)])
    return _Module(name, folder, tree.body)


def _is_idle(statement: ast.stmt) -> bool:
    """Tell a docstring, another string that stands alone, and `pass`."""
    value = getattr(statement, "value", None) if isinstance(statement, ast.Expr) else None
    text = isinstance(value, ast.Constant) and isinstance(value.value, str)
    return text or isinstance(statement, ast.Pass)


def _evaluated(statement: ast.stmt) -> list[ast.AST]:
    """Return the parts of a statement that run when it does, bodies left out."""
    parts = list(getattr(statement, "decorator_list", ()))
    if isinstance(statement, _FUNCTIONS):
        return parts + statement.args.defaults + list(filter(None, statement.args.kw_defaults))
    if isinstance(statement, ast.ClassDef):
        return parts + statement.bases + [keyword.value for keyword in statement.keywords]
    return [statement]


def _unwrap(node: ast.expr) -> ast.expr:
    """Return `f` of the decorator `f(...)` and of the base class `f[...]`."""
    if isinstance(node, ast.Call):
        return node.func
    return node.value if isinstance(node, ast.Subscript) else node


def _bound_names(statement: ast.stmt) -> Iterator[str]:
    """Yield the names that a statement binds in its own scope, its blocks included."""
    todo: list[ast.AST] = [statement]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.alias):
            yield node.asname or node.name.partition(".")[0]
        elif isinstance(getattr(node, "name", None), str):  # definition, handler, pattern
            yield node.name
        if isinstance(node, ast.MatchMapping) and node.rest:
            yield node.rest
        if not isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
            todo += ast.iter_child_nodes(node)


def _chain(node: ast.AST) -> Chain | None:
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return (node.id, *reversed(names)) if isinstance(node, ast.Name) else None


def _chains(root: ast.AST) -> Iterator[Chain]:
    """Yield every name in the tree with the attributes that follow it."""
    todo = [root]
    while todo:
        node = todo.pop()
        chain = _chain(node)
        if chain is None:
            todo += ast.iter_child_nodes(node)
        else:
            yield chain
