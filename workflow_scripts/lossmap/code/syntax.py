"""Modules as their statements: what each defines, uses, imports, and whether it acts on import.

Reads source text and executes nothing. Knows neither where modules lie nor what counts.
"""

import ast
import builtins
import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import cache, cached_property
from pathlib import Path

from lossmap.errors import LossmapError

Chain = tuple[str, ...]
"""A dotted name: `store.KIND.name` is ("store", "KIND", "name")."""

DEPENDS = "depends_on"
"""Name of a module's list of the files that its code reads."""
IMPORTS = (ast.Import, ast.ImportFrom)
SETTINGS = "SETTINGS"
"""Name of what a configuration may say for a kind; its values reach a job by its specification."""
_FOR_PEOPLE = {"absent", "description", "expected"}
"""Keys of `SETTINGS` that are text for people, as docstrings are."""
_IMPLIED = {"ctx", "kind"}
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_IMPORTERS = {"__import__", "builtins.__import__", "importlib.import_module", "runpy.run_module"}
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


class Unit:
    """One top-level statement of a module: what it defines, uses and imports."""

    def __init__(self, statement: ast.stmt, package: str) -> None:
        self.statement, self.package = statement, package
        self.place = (statement.lineno, statement.col_offset)
        self.movable = False
        self.names = set(_bound_names(statement))
        self.uses: set[Chain] = set()
        self.imports: dict[str, list[Chain]] = defaultdict(list)  # name -> (module[, attribute])
        self.loads: list[str] = []
        self.stars: list[str] = []
        self.globals: set[str] = set()
        self.calls: list[tuple[Chain, ast.Call]] = []
        todo: list[ast.AST] = [statement]
        while todo:
            node = todo.pop()
            if chain := _chain(node):
                self.uses.add(chain)
            else:
                self._add(node)
                todo += _children(node)

    def _add(self, node: ast.AST) -> None:
        if isinstance(node, ast.Call) and (chain := _chain(node.func)):
            self.calls.append((chain, node))
        elif isinstance(node, ast.Global):
            self.globals.update(node.names)
        elif isinstance(node, ast.Import):
            self._add_import(node)
        elif isinstance(node, ast.ImportFrom):
            self._add_import_from(node)

    def _add_import(self, node: ast.Import) -> None:
        for alias in node.names:
            top = alias.name.partition(".")[0]
            self.loads.append(alias.name)
            self.imports[alias.asname or top].append((alias.name if alias.asname else top,))

    def _add_import_from(self, node: ast.ImportFrom) -> None:
        module = _absolute(node.module or "", node.level, self.package)
        for alias in node.names:
            if alias.name == "*":
                self.stars.append(module)
            else:
                self.loads.append(f"{module}.{alias.name}")  # may be a module itself
                self.imports[alias.asname or alias.name].append((module, alias.name))

    @property
    def label(self) -> str:
        """Return what the statement defines, else its line."""
        return ", ".join(sorted(self.names)) or f"line {self.statement.lineno}"

    @cached_property
    def dump(self) -> str:
        """Return its syntax tree as text."""
        return dump(self.statement)


class Module:
    """A local module: its definitions, its imports and the statements that act on import.

    Parameters
    ----------
    name : dotted
    path : its file; None for a package without one
    folder : where its submodules lie; None unless it is a package
    source : the bytes of its file
    """

    def __init__(self, name: str, path: Path | None, folder: Path | None, source: bytes) -> None:
        self.name, self.path, self.folder, self.source = name, path, folder, source
        package = name if folder else name.rpartition(".")[0]
        self.units = [Unit(statement, package) for statement in _statements(source, path)]
        self.definitions: dict[str, list[Unit]] = defaultdict(list)
        self.imports: dict[str, list[Chain]] = defaultdict(list)  # all bound names, often to none
        for unit in self.units:
            for bound in unit.names | unit.globals:
                self.imports[bound] += unit.imports.get(bound, [])
                if not isinstance(unit.statement, IMPORTS):
                    self.definitions[bound].append(unit)
        self._by_name: dict[Unit, list[str]] = {}
        self.leading = [unit for unit in self.units if isinstance(unit.statement, IMPORTS)]
        self.own = [unit for unit in self.units if not isinstance(unit.statement, IMPORTS)]
        self.effects = list(self._find_effects())
        for unit in self.units:
            unit.movable = self._is_movable(unit.statement)

    def imported_by_name(self, unit: Unit) -> list[str]:
        """Return the modules that a statement imports by a call, their names literal."""
        if unit not in self._by_name:
            self._by_name[unit] = list(self._find_by_name(unit))
        return self._by_name[unit]

    def _find_by_name(self, unit: Unit) -> Iterator[str]:
        for chain, call in unit.calls:
            targets = unit.imports.get(chain[0]) or self.imports.get(chain[0]) or [chain[:1]]
            named = {keyword.arg: keyword.value for keyword in call.keywords}
            name, package = (
                _text(call.args[place] if len(call.args) > place else named.get(key))
                for place, key in ((0, "name"), (1, "package"))
            )
            if name and _IMPORTERS & {".".join(target + chain[1:]) for target in targets}:
                plain = name.lstrip(".")
                yield _absolute(plain, len(name) - len(plain), package or unit.package)

    def depends_on(self) -> list[str]:
        """Return the names in every list `depends_on` of the module, its functions and classes.

        Raises
        ------
        LossmapError
            One is no literal list of names.
        """
        found: list[str] = []
        for node in (node for unit in self.own for node in _outside_functions(unit.statement)):
            targets = getattr(node, "targets", None) or [getattr(node, "target", None)]
            bound = {getattr(target, "id", getattr(target, "attr", None)) for target in targets}
            if DEPENDS not in bound or getattr(node, "value", None) is None:
                continue
            names = [_text(item) for item in getattr(node.value, "elts", [None])]
            if not all(names):
                raise LossmapError(
                    f"{self.path}:{node.lineno}: expected {DEPENDS} to be a list of file names as "
                    f"they are, got {ast.unparse(node.value)}; write e.g. ['weights.json']"
                )
            found += names
        return found

    def _find_effects(self) -> Iterator[Unit]:
        used = {chain[0] for unit in self.units for chain in unit.uses}
        acted = False
        for unit in self.units:
            if not isinstance(unit.statement, IMPORTS):
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


@cache
def parse_module(name: str, path: Path, folder: Path | None, source: bytes) -> Module:
    """Return a module by its text, parsed once: an edit within the clock's tick is seen too.

    Raises
    ------
    LossmapError
        The text is no valid Python.
    """
    return Module(name, path, folder, source)


def dump(node: object) -> str:
    """Return a syntax tree as text, the same under every version of Python.

    `ast.dump` is not: fields came with 3.12, empty ones went with 3.13, and with 3.12 the parts of
    an f-string; `repr` of a string follows the tables of Unicode. So what is empty is left out,
    the parts are joined, and text is ASCII.
    """
    if isinstance(node, list):
        return f"[{','.join(map(dump, node))}]"
    if not isinstance(node, ast.AST):
        return hex(node) if type(node) is int else ascii(node)
    parts = []
    for name in node._fields:
        value = getattr(node, name, None)
        if isinstance(node, ast.JoinedStr):
            value = _joined(value)
        no_format = name == "format_spec" and value is not None and not _joined(value.values)
        if value is not None and value != [] and name not in _IMPLIED and not no_format:
            parts.append(f"{name}={dump(value)}")
    return f"{type(node).__name__}({','.join(parts)})"


def _joined(parts: list[ast.expr]) -> list[ast.expr]:
    """Return the parts of an f-string, neighboring texts as one, empty ones left out."""
    found: list[ast.expr] = []
    for part in parts:
        if not isinstance(part, ast.Constant):
            found.append(part)
        elif found and isinstance(found[-1], ast.Constant):
            found[-1] = ast.Constant(found[-1].value + part.value)
        elif part.value:
            found.append(part)
    return found


def _statements(source: bytes, path: Path | None) -> list[ast.stmt]:
    """Return the statements of a source text; docstrings, `pass`, texts of settings left out."""
    try:
        tree = ast.parse(source, filename=str(path))
    except (SyntaxError, ValueError) as error:
        line, found = getattr(error, "lineno", None) or 1, getattr(error, "msg", error)
        raise LossmapError(
            f"{path}:{line}: expected valid Python {sys.version_info.major}."
            f"{sys.version_info.minor}, got {found}; correct the file"
        ) from error
    todo: list[ast.AST] = [tree]
    while todo:
        node = todo.pop()
        for block in ("body", "orelse", "finalbody"):
            if statements := getattr(node, block, None):
                setattr(node, block, [item for item in statements if not _is_idle(item)])
        todo += [child for child in _children(node) if not isinstance(child, ast.expr)]
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and _names_settings(statement):
            _drop_texts(statement)
    return tree.body


def _names_settings(statement: ast.Assign) -> bool:
    return any(getattr(target, "id", None) == SETTINGS for target in statement.targets)


def _drop_texts(statement: ast.Assign) -> None:
    """Take what is for people alone out of the settings of a kind."""
    for node in (node for node in ast.walk(statement) if isinstance(node, ast.Dict)):
        pairs = zip(node.keys, node.values, strict=True)
        kept = [pair for pair in pairs if _text(pair[0]) not in _FOR_PEOPLE or not _text(pair[1])]
        node.keys, node.values = ([pair[side] for pair in kept] for side in (0, 1))


def _is_idle(statement: ast.stmt) -> bool:
    """Tell a docstring, another string that stands alone, and `pass`."""
    value = getattr(statement, "value", None) if isinstance(statement, ast.Expr) else None
    return _text(value) is not None or isinstance(statement, ast.Pass)


def _text(node: ast.AST | None) -> str | None:
    """Return the value of a string literal."""
    value = getattr(node, "value", None) if isinstance(node, ast.Constant) else None
    return value if isinstance(value, str) else None


def _absolute(module: str, level: int, package: str) -> str:
    """Return the full name of a module that is named relative to a package by so many dots."""
    parents = package.split(".")
    parents = parents[: len(parents) + 1 - level] if level else []
    return ".".join([*parents, module] if module else parents)


def _outside_functions(statement: ast.stmt) -> Iterator[ast.AST]:
    """Yield the nodes that run on import: blocks and class bodies, but no body of a function."""
    todo: list[ast.AST] = [statement]
    while todo:
        node = todo.pop(0)
        yield node
        if not isinstance(node, (*_FUNCTIONS, ast.expr)):
            todo += _children(node)


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
            todo += _children(node)


def _children(node: ast.AST) -> list[ast.AST]:
    """Return the nodes below a node, but for those that its place implies."""
    found: list[ast.AST] = []
    for name in node._fields:
        value = getattr(node, name, None)
        if isinstance(value, list):
            found += [item for item in value if isinstance(item, ast.AST)]
        elif isinstance(value, ast.AST) and name not in _IMPLIED:
            found.append(value)
    return found


def _chain(node: ast.AST) -> Chain | None:
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return (node.id, *reversed(names)) if isinstance(node, ast.Name) else None
