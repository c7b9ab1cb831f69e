"""The lock, the conda environment and what is installed say the same."""

import ast
import re
import sys
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
ENVS = ROOT / "envs"
LOCK_LINE = re.compile(r'[a-z0-9-]+==[0-9a-z.]+( ; sys_platform == "linux")?')


def read_lines(path: Path) -> list[str]:
    """Return the lines of a requirements file without comments and blank lines."""
    lines = (line.split("#")[0].strip() for line in path.read_text().splitlines())
    return [line for line in lines if line]


def read_requirements(path: Path) -> dict[str, Requirement]:
    """Return canonical name -> requirement, for those whose marker holds on this machine."""
    requirements = [Requirement(line) for line in read_lines(path)]
    return {
        canonicalize_name(requirement.name): requirement
        for requirement in requirements
        if requirement.marker is None or requirement.marker.evaluate()
    }


LOCK = read_requirements(ENVS / "requirements.lock")
DIRECT = read_requirements(ENVS / "requirements.in")


def pinned_version(name: str) -> str:
    """Return the version that the lock gives a package."""
    (part,) = LOCK[name].specifier
    return part.version


def test_lock_holds_only_pins():
    odd = [line for line in read_lines(ENVS / "requirements.lock") if not LOCK_LINE.fullmatch(line)]
    assert odd == [], "only 'name==version' and a platform marker: no URL, host, path or option"


def test_lock_names_each_package_once_in_order():
    names = [Requirement(line).name for line in read_lines(ENVS / "requirements.lock")]
    assert names == sorted(set(names))


def test_conda_environment_holds_the_same_pins():
    environment = yaml.safe_load((ENVS / "lossmap.yaml").read_text())
    python, pip, pins = environment["dependencies"]
    assert (environment["name"], python, pip) == ("lossmap", "python=3.11", "pip")
    assert pins["pip"] == read_lines(ENVS / "requirements.lock")


@pytest.mark.parametrize("name", DIRECT)
def test_lock_satisfies_direct_requirement(name):
    assert name in LOCK, f"{name} is in requirements.in but not in the lock; run: make lock"
    assert DIRECT[name].specifier.contains(pinned_version(name))


@pytest.mark.parametrize("name", LOCK)
def test_installed_version_is_the_locked_one(name):
    installed = distribution(name).version.split("+")[0]  # +cpu, +cu130: builds of one version
    assert installed == pinned_version(name)


def test_lock_is_closed():
    """Everything a locked package needs is locked, or pinned by that package itself."""
    missing = []
    for name in LOCK:
        for line in distribution(name).requires or []:
            needed = Requirement(line)
            wanted = needed.marker is None or needed.marker.evaluate({"extra": ""})
            pinned = any(part.operator == "==" for part in needed.specifier)
            if wanted and not pinned and canonicalize_name(needed.name) not in LOCK:
                missing.append(f"{name} needs {line}")
    assert missing == []


def test_python_is_the_locked_one():
    assert sys.version_info[:2] == (3, 11)


def imported_packages(folder: Path) -> set[str]:
    """Return the top-level packages that the modules of a folder import, at any depth."""
    names = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("folder", ["workflow_scripts", "tests"])
def test_imported_packages_are_direct_requirements(folder):
    own = {"lossmap", *sys.stdlib_module_names}
    own |= {path.stem for path in (ROOT / folder).rglob("*")}  # helpers beside the tests
    providers = packages_distributions()
    undeclared = [
        name
        for name in sorted(imported_packages(ROOT / folder) - own)
        if not {canonicalize_name(provider) for provider in providers.get(name, [])} & set(DIRECT)
    ]
    assert undeclared == [], "add them to envs/requirements.in and run: make lock"


def test_version_is_said_alike_to_installers_and_to_readers():
    said = re.search(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"]
    assert said[1] == str(cited)
