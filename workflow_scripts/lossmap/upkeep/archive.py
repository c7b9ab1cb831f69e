"""One file that holds results, what made them and how to go on: for a reader or a journal."""

import hashlib
import io
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from lossmap.artifacts.files import hash_file, replacing, writing
from lossmap.code.reach import MAIN, SCRIPTS, Reach
from lossmap.code.syntax import Module
from lossmap.errors import LossmapError
from lossmap.workflow.expected import Expected
from lossmap.workflow.stages import all_makers
from lossmap.workflow.targets import all_targets

WORKFLOW = (
    "Snakefile",
    "rules",
    "config",
    "envs",
    "profiles",
    "workflow_scripts",
    "Makefile",
    "README.md",
    "CHANGELOG.md",
    "LICENSE",
    "CITATION.cff",
    "pyproject.toml",
    "docs",
)
"""What a clone consists of, but for its tests."""
SETTINGS = "archive.yaml"
GUIDE = """\
This archive holds the results of lossmap at scale '{scale}', the workflow that made them (with the
lock of its environment), and how to cite it (CITATION.cff). Every results/{scale}/*/*.h5 says in
its attributes what made it. To check that every byte arrived, to verify, and to go on from here:

    sha256sum --check --quiet SHA256SUMS
    make env
    source .venv/bin/activate
    export PYTHONPATH={path}
    python -m lossmap.upkeep audit --configfile {settings}
    snakemake --cores 2 --configfile {settings}

The last does nothing until you change something. The images of the data sets are in
results/{scale}/dataset; the files that they came from are not needed.
"""


def write_archive(path: Path, root: Path, expected: Expected, given: Mapping) -> tuple[int, str]:
    """Write results, workflow, settings, guide and checksums as one tar file, and try it.

    Return the number of its files, and what an audit says of it where it is unpacked. Equal results
    give equal bytes. Weights do not compress, so nothing is compressed.

    Parameters
    ----------
    path : the archive
    root : folder of the workflow
    expected : whose artifacts go in
    given : the user's own settings, over the scale

    Raises
    ------
    LossmapError
        The archive cannot be written, a file that goes in cannot be read, a file outside of the
        current folder would have to be in it, or the audit finds something wrong.
    """
    scale = expected.config["scale"]
    settings = {key: value for key, value in given.items() if key != "data_dir"}
    settings |= {"scale": scale, "keep_datasets": True}
    own = _OwnFiles(root, expected)
    python_path = ":".join(own.python_path)
    texts = {
        SETTINGS: yaml.safe_dump(settings, sort_keys=True),
        "ARCHIVE.txt": GUIDE.format(scale=scale, settings=SETTINGS, path=python_path),
    }
    results = dict(_result_files(expected, scale))
    files = dict(sorted({**own.files, **dict(_workflow_files(root)), **results}.items()))
    sums = {name: hash_file(file) for name, file in files.items()}
    sums |= {name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()}
    texts["SHA256SUMS"] = "".join(f"{sums[name]}  {name}\n" for name in sorted(sums))
    top = path.stem
    untried = path.with_name(f".{path.name}.untried")
    with replacing(untried) as stream, tarfile.open(fileobj=stream, mode="w|") as tar:
        for name, text in sorted(texts.items()):
            tar.addfile(_entry(f"{top}/{name}", len(text.encode()), 0), io.BytesIO(text.encode()))
        for name, file in files.items():
            with open(file, "rb") as content:
                status = file.stat()
                tar.addfile(_entry(f"{top}/{name}", status.st_size, status.st_mtime_ns), content)
    with writing(path):
        try:
            said = _try_out(untried, top, python_path)
            os.replace(untried, path)
        finally:
            untried.unlink(missing_ok=True)
    return len(files) + len(texts), said


def _try_out(archive: Path, top: str, python_path: str) -> str:
    """Unpack an archive into an empty folder and audit it there; return the last line said."""
    with tempfile.TemporaryDirectory(prefix=f"{archive.name}.", dir=archive.parent) as folder:
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
        done = subprocess.run(
            [sys.executable, "-m", "lossmap.upkeep", "audit", "--configfile", SETTINGS],
            cwd=Path(folder, top),
            env=os.environ | {"PYTHONPATH": python_path},
            capture_output=True,
            text=True,
            check=False,
        )
    said = (done.stdout + done.stderr).splitlines() or [f"exit status {done.returncode}"]
    if done.returncode:
        raise LossmapError(
            f"the archive was unpacked into an empty folder, and audit said there: {said[0]}; "
            "what is missing lies outside of this folder or was changed meanwhile: no archive made"
        )
    return said[-1]


def _workflow_files(root: Path) -> Iterator[tuple[str, Path]]:
    for part in WORKFLOW:
        found = [root / part] if (root / part).is_file() else sorted((root / part).rglob("*"))
        for file in found:
            if file.is_file() and "__pycache__" not in file.parts:
                yield str(file.relative_to(root)), file


class _OwnFiles:
    """The files outside of the workflow that its code reaches, and where an archive has them.

    What lies in the current folder keeps its place. What is found through another folder is put
    below ``modules``.

    Attributes
    ----------
    files : by their name in the archive
    python_path : folders of the archive in which modules are looked for
    """

    def __init__(self, root: Path, expected: Expected) -> None:
        self.root, self.here = root, Path.cwd()
        self.files: dict[str, Path] = {}
        self.python_path = ["workflow_scripts"]
        self._places = {root: "", self.here: ""}
        pairs = [target.split("/", 1) for target in all_targets(expected.config)]
        extensions = [f"{name}:*" for name in expected.config["extensions"]]
        reaches = [Reach(None, extensions, expected.search)]
        reaches += [expected.reach(*pair) for pair in pairs]
        for reach in dict.fromkeys(reaches):
            for module in filter(lambda module: module.path, reach.modules.values()):
                self._add_folder(module)
            for file in reach.files():
                self._add(file)
        for _, maker in all_makers():
            self._add(maker.rule_file)
        for pair in pairs:  # checkpoints; data sets, which have no sources, are kept as they are
            for file in expected.files(*pair) if expected.sources(*pair) else ():
                self._add(file.absolute())

    def _add_folder(self, module: Module) -> None:
        """Note the folder through which a module is found."""
        folder = module.path.parents[module.name.count(".") + bool(module.folder)]
        if folder in (self.root, self.here, SCRIPTS) or module.name == MAIN:
            return
        if not (folder.is_relative_to(self.here) or folder in self._places):
            outside = self._places.keys() - {self.root, self.here}
            self._places[folder] = f"modules/{len(outside) + 1}"
        name = self._name(folder)
        self.python_path += [name] if name not in self.python_path else []

    def _add(self, file: Path) -> None:
        self.files[self._name(file)] = file

    def _name(self, file: Path) -> str:
        for folder, name in self._places.items():
            if file.is_relative_to(folder):
                return str(Path(name, file.relative_to(folder)))
        raise LossmapError(
            f"{file}: results depend on it, but it lies outside of {self.here}, where an archive "
            "cannot hold it; copy it into this folder"
        )


def _result_files(expected: Expected, scale: str) -> Iterator[tuple[str, Path]]:
    for target in all_targets(expected.config):
        pair = target.split("/", 1)
        for file in (expected.path(*pair), *expected.renderings(*pair), *expected.records(*pair)):
            if file.is_file():
                yield f"results/{scale}/{file.relative_to(expected.results)}", file


def _entry(name: str, size: int, time_ns: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mtime, entry.mode = size, time_ns // 10**9, 0o644
    return entry
