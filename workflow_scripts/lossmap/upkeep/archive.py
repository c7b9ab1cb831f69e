"""One file that holds results, what made them and how to go on: for a reader or a journal."""

import hashlib
import io
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from lossmap.artifacts.files import replacing
from lossmap.errors import LossmapError
from lossmap.workflow.expected import Expected
from lossmap.workflow.stages import ROOT, all_makers
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
    PYTHONPATH=workflow_scripts python -m lossmap.upkeep audit --configfile {settings}
    snakemake --cores 2 --configfile {settings}

The last does nothing until you change something. The images of the data sets are in
results/{scale}/dataset; the files that they came from are not needed.
"""


def write_archive(path: Path, root: Path, expected: Expected, given: Mapping) -> int:
    """Write results, workflow, settings, guide and checksums as one tar file; return its files.

    Equal results give equal bytes. Weights do not compress, so nothing is compressed.

    Parameters
    ----------
    path : the archive
    root : folder of the workflow
    expected : whose artifacts go in
    given : the user's own settings, over the scale

    Raises
    ------
    LossmapError
        The archive cannot be written.
    """
    scale = expected.config["scale"]
    settings = {key: value for key, value in given.items() if key != "data_dir"}
    settings |= {"scale": scale, "keep_datasets": True}
    texts = {
        SETTINGS: yaml.safe_dump(settings, sort_keys=True),
        "ARCHIVE.txt": GUIDE.format(scale=scale, settings=SETTINGS),
    }
    files = dict(sorted([*_workflow_files(root, expected), *_result_files(expected, scale)]))
    sums = {name: _hash_file(file) for name, file in files.items()}
    sums |= {name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()}
    texts["SHA256SUMS"] = "".join(f"{sums[name]}  {name}\n" for name in sorted(sums))
    top = path.stem
    with replacing(path) as stream, tarfile.open(fileobj=stream, mode="w|") as tar:
        for name, text in sorted(texts.items()):
            tar.addfile(_entry(f"{top}/{name}", len(text.encode()), 0), io.BytesIO(text.encode()))
        for name, file in files.items():
            with open(file, "rb") as content:
                status = file.stat()
                tar.addfile(_entry(f"{top}/{name}", status.st_size, status.st_mtime_ns), content)
    return len(files) + len(texts)


def _workflow_files(root: Path, expected: Expected) -> Iterator[tuple[str, Path]]:
    for part in WORKFLOW:
        found = [root / part] if (root / part).is_file() else sorted((root / part).rglob("*"))
        for file in found:
            if file.is_file() and "__pycache__" not in file.parts:
                yield str(file.relative_to(root)), file
    pairs = [target.split("/", 1) for target in all_targets(expected.config)]
    for file in (file for pair in pairs for file in _checkpoints(expected, *pair)):
        yield _place_beneath(file, "a checkpoint"), file
    for function in {f for pair in pairs for f in expected.reached(*pair)}:
        yield from _own_modules(function.partition(".")[0].partition(":")[0], expected)
    for module in expected.config["extensions"]:
        yield from _own_modules(module.partition(".")[0], expected)
    for maker in (maker for _, maker in all_makers() if maker.home != ROOT):
        for file in (maker.rule_file, maker.script):
            yield _place_beneath(file, "a stage of your own"), file


def _checkpoints(expected: Expected, stage: str, name: str) -> list[Path]:
    """Return the files that an imported run is made from; data sets are kept as they are."""
    return expected.files(stage, name) if expected.sources(stage, name) else []


def _place_beneath(file: Path, what: str) -> str:
    file = file.absolute()
    if not file.is_relative_to(Path.cwd()):
        raise LossmapError(
            f"{file}: {what}, outside of {Path.cwd()}, which an archive cannot hold; copy it into "
            "this folder"
        )
    return str(file.relative_to(Path.cwd()))


def _own_modules(top: str, expected: Expected) -> Iterator[tuple[str, Path]]:
    """Yield the files of a network that the user has written beside the workflow."""
    here = Path.cwd()
    for folder in (here, *map(Path, expected.search)):
        found = [folder / f"{top}.py", *(folder / top).rglob("*.py")]
        if folder.resolve() != ROOT / "workflow_scripts" and folder.is_relative_to(here):
            yield from ((str(f.relative_to(here)), f) for f in found if f.is_file())


def _result_files(expected: Expected, scale: str) -> Iterator[tuple[str, Path]]:
    for target in all_targets(expected.config):
        pair = target.split("/", 1)
        for file in (expected.path(*pair), *expected.renderings(*pair), *expected.records(*pair)):
            if file.is_file():
                yield f"results/{scale}/{file.relative_to(expected.results)}", file


def _hash_file(file: Path) -> str:
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _entry(name: str, size: int, time_ns: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mtime, entry.mode = size, time_ns // 10**9, 0o644
    return entry
