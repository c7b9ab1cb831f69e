"""What made an artifact, and which job is making it now.

A workflow that is killed leaves jobs behind, and a cluster may start one twice. Each job therefore
announces what it makes when it begins, and gives its result the artifact's name only while no later
job has announced the same: a job left over from an earlier configuration cannot replace what was
made since.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from lossmap.artifacts.canonical import canonical_json
from lossmap.artifacts.files import write_text
from lossmap.artifacts.seal import Mark, fingerprint_of, mark_inputs
from lossmap.errors import LossmapError

Sources = Mapping[str, Path]
"""Path of each artifact that another is made from, by ``stage/name``."""


@dataclass(frozen=True)
class Provenance:
    """What made an artifact: canonical JSON of its parameters, hash of its code, input digests.

    ``job`` is the name that a job announced itself by, None outside a job; it is not stored.
    """

    spec: str
    code: str
    inputs: Mapping[str, str]
    job: str | None = field(default=None, compare=False)

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


def resume_folder(artifact: str | Path, provenance: Provenance) -> Path:
    """Return where the resume points of an artifact lie, named by spec, code and inputs."""
    artifact = Path(artifact)
    made_by = f"{provenance.spec}|{provenance.code}|{sorted(provenance.inputs.items())}"
    mark = hashlib.sha256(made_by.encode()).hexdigest()[:16]
    return artifact.parent.parent / ".resume" / artifact.parent.name / f"{artifact.stem}-{mark}"


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
        return Provenance(**json.loads(resume_note(folder).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _announcement(path: Path) -> Path:
    return path.parent.parent / ".resume" / path.parent.name / f"{path.stem}.job"
