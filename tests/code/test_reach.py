"""A hash that changes with exactly the code in reach, and the run-time imports as its oracle."""

import ast
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from lossmap.code.reach import MAIN, SCRIPTS, Reach, hash_code
from lossmap.errors import LossmapError

PROJECT = {
    "script.py": """
        from package.first import compute
        import package.tools as tools
        from package import branch
        import flat

        compute(2)
        tools.shape.area(1)
        branch()
        flat.start()
    """,
    "package/__init__.py": "from .inner.leaf import branch\nSETTING = print('loaded')\n",
    "package/first.py": '''
        """Owns the computation."""
        from __future__ import annotations
        from dataclasses import dataclass
        from typing import TYPE_CHECKING
        from package.second import helper as assist, table
        from package.stars import *
        from package import patches
        if TYPE_CHECKING:
            from package.hints import Hint

        FACTOR, UNUSED = 2, 3
        COUNT = 1
        COUNT = COUNT + 1
        def unrelated(x):
            return far_away(x)
        def far_away(x):
            return x - 1
        def compute(x: Hint, n=FACTOR):
            """Compute."""
            from package.lazy import late
            import package.lazier as lazier
            total = assist(x)  # a comment
            total += lazier.later(n) + starred(x) + table["x"](x)
            return late(total) + Point(1).norm() + COUNT
        @dataclass(frozen=True)
        class Point:
            x: int
            y: int = 0
            def norm(self):
                return scale(self.x)
        @dataclass(frozen=True)
        class Unreached:
            x: int = 11
        def scale(x):
            return x * 3
    ''',
    "package/second.py": """
        from package.third import deep
        from package.registry import table
        import package.entries
        def helper(x):
            return deep(x)
        def other(x):
            return x + 12
    """,
    "package/third.py": """
        import math
        from math import floor as down, ceil as up
        def deep(x):
            def nested(y):
                return math.sqrt(y) + down(y)
            return nested(x)
        def shallow(x):
            return up(x) + 13
    """,
    "package/registry.py": """
        table = {}
        def register(name):
            return lambda function: table.setdefault(name, function)
    """,
    "package/entries.py": """
        from package.registry import register
        class Base:
            kinds = []
            def __init_subclass__(cls):
                Base.kinds.append(cls)
        class Derived(Base):
            size = 14
        @register("x")
        def entry(x):
            return weight(x)
        def weight(x):
            return x + 15
    """,
    "package/patches.py": "from package import third\nthird.down = abs\n",
    "package/stars.py": "def starred(x):\n    return x + 16\n",
    "package/hints.py": "class Hint:\n    size: int = 17\n",
    "package/lazy.py": "def late(x):\n    return x + 18\n\n\ndef never(x):\n    return x + 19\n",
    "package/lazier.py": """
        STATE = None
        def later(x):
            try:
                return STATE + x
            except TypeError:
                return 20
        def set_state():
            global STATE
            STATE = 21
    """,
    "package/tools/__init__.py": "from . import shape\n",
    "package/tools/shape.py": """
        from .. import third
        from ..inner import leaf
        def area(x):
            return third.deep(x) + leaf.SIZE
    """,
    "package/inner/__init__.py": "import os\nif os.name == 'none':\n    mode = 22\n",
    "package/inner/leaf.py": """
        SIZE = 23
        def branch():
            return 24
        def leaf_only():
            return 25
    """,
    "package/factories.py": """
        def make_network(**sizes):
            return build(26)
        def build(x):
            return x
        def make_other():
            return 27
    """,
    "package/broken.py": "def broken(:\n",
    "flat.py": """
        '''Looked up beside the package.'''
        if True:
            def start():
                return begin()
        def begin():
            return 28
        def begin():
            return 29
        def chosen_by_name():
            return 30
    """,
}
FACTORY = "package.factories:make_network"


@pytest.fixture
def project(tmp_path):
    """Write the small project; return its folder."""
    for name, source in PROJECT.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(source))
    return tmp_path


def reachable(*words) -> list[str]:
    return list(Reach(*words).definitions())


def hash_of(folder: Path, *extra: str) -> str:
    return hash_code(folder / "script.py", extra, [folder])


def edit(folder: Path, name: str, old: str, new: str) -> None:
    text = (folder / name).read_text()
    assert text.count(old) == 1, f"{old!r} is {text.count(old)} times in {name}"
    (folder / name).write_text(text.replace(old, new))


def test_project_runs_as_written(project):
    (project / "package/broken.py").unlink()
    subprocess.run([sys.executable, "-W", "error", "script.py"], cwd=project, check=True)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        pytest.param("script.py", "compute(2)", "compute(3)", id="script body"),
        pytest.param("package/third.py", "sqrt(y)", "cbrt(y)", id="helper two imports away"),
        pytest.param(
            "package/third.py", "def nested(y)", "def nested(y, z=0)", id="nested function"
        ),
        pytest.param("package/third.py", "floor as down", "trunc as down", id="third-party target"),
        pytest.param(
            "package/third.py", "floor as down, ceil as up", "ceil as down, floor as up", id="swap"
        ),
        pytest.param("package/first.py", "FACTOR, UNUSED = 2", "FACTOR, UNUSED = 4", id="constant"),
        pytest.param("package/first.py", "n=FACTOR", "n=UNUSED", id="default argument"),
        pytest.param("package/first.py", "COUNT + 1", "COUNT + 2", id="second definition"),
        pytest.param(
            "package/first.py",
            "COUNT = 1\nCOUNT = COUNT + 1",
            "COUNT = COUNT + 1\nCOUNT = 1",
            id="order of statements",
        ),
        pytest.param("package/first.py", "total = assist(x)", "t = total = assist(x)", id="local"),
        pytest.param("package/first.py", "y: int = 0", "y: int = 1", id="dataclass field"),
        pytest.param("package/first.py", "x * 3", "x * 4", id="used by a method"),
        pytest.param("package/first.py", "helper as assist", "other as assist", id="alias"),
        pytest.param("package/second.py", "return deep(x)", "return deep(x + 0)", id="from alias"),
        pytest.param("package/registry.py", "setdefault", "get", id="decorator's own code"),
        pytest.param(
            "package/entries.py", "return weight(x)", "return 0", id="registered function"
        ),
        pytest.param("package/entries.py", "x + 15", "x + 0", id="used by a registered function"),
        pytest.param("package/entries.py", "size = 14", "size = 0", id="registered subclass"),
        pytest.param("package/patches.py", "third.down = abs", "third.down = int", id="patch"),
        pytest.param("package/stars.py", "16", "0", id="star import"),
        pytest.param("package/hints.py", "17", "0", id="import for typing"),
        pytest.param("package/lazy.py", "18", "0", id="lazy import"),
        pytest.param("package/lazier.py", "20", "0", id="lazy module import"),
        pytest.param("package/lazier.py", "21", "0", id="writer of a global"),
        pytest.param("package/inner/leaf.py", "23", "0", id="relative import of a module"),
        pytest.param("package/inner/leaf.py", "24", "0", id="re-export"),
        pytest.param("package/__init__.py", "loaded", "", id="package's side effect"),
        pytest.param("package/inner/__init__.py", "22", "0", id="inner package's side effect"),
        pytest.param("flat.py", "28", "0", id="first of two definitions"),
        pytest.param("flat.py", "return begin()", "return 0", id="conditional definition"),
        pytest.param("flat.py", "if True", "if 1 < 2", id="condition"),
    ],
)
def test_edit_in_reach_changes_the_hash(project, name, old, new):
    before = hash_of(project)
    edit(project, name, old, new)
    assert hash_of(project) != before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        pytest.param("package/first.py", "x - 1", "x - 2", id="unrelated function"),
        pytest.param("package/first.py", "far_away(x)\n", "0\n", id="caller out of reach"),
        pytest.param("package/first.py", "x: int = 11", "x: int = 0", id="unrelated dataclass"),
        pytest.param("package/second.py", "x + 12", "x", id="unrelated one import away"),
        pytest.param("package/third.py", "+ 13", "", id="unrelated two imports away"),
        pytest.param("package/third.py", "ceil as up", "trunc as up", id="unused import target"),
        pytest.param("package/third.py", "import math\n", "import json, math\n", id="new import"),
        pytest.param("package/lazy.py", "19", "0", id="beside a lazy import"),
        pytest.param("package/inner/leaf.py", "25", "0", id="beside a re-export"),
        pytest.param("package/factories.py", "26", "0", id="module without a root"),
        pytest.param("flat.py", "30", "0", id="beside a conditional definition"),
        pytest.param("package/first.py", "a comment", "another", id="comment"),
        pytest.param("package/first.py", "Owns the", "Makes a", id="module docstring"),
        pytest.param("package/first.py", '"""Compute."""', '"""Do.\n\n    It."""', id="docstring"),
        pytest.param("package/first.py", '    """Compute."""\n', "", id="docstring gone"),
        pytest.param(
            "package/first.py", "x: int\n    y", 'x: int\n    """Doc."""\n    y', id="string"
        ),
        pytest.param(
            "package/third.py", "return nested(x)", "return (nested(\n  x,\n))", id="layout"
        ),
        pytest.param("package/entries.py", '"x"', "'x'", id="quotes"),
    ],
)
def test_edit_out_of_reach_keeps_the_hash(project, name, old, new):
    before = hash_of(project)
    edit(project, name, old, new)
    assert hash_of(project) == before


def test_touch_and_place_of_the_project_keep_the_hash(project, tmp_path_factory):
    before = hash_of(project)
    for name in PROJECT:
        os.utime(project / name, (1, 1))
    assert hash_of(project) == before
    moved = tmp_path_factory.mktemp("elsewhere") / "project"
    project.rename(moved)
    assert hash_of(moved) == before


def test_moving_a_function_in_its_module_keeps_the_hash(project):
    before = hash_of(project)
    text = (project / "package/first.py").read_text()
    function = "def scale(x):\n    return x * 3\n"
    (project / "package/first.py").write_text(
        text.replace(function, "").replace("def unrelated", f"{function}def unrelated")
    )
    assert text.count(function) == 1
    assert hash_of(project) == before


def test_import_moved_behind_a_statement_that_acts_changes_the_hash(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("import os\nimport json\nos.nice(1)\njson.dumps(1)\n")
    before = hash_code(script, search=[tmp_path])
    script.write_text("import os\nos.nice(1)\nimport json\njson.dumps(1)\n")
    assert hash_code(script, search=[tmp_path]) != before


@pytest.mark.parametrize(
    "use",
    [
        "import module\nfunction = getattr(module, 'f')",
        "import module\nmodule.made_at_run_time()",
        "from module import f_by_getattr",
        "import module as m\nprint(m)",
        "from module import g\ng('f')",
    ],
)
def test_what_cannot_be_resolved_reaches_the_whole_module(tmp_path, use):
    module = tmp_path / "module.py"
    module.write_text("def f():\n    return 1\ndef g(name):\n    return globals()[name]()\n")
    (tmp_path / "script.py").write_text(f"{use}\nf_by_getattr\n")
    before = hash_of(tmp_path)
    edit(tmp_path, "module.py", "return 1", "return 2")
    assert hash_of(tmp_path) != before


def test_package_used_bare_reaches_its_submodules(project):
    (project / "package/broken.py").unlink()
    (project / "script.py").write_text("from package import inner\ngetattr(inner, 'leaf')\n")
    assert "package.inner.leaf:leaf_only" in reachable(project / "script.py", (), [project])


def test_circular_imports_and_equal_names_end(tmp_path):
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg/__init__.py").write_text("from pkg.x import x\n")
    (tmp_path / "pkg/x.py").write_text("import pkg.x as x\nimport pkg\ndef x():\n    pkg.x.x\n")
    (tmp_path / "script.py").write_text("from pkg import x\nx.x.x()\n")
    assert "pkg.x:x" in reachable(tmp_path / "script.py", (), [tmp_path])


@pytest.mark.parametrize(("old", "changes"), [("26", True), ("return x", True), ("27", False)])
def test_extra_root_counts_with_what_it_reaches(project, old, changes):
    before = hash_of(project, FACTORY)
    assert before != hash_of(project)
    edit(project, "package/factories.py", old, "0" if old.isdigit() else "return 1")
    assert (hash_of(project, FACTORY) != before) == changes


def test_extra_root_in_a_folder_without_init(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/networks.py").write_text("def tiny():\n    return 1\n")
    (tmp_path / "script.py").write_text("")
    names = reachable(tmp_path / "script.py", ["mine.networks:tiny"], [tmp_path])
    assert names == ["mine.networks:tiny"]


def test_installed_extra_root_counts_by_its_version(project, monkeypatch):
    module = sys.modules["lossmap.code.reach"]
    before = hash_of(project, "numpy.linalg:norm")
    assert before not in (hash_of(project), hash_of(project, "h5py:File"))
    module._installed.cache_clear()
    monkeypatch.setattr(module, "version", lambda name: "0")
    assert hash_of(project, "numpy.linalg:norm") != before
    module._installed.cache_clear()


def test_folder_of_installed_packages_is_not_searched(project, monkeypatch):
    site = project / "lib/site-packages"
    site.mkdir(parents=True)
    (project / "package").rename(site / "package")
    names = reachable(project / "script.py", (), [site, project])
    assert {name.partition(":")[0] for name in names} == {MAIN, "flat"}


def test_default_search_follows_pythonpath(tmp_path, monkeypatch):
    (tmp_path / "users_module.py").write_text("def tiny():\n    return 1\n")
    (tmp_path / "script.py").write_text("from lossmap.errors import LossmapError as E\nE()\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    names = reachable(tmp_path / "script.py", ["users_module:tiny"])
    assert names == ["__main__:line 2", "lossmap.errors:LossmapError", "users_module:tiny"]


@pytest.mark.parametrize(
    ("root", "message"),
    [
        ("package.missing:make", "code root 'package.missing:make': expected a module"),
        ("nowhere_at_all:make", "code root 'nowhere_at_all:make': expected a module"),
        ("package.factories", "code root 'package.factories': expected 'module.path:name'"),
        ("package.broken:f", "broken.py:1: expected valid Python"),
    ],
)
def test_bad_extra_root_is_named_with_its_remedy(project, root, message):
    with pytest.raises(LossmapError) as caught:
        hash_of(project, root)
    assert message in str(caught.value)
    assert str(caught.value).partition("; ")[2].startswith(("correct", "write"))


def test_missing_script_is_named(tmp_path):
    with pytest.raises(LossmapError, match=r"script\.py: expected a Python file, got No such file"):
        hash_of(tmp_path)


# Oracles: what Python really calls and loads.
RECORD_CALLS = """
import json, runpy, sys
from inspect import CO_OPTIMIZED
folder, called = sys.argv[1], set()
def record(frame, event, _):
    code = frame.f_code
    function = code.co_flags & CO_OPTIMIZED and not code.co_qualname.startswith("<")
    if event == "call" and function and code.co_filename.startswith(folder):
        called.add(frame.f_globals["__name__"] + ":" + code.co_qualname.partition(".")[0])
sys.path.insert(0, folder)
sys.setprofile(record)
runpy.run_path(sys.argv[2], run_name="__main__")
sys.setprofile(None)
print(json.dumps(sorted(called)))
"""
RECORD_IMPORTS = """
import ast, json, sys
from pathlib import Path
for node in ast.walk(ast.parse(Path(sys.argv[1]).read_text())):
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        exec(ast.unparse(node))
for name in sys.argv[2:]:
    __import__(name)
print(json.dumps([name for name in sys.modules if name.split(".")[0] == "lossmap"]))
"""
REAL = """
    import tempfile
    import numpy as np
    from lossmap.artifacts.grid import Grid
    from lossmap.artifacts.provenance import Provenance
    from lossmap.artifacts.store import load, save
    from lossmap.network.factory import build_network

    axis = np.zeros(2)
    with tempfile.TemporaryDirectory() as folder:
        grid = Grid(axis, axis, np.zeros((2, 2)), np.zeros((2, 2)))
        save(folder + "/grid/a.h5", grid, Provenance("{}", "", {}))
        load(folder + "/grid/a.h5", Grid)
    factory = "lossmap.network.models.resnet:resnet20"
    build_network(factory, classes=2, channels=1, width=0.1, seed=0)
"""


def printed_json(code: str, *arguments: Path | str) -> set[str]:
    """Run a program in a fresh interpreter; return the list in its last line."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=SCRIPTS)
    return set(json.loads(run.stdout.splitlines()[-1]))


def test_every_function_called_in_the_small_project_is_reached(project):
    called = printed_json(RECORD_CALLS, project, project / "script.py")
    assert len(called) > 10
    assert called <= set(reachable(project / "script.py", (), [project]))


def test_every_function_called_in_the_real_package_is_reached(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(REAL))
    called = printed_json(RECORD_CALLS, SCRIPTS, script)
    assert {
        "lossmap.artifacts.store:save_artifact",
        "lossmap.network.models.resnet:resnet20",
    } < called
    assert called <= set(reachable(script, ["lossmap.network.models.resnet:resnet20"]))


FOUND_BY_NAME = (
    "lossmap.figures.panels.",
    "lossmap.embedding.techniques.",
    "lossmap.geometry.planes.",
)
LIBRARY = sorted((SCRIPTS / "lossmap").rglob("*.py"))
ENTRY_SCRIPTS = sorted(SCRIPTS.glob("*.py"))


def lazy_imports(names: set[str]) -> set[str]:
    """Return what functions of the named modules import when they are called."""
    found = set()
    for name in names:
        path = SCRIPTS.joinpath(*name.split(".")).with_suffix(".py")
        for outer in ast.walk(ast.parse(path.read_text())) if path.is_file() else ():
            for node in ast.walk(outer) if isinstance(outer, ast.FunctionDef) else ():
                if isinstance(node, ast.ImportFrom):
                    found |= {node.module, *(f"{node.module}.{a.name}" for a in node.names)}
                elif isinstance(node, ast.Import):
                    found |= {alias.name for alias in node.names}
    return found


@pytest.mark.parametrize("path", ENTRY_SCRIPTS, ids=lambda path: path.stem)
def test_reached_modules_are_loaded_at_run_time(path):
    reached = {name.partition(":")[0] for name in reachable(path)} - {MAIN}
    by_name = {name for name in reached if name.startswith(FOUND_BY_NAME)}
    later = sorted(by_name | (lazy_imports(reached) & reached))
    assert reached <= printed_json(RECORD_IMPORTS, path, *later)


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: str(path.relative_to(SCRIPTS)))
def test_every_definition_of_a_file_counts_where_it_is_the_script(path):
    tree = ast.parse(path.read_text())
    kinds = (ast.FunctionDef, ast.ClassDef)
    defined = {f"{MAIN}:{node.name}" for node in tree.body if isinstance(node, kinds)}
    assert defined <= set(reachable(path))
