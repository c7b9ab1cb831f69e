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
from pathlib import Path

from lossmap.artifacts.files import hash_file, obstacle
from lossmap.artifacts.seal import Mark, fingerprint_of, mark_inputs, read_mark, seal_holds
from lossmap.artifacts.store import read_renderings
from lossmap.errors import LossmapError
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
    unreadable : why artifacts and renderings cannot be read, each with its path
    """

    fresh: list[str]
    stale: list[str]
    missing: list[str]
    foreign: list[str]
    unreadable: list[str]


def survey(expected: Expected, targets: Iterable[str]) -> Survey:
    """Compare the marks of artifacts with what they should be; reads 512 bytes of each.

    Of files outside of the results the content counts; one that is not there is not looked at.
    """
    found = Survey([], [], [], [], [])
    marks: dict[str, Mark] = {}
    for target in in_order(expected.config, targets):
        stage, name = target.split("/", 1)
        path = expected.path(stage, name)
        paths = (path, *expected.renderings(stage, name))
        if hindered := [f"{each}: {why}" for each in paths if (why := obstacle(each))]:
            found.unreadable.extend(hindered)
        elif not path.is_file():
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
    if not marks.keys() >= set(sources):  # a source that is missing is made first
        return True
    try:
        files = expected.digests(stage, name)
    except LossmapError:  # the job will say what cannot be read
        return False
    if not files and (not sources or expected.files(stage, name)):  # nothing to compare with
        return True
    return mark.inputs == mark_inputs({s: marks[s].content for s in sources} | files)


def is_whole(expected: Expected, target: str) -> bool:
    """Tell whether an artifact on the disk is what it should be, to the last byte.

    So are its renderings.
    """
    stage, name = target.split("/", 1)
    path = expected.path(stage, name)
    found = survey(expected, [target, *expected.sources(stage, name)])
    return target in found.fresh and seal_holds(path) and not find_spoilt(expected, stage, name)


def find_spoilt(expected: Expected, stage: str, name: str) -> dict[Path, str]:
    """Return the renderings of a whole artifact that were not drawn or printed with it, and why."""
    recorded = read_renderings(expected.path(stage, name))
    found: dict[Path, str] = {}
    for path in expected.renderings(stage, name):
        try:
            if hash_file(path) != recorded.get(path.name):
                found[path] = "not as it was drawn or printed; delete it and run again"
        except LossmapError as error:
            found[path] = str(error).removeprefix(f"{path}: ")
    return found


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
        sources += expected.files(stage, name)
        newest = max((path.stat().st_mtime_ns for path in sources if path.is_file()), default=0)
        beside = [*expected.renderings(stage, name), *expected.records(stage, name)]
        for path in (expected.path(stage, name), *beside):
            if path.is_file() and path.stat().st_mtime_ns < newest:
                with suppress(OSError):  # on a read-only disk nothing can be made again either
                    os.utime(path, ns=(newest, newest))
