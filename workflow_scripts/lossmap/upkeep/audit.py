"""What is wrong with results, told from the artifacts alone: every byte of them is read.

Knows nothing of Snakemake and needs none of its notes, so that results copied from elsewhere can be
checked too.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lossmap.artifacts.provenance import Provenance, resume_folder
from lossmap.artifacts.seal import read_mark
from lossmap.artifacts.store import digest_of, name_of, verify_artifact
from lossmap.errors import LossmapError
from lossmap.upkeep.kinds import KINDS
from lossmap.workflow import specs
from lossmap.workflow.freshness import in_order
from lossmap.workflow.recipes import Recipes
from lossmap.workflow.targets import all_targets

RESUMABLE = ("trajectory", "jumps")
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


def audit(recipes: Recipes) -> list[Finding]:
    """Return everything that is wrong with the results of a configuration, sources first.

    Specification, code and inputs of every artifact are worked out anew and compared with what it
    says; its bytes, with its seal and its digest, whatever its size.
    """
    targets = in_order(recipes.config, all_targets(recipes.config))
    found: list[Finding] = []
    digests: dict[str, str] = {}
    for target in targets:
        found += _audit_artifact(recipes, target, digests)
    found += _find_orphans(recipes, targets)
    return [*found, *_find_idle_resume_points(recipes, digests)]


def _audit_artifact(recipes: Recipes, target: str, digests: dict[str, str]) -> Iterator[Finding]:
    stage, name = target.split("/", 1)
    path = recipes.path(stage, name)
    if not path.is_file():
        yield Finding("missing", path, "not made yet")
        return
    try:
        provenance, digests[target] = verify_artifact(path, KINDS[stage])
    except LossmapError as error:
        yield Finding("damaged", path, str(error).removeprefix(f"{path}: "))
        return
    if read_mark(path) != provenance.mark(digests[target]):
        yield Finding("damaged", path, "its mark is not that of its attributes; delete it")
        return
    parts = dict(_differences(recipes, target, provenance, digests))
    if parts:
        yield Finding("stale", path, "; ".join(parts.values()), tuple(parts))
    for rendering in recipes.renderings(stage, name):
        if not rendering.is_file():
            yield Finding("missing", rendering, "not drawn or printed yet")


def _differences(
    recipes: Recipes, target: str, provenance: Provenance, digests: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """Yield each part of an artifact's provenance that is not as it should be, and in what."""
    stage, name = target.split("/", 1)
    spec = recipes.spec(stage, name)
    if provenance.spec != spec:
        yield "spec", explain(json.loads(provenance.spec), json.loads(spec))
    if provenance.code != recipes.code(stage, name):
        yield "code", "made by other code"
    expected = _expected_inputs(recipes, target, provenance, digests)
    changed = [
        name
        for name in sorted({*expected, *provenance.inputs})
        if expected.get(name) != provenance.inputs.get(name)
    ]
    if changed:
        yield "inputs", f"made from another {_listed(changed)}"


def _expected_inputs(
    recipes: Recipes, target: str, provenance: Provenance, digests: Mapping[str, str]
) -> dict[str, str]:
    """Return the digests of the sources that are there; of those that are not, as recorded."""
    stage, name = target.split("/", 1)
    if stage == "dataset":
        file = None if recipes.is_kept(stage, name) else specs.dataset_file(recipes.config, name)
        if file is not None and file.is_file():
            return {name_of(file): digest_of(file)}
        return dict(provenance.inputs)
    recorded = provenance.inputs
    found = {source: digests.get(source) for source in specs.sources(recipes.config, stage, name)}
    return {source: digest or recorded.get(source, "missing") for source, digest in found.items()}


def explain(old: dict, new: dict) -> str:
    """Return in which leaves two specifications differ."""
    before, after = _leaves(old), _leaves(new)
    changed = [
        f"{key} was {before.get(key, 'absent')}, is to be {after.get(key, 'absent')}"
        for key in sorted({*before, *after})
        if before.get(key) != after.get(key)
    ]
    return _listed(changed)


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


def _listed(items: list[str]) -> str:
    more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return ", ".join(items[:SHOWN]) + more


def _find_orphans(recipes: Recipes, targets: Iterable[str]) -> Iterator[Finding]:
    pairs = [tuple(target.split("/", 1)) for target in targets]
    known = {recipes.path(*pair) for pair in pairs}
    known.update(path for pair in pairs for path in recipes.renderings(*pair))
    for stage in KINDS:
        for path in sorted((recipes.results / stage).glob("*")):
            if path.name.startswith("."):
                yield Finding("orphaned", path, "half-written: its job was killed, or runs")
            elif path not in known:
                yield Finding("orphaned", path, "no part of this configuration")


def _find_idle_resume_points(recipes: Recipes, digests: Mapping[str, str]) -> Iterator[Finding]:
    """Yield resume points that no job would go on from."""
    for stage, folder in resume_folders(recipes):
        name = folder.name.rpartition("-")[0]
        if name not in specs.names_of(recipes.config, stage):
            yield Finding("orphaned", folder, "resume points of no part of this configuration")
            continue
        sources = specs.sources(recipes.config, stage, name)
        now = recipes.of_resume_points(stage, name, {s: digests.get(s, "") for s in sources})
        if folder != resume_folder(recipes.path(stage, name), now):
            yield Finding("orphaned", folder, "resume points of other settings, code or inputs")


def resume_folders(recipes: Recipes) -> list[tuple[str, Path]]:
    """Return every folder of resume points that says what it belongs to, with its stage."""
    return [
        (stage, note.with_suffix(""))
        for stage in RESUMABLE
        for note in sorted((recipes.results / ".resume" / stage).glob("*.json"))
    ]
