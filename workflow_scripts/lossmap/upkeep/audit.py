"""What is wrong with results, told from the artifacts alone: every byte of them is read.

Knows nothing of Snakemake and needs none of its metadata, so that results copied from elsewhere can
be checked too.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lossmap.artifacts.files import obstacle
from lossmap.artifacts.provenance import (
    Provenance,
    read_resume_folder,
    resume_folder,
    resume_note,
)
from lossmap.artifacts.seal import read_mark
from lossmap.artifacts.store import trace_inputs, verify_artifact
from lossmap.errors import LossmapError
from lossmap.page.seal import is_sealed, shows
from lossmap.workflow.expected import Expected
from lossmap.workflow.freshness import find_spoilt, in_order
from lossmap.workflow.stages import STAGES
from lossmap.workflow.targets import all_targets

SHOWN = 4
"""Differences of a specification that one finding lists."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: ``stale``, ``missing``, ``orphaned`` or ``damaged``, where and why.

    ``parts`` says which of ``spec``, ``code`` and ``inputs`` makes an artifact stale.
    """

    kind: str
    path: Path
    why: str
    parts: tuple[str, ...] = ()

    @property
    def target(self) -> tuple[str, str]:
        """Return stage and name of an artifact."""
        return self.path.parent.name, self.path.stem


def audit(expected: Expected) -> list[Finding]:
    """Return everything that is wrong with the results of a configuration, sources first.

    Specification, code and inputs of every artifact are worked out anew and compared with what it
    says; its bytes, with its seal and its digest, whatever its size.
    """
    targets = in_order(expected.config, all_targets(expected.config))
    found: list[Finding] = []
    digests: dict[str, str] = {}
    for target in targets:
        found += _audit_artifact(expected, target, digests)
    found += _audit_page(expected, digests)
    found += _find_orphans(expected, targets)
    return [*found, *_find_idle_resume_points(expected, digests)]


def _audit_artifact(expected: Expected, target: str, digests: dict[str, str]) -> Iterator[Finding]:
    stage, name = target.split("/", 1)
    path = expected.path(stage, name)
    if not obstacle(path) and not path.exists():
        yield Finding("missing", path, "not made yet")
        return
    try:
        provenance, digests[target] = verify_artifact(path, STAGES[stage].kind)
    except LossmapError as error:
        yield Finding("damaged", path, str(error).removeprefix(f"{path}: "))
        return
    if read_mark(path) != provenance.mark(digests[target]):
        yield Finding("damaged", path, "its mark is not that of its attributes; delete it")
        return
    parts = dict(_differences(expected, target, provenance, digests))
    if parts:
        yield Finding("stale", path, "; ".join(parts.values()), tuple(parts))
    for rendering, why in find_spoilt(expected, stage, name).items():
        there = obstacle(rendering) or rendering.exists()
        yield Finding("damaged" if there else "missing", rendering, why)


def _audit_page(expected: Expected, digests: Mapping[str, str]) -> Iterator[Finding]:
    """Yield what is wrong with the page, if it was made: it is no target of `all`."""
    path, remedy = expected.results / "index.html", "run: snakemake page"
    if why := obstacle(path):
        yield Finding("damaged", path, why)
    elif path.exists() and not is_sealed(path):
        yield Finding("damaged", path, f"not as it was written; {remedy}")
    elif path.exists() and not shows(path, digests):
        yield Finding("stale", path, f"made from other artifacts; {remedy}")


def _differences(
    expected: Expected, target: str, provenance: Provenance, digests: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """Yield each part of an artifact's provenance that is not as it should be, and in what."""
    stage, name = target.split("/", 1)
    spec = expected.spec(stage, name)
    if provenance.spec != spec:
        yield "spec", explain(json.loads(provenance.spec), json.loads(spec))
    if provenance.code != expected.code(stage, name):
        yield "code", "made by other code"
    inputs = _expected_inputs(expected, target, provenance, digests)
    changed = [
        name
        for name in sorted({*inputs, *provenance.inputs})
        if inputs.get(name) != provenance.inputs.get(name)
    ]
    if changed:
        yield "inputs", f"made from another {listed(changed)}"


def _expected_inputs(
    expected: Expected, target: str, provenance: Provenance, digests: Mapping[str, str]
) -> dict[str, str]:
    """Return the digests of the sources that are there; of those that are not, as recorded."""
    stage, name = target.split("/", 1)
    recorded, files = provenance.inputs, expected.files(stage, name)
    found = {source: digests.get(source) for source in expected.sources(stage, name)}
    if files and all(file.is_file() for file in files):
        found |= trace_inputs(files, expected.results)
    elif files or not found:  # not here, or downloaded: nothing to compare with
        found = dict(recorded) | found
    return {source: digest or recorded.get(source, "missing") for source, digest in found.items()}


def explain(old: dict, new: dict) -> str:
    """Return in which leaves two specifications differ."""
    before, after = _leaves(old), _leaves(new)
    changed = [
        f"{key} was {before.get(key, 'absent')}, is to be {after.get(key, 'absent')}"
        for key in sorted({*before, *after})
        if before.get(key) != after.get(key)
    ]
    return listed(changed)


def _leaves(value: object, prefix: str = "") -> dict[str, str]:
    if isinstance(value, dict) and value:
        pairs = value.items()
    elif isinstance(value, list) and value:
        pairs = enumerate(value)
    else:
        return {prefix.removesuffix("."): json.dumps(value)}
    return {
        key: leaf for part, each in pairs for key, leaf in _leaves(each, f"{prefix}{part}.").items()
    }


def listed(items: list[str]) -> str:
    """Return the first items in one line, and how many more there are."""
    more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return ", ".join(items[:SHOWN]) + more


def _find_orphans(expected: Expected, targets: Iterable[str]) -> Iterator[Finding]:
    pairs = [tuple(target.split("/", 1)) for target in targets]
    known = {expected.path(*pair) for pair in pairs}
    known.update(path for pair in pairs for path in expected.renderings(*pair))
    for stage in STAGES:
        for path in sorted((expected.results / stage).glob("*")):
            if path.name.startswith("."):
                yield Finding("orphaned", path, "half-written: its job was killed, or runs")
            elif path not in known:
                yield Finding("orphaned", path, "no part of this configuration")


def _find_idle_resume_points(expected: Expected, digests: Mapping[str, str]) -> Iterator[Finding]:
    """Yield resume points that no job would go on from."""
    for stage, folder in resume_folders(expected):
        name = folder.name.rpartition("-")[0]
        if name not in STAGES[stage].names(expected.config):
            yield Finding("orphaned", folder, "resume points of no part of this configuration")
            continue
        sources = expected.sources(stage, name)
        inputs = {s: digests.get(s, "") for s in sources} | expected.digests(stage, name)
        now = expected.of_resume_points(stage, name, inputs)
        if read_resume_folder(folder) is None:
            note, why = resume_note(folder), "does not say what its resume points belong to"
            yield Finding("damaged", note, f"{why}; delete it")
        elif folder != resume_folder(expected.path(stage, name), now):
            yield Finding("orphaned", folder, "resume points of other settings, code or inputs")


def resume_folders(expected: Expected) -> list[tuple[str, Path]]:
    """Return every folder of resume points that says what it belongs to, with its stage."""
    return [
        (stage, note.with_suffix(""))
        for stage, each in STAGES.items()
        if any(maker.resume_spec for maker in each.makers)
        for note in sorted((expected.results / ".resume" / stage).glob("*.json"))
    ]
