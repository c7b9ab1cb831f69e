"""What made an artifact, and which job is making it now.

A workflow that is killed leaves jobs behind, and a cluster may start one twice. Each job therefore
announces what it makes when it begins, and gives its result the artifact's name only while no later
job has announced the same: a job left over from an earlier configuration cannot replace what was
made since.
"""

import atexit
import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from filelock import FileLock, Timeout

from lossmap.artifacts.canonical import canonical_json
from lossmap.artifacts.files import link, write_text
from lossmap.artifacts.seal import Mark, fingerprint_of, mark_inputs
from lossmap.errors import LossmapError

logger = logging.getLogger("lossmap")
_held: list[FileLock] = []
"""Of this process: a lock falls when its object is collected."""

Sources = Mapping[str, Path]
"""Path of each artifact that another is made from, by ``stage/name``."""


@dataclass(frozen=True)
class Provenance:
    """What made an artifact: canonical JSON of its parameters, hash of its code, input digests.

    ``job`` is the name that a job announced itself by, None outside a job; it is not stored.
    ``renderings`` are the files beside artifacts that the job writes before these; of each, its
    SHA-256 is stored.
    """

    spec: str
    code: str
    inputs: Mapping[str, str]
    job: str | None = field(default=None, compare=False)
    renderings: tuple[Path, ...] = field(default=(), compare=False)

    def parameters(self) -> dict:
        """Return the parameters as a dictionary."""
        return json.loads(self.spec)

    def record(self) -> dict:
        """Return the parts that are stored."""
        return {"spec": self.spec, "code": self.code, "inputs": dict(self.inputs)}

    def split(self, paths: Iterable[str | Path]) -> dict[Path, "Provenance"]:
        """Return the provenance of each artifact of a job whose spec holds theirs by name.

        Which artifacts share a job is no parameter of theirs: it may change without a rebuild.
        """
        specs = self.parameters()
        return {
            path: replace(self, spec=canonical_json(specs[path.stem])) for path in map(Path, paths)
        }

    def of_each(self, paths: Iterable[str | Path]) -> dict[Path, "Provenance"]:
        """Return the provenance of each artifact of any job, whether it makes one or several."""
        paths = [Path(path) for path in paths]
        if {path.stem for path in paths} <= self.parameters().keys():
            return self.split(paths)
        return dict.fromkeys(paths, self)

    def mark(self, content: str) -> Mark:
        """Return the mark of an artifact with the given content digest."""
        return Mark(fingerprint_of(self.spec, self.code), mark_inputs(self.inputs), content)


def announce(provenance: Provenance, outputs: Iterable[str | Path]) -> str:
    """Announce that a job is starting on some artifacts, and return the name it is known by.

    Equal jobs have the same name: one may finish what the other left.

    Raises
    ------
    LossmapError
        The results cannot be written.
    """
    job = f"{fingerprint_of(provenance.spec, provenance.code)}-{mark_inputs(provenance.inputs)}"
    for path in map(Path, outputs):
        if path.suffix == ".h5":
            write_text(_announcement(path), job)
    return job


def check_latest(path: str | Path, provenance: Provenance) -> None:
    """Refuse a result that a later job has begun to make, or has made, in another way.

    Raises
    ------
    LossmapError
        A later job has begun to make this artifact in another way, or has made it.
    """
    if provenance.job is None:
        return
    try:
        latest = _announcement(Path(path)).read_text()
    except OSError:
        latest = None
    if latest != provenance.job:
        raise LossmapError(
            f"{path}: not replaced: since this job began, another has begun or finished with other "
            "settings; this one was left over from a workflow that was killed, nothing is lost"
        )


def withdraw(path: str | Path, provenance: Provenance) -> None:
    """Remove a job's own announcement of a finished artifact, never that of another job."""
    announced = _announcement(Path(path))
    if provenance.job and announced.is_file() and announced.read_text() == provenance.job:
        announced.unlink(missing_ok=True)


def wait_for_equal(path: str | Path, provenance: Provenance) -> None:
    """Wait until no equal job runs, and let equal jobs wait until this process has ended.

    Without file locks, equal jobs run side by side.
    """
    folder = resume_folder(path, provenance)
    lock = FileLock(folder.with_name(f"{folder.name}.job.lock"))
    with suppress(OSError, NotImplementedError):
        try:
            lock.acquire(timeout=0)
        except Timeout:
            logger.info("waiting for an equal job that was left over from a killed workflow")
            lock.acquire()
    _held.append(lock)


@atexit.register
def _remove_locks() -> None:
    for lock in _held:
        with suppress(OSError):
            Path(lock.lock_file).unlink()


def expect_orphan(path: str | Path) -> None:
    """Have a job that may be left over keep a second name of what it makes, in Snakemake's absence.

    Snakemake removes an artifact before a job that makes it, and after one that fails, whoever has
    made it.
    """
    with suppress(OSError):  # read-only: nothing can be removed either
        second_name(path).parent.mkdir(parents=True, exist_ok=True)
        second_name(path).touch()


def forget_orphan(path: str | Path) -> None:
    """Remove the second name of what a job that was left over has made, or was to make."""
    with suppress(OSError):
        second_name(path).unlink()


def keep_if_expected(path: str | Path) -> None:
    """Give a finished artifact its second name, if `expect_orphan` has asked for it."""
    if second_name(path).exists():
        with suppress(OSError):  # no hard links here
            link(path, second_name(path))


def second_name(path: str | Path) -> Path:
    """Return the name under which the result of a job that was left over is kept."""
    return _announcement(Path(path)).with_suffix(".orphan")


def resume_folder(artifact: str | Path, provenance: Provenance) -> Path:
    """Return where the resume points of an artifact lie, named by spec, code and inputs."""
    artifact = Path(artifact)
    made_by = f"{provenance.spec}|{provenance.code}|{sorted(provenance.inputs.items())}"
    mark = hashlib.sha256(made_by.encode()).hexdigest()[:16]
    return artifact.parent.parent / ".resume" / artifact.parent.name / f"{artifact.stem}-{mark}"


def owner_of(provenance: Provenance) -> str:
    """Return what a resume point says it belongs to: all but the code, which `adopt` may change."""
    return canonical_json([provenance.spec, dict(provenance.inputs)])


def open_resume_folder(artifact: str | Path, provenance: Provenance) -> Path:
    """Return the folder of an artifact's resume points and note beside it what it belongs to.

    The note lets `adopt` keep resume points through a change of code that someone vouches for.

    Raises
    ------
    LossmapError
        The results cannot be written.
    """
    folder = resume_folder(artifact, provenance)
    write_text(resume_note(folder), canonical_json(provenance.record()))
    return folder


def resume_note(folder: Path) -> Path:
    """Return the file that says what a folder of resume points belongs to."""
    return folder.with_suffix(".json")


def read_resume_folder(folder: Path) -> Provenance | None:
    """Return what a folder of resume points belongs to, None if it does not say."""
    try:
        found = json.loads(resume_note(folder).read_text())
        parts = found["spec"], found["code"], found["inputs"]
    except (OSError, ValueError, TypeError, LookupError):
        return None
    return Provenance(*parts) if [*map(type, parts)] == [str, str, dict] else None


def _announcement(path: Path) -> Path:
    return path.parent.parent / ".resume" / path.parent.name / f"{path.stem}.job"
