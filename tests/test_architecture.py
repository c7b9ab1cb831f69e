"""The rooms of the package keep to themselves, and entry scripts stay thin."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "workflow_scripts"
PACKAGE = SOURCES / "lossmap"
SCRIPTS = sorted(SOURCES.glob("*.py"))
MAX_SCRIPT_LINES = 40

# What loading a room must not load. phate itself imports matplotlib: embedding may.
LIGHT = ["artifacts", "claims", "code", "devices", "errors", "geometry", "logs", "workflow"]
BANNED = {
    "torch": [*LIGHT, "embedding", "figures"],
    "matplotlib": [*LIGHT, "network"],
    "sklearn": LIGHT,
}


def run_python(*arguments: str) -> subprocess.CompletedProcess:
    """Run this interpreter on its own, with the package on its path."""
    environment = {**os.environ, "PYTHONPATH": str(SOURCES)}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def modules_of(room: str) -> list[str]:
    """Return the dotted names of all modules of a room, which is a package or one module."""
    files = [PACKAGE / f"{room}.py", *sorted((PACKAGE / room).rglob("*.py"))]
    parts = [path.relative_to(SOURCES).with_suffix("").parts for path in files if path.exists()]
    return [".".join(part for part in names if part != "__init__") for names in parts]


ROOMS = sorted({room for rooms in BANNED.values() for room in rooms})
LOADS = [(module, room) for room in ROOMS for module in modules_of(room)]


def test_import_contracts_hold():
    result = run_python(
        "-c",
        "from importlinter.cli import lint_imports_command; lint_imports_command()",
        "--no-cache",
        "--no-logo",
    )
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(("module", "room"), LOADS)
def test_importing_module_does_not_load(module, room):
    banned = {library for library, rooms in BANNED.items() if room in rooms}
    result = run_python("-c", f"import sys, {module}; print(*({banned!r} & set(sys.modules)))")
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == [], f"importing {module} loads them"


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*/__init__.py")), ids=lambda p: p.parent.name
)
def test_init_files_of_rooms_are_empty(path):
    assert path.read_text() == ""


def script_of_each_rule() -> dict[str, str]:
    """Return rule name -> file name of its script, read from the rules as text."""
    scripts = {}
    for path in sorted((ROOT / "rules").glob("*.smk")):
        for block in re.split(r"^\s*(?=rule(?: \w+)?:$)", path.read_text(), flags=re.M)[1:]:
            script = re.search(r'^\s*script:\s*"([^"]+)"', block, flags=re.M)
            if script:
                # a rule of a loop has the name of its file
                name = re.match(r"rule (\w+):", block)
                scripts[name[1] if name else path.stem] = Path(script[1]).name
    return scripts


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
class TestEntryScript:
    def test_does_not_read_the_config(self, path):
        used = [node for node in ast.walk(ast.parse(path.read_text())) if is_config(node)]
        assert used == [], "snakemake.config is not tracked: pass the value through params"

    def test_defines_nothing(self, path):
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
        defined = [
            node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, kinds)
        ]
        assert defined == [], "functions and classes belong to the package"

    def test_is_short(self, path):
        assert len(path.read_text().splitlines()) <= MAX_SCRIPT_LINES

    def test_loads_logs_before_all_else(self, path):
        """So that what it sets for loading holds for the rest."""
        nodes = ast.walk(ast.parse(path.read_text()))
        modules = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
        ours = [ast.unparse(node) for node in modules if "lossmap" in ast.unparse(node)]
        assert ours[0] == "from lossmap import logs"

    def test_bears_the_name_of_its_rule(self, path):
        assert script_of_each_rule().get(path.stem) == path.name


def is_config(node: ast.AST) -> bool:
    """Tell whether a node is `snakemake.config`, or asks for it by name."""
    return (
        isinstance(node, ast.Attribute)
        and node.attr == "config"
        and isinstance(node.value, ast.Name)
        and node.value.id == "snakemake"
    )


def test_every_script_of_a_rule_exists():
    missing = {
        rule: script
        for rule, script in script_of_each_rule().items()
        if script != f"{rule}.py" or not (SOURCES / script).exists()
    }
    assert missing == {}


def test_nothing_that_is_read_can_run_code():
    """Artifacts are plain HDF5, and others' checkpoints are read as tensors alone."""
    unsafe = re.compile(
        r"pickle\.loads?\b|Unpickler\b|torch\.load\b|joblib|allow_pickle|yaml\.(?:unsafe_)?load_all"
    )
    found = [path for path in SOURCES.rglob("*.py") if unsafe.search(path.read_text())]
    reader = PACKAGE / "network" / "reading.py"
    assert found == [reader]
    calls = re.findall("torch.load.*", reader.read_text())
    assert all("weights_only=True" in call for call in calls)
