"""Which artifacts are what the configuration and the code ask for, told from the artifacts alone.

Snakemake's metadata in `.snakemake` are absent in a fresh clone with restored results, wrong after
`--touch`, and written too early by a job that fails. So the artifact's own header decides what is
rebuilt, not Snakemake's metadata.
"""

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from graphlib import TopologicalSorter

from lossmap.artifacts.seal import Mark, fingerprint_of, mark_inputs, read_mark
from lossmap.workflow.expected import Expected
from lossmap.workflow.stages import sources


@dataclass(frozen=True)
class Survey:
    """The artifacts of a configuration, each as ``stage/name``, sources first.

    Attributes
    ----------
    fresh : of the right fingerprint, made from the present inputs
    stale : of another fingerprint, or made from other inputs
    missing : no file
    foreign : a file that does not begin as an artifact does
    """

    fresh: list[str]
    stale: list[str]
    missing: list[str]
    foreign: list[str]


def survey(expected: Expected, targets: Iterable[str]) -> Survey:
    """Compare the marks of artifacts with what they should be; reads 512 bytes of each.

    What a data set was made from outside of the results is not looked at; the checkpoints of an
    imported run are.
    """
    found = Survey([], [], [], [])
    marks: dict[str, Mark] = {}
    for target in in_order(expected.config, targets):
        stage, name = target.split("/", 1)
        path = expected.path(stage, name)
        if not path.is_file():
            found.missing.append(target)
        elif (mark := read_mark(path)) is None:
            found.foreign.append(target)
        else:
            marks[target] = mark
            fresh = _is_fresh(expected, target, mark, marks)
            (found.fresh if fresh else found.stale).append(target)
    return found


def _is_fresh(expected: Expected, target: str, mark: Mark, marks: Mapping[str, Mark]) -> bool:
    stage, name = target.split("/", 1)
    if mark.fingerprint != fingerprint_of(expected.spec(stage, name), expected.code(stage, name)):
        return False
    sources = expected.sources(stage, name)
    if not sources or not marks.keys() >= set(sources):  # a source that is missing is made first
        return True
    contents = {source: marks[source].content for source in sources}
    return mark.inputs == mark_inputs(contents | expected.digests(stage, name))


def in_order(config: dict, targets: Iterable[str]) -> list[str]:
    """Return targets in the order of the data, sources before what is made from them."""
    wanted = set(targets)
    graph = {target: sources(config, *target.split("/", 1)) for target in sorted(wanted)}
    return [target for target in TopologicalSorter(graph).static_order() if target in wanted]


def mend_times(expected: Expected, fresh: Iterable[str]) -> None:
    """Give fresh artifacts that are older than their sources the time of the newest source.

    Copying may give files any order of time; Snakemake makes again what is older than its input.
    Renderings go with their artifact, and so do benchmarks, which it takes for outputs.

    Parameters
    ----------
    fresh : artifacts, sources first
    """
    for target in fresh:
        stage, name = target.split("/", 1)
        sources = [expected.path(*source.split("/", 1)) for source in expected.sources(stage, name)]
        sources += expected.files(stage, name) if sources else []
        newest = max((path.stat().st_mtime_ns for path in sources if path.is_file()), default=0)
        beside = [*expected.renderings(stage, name), *expected.records(stage, name)]
        for path in (expected.path(stage, name), *beside):
            if path.is_file() and path.stat().st_mtime_ns < newest:
                with suppress(OSError):  # on a read-only disk nothing can be made again either
                    os.utime(path, ns=(newest, newest))
