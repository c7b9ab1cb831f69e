"""Keep artifacts through a change of code that somebody vouches for as cosmetic.

What is stamped anew says so: its attribute ``adopted`` lists the hashes of the code that really
made it, and the reason given.
"""

import json
import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import h5py

from lossmap.artifacts.canonical import canonical_json
from lossmap.artifacts.files import sync, write_text, writing
from lossmap.artifacts.jumps import FINISHED
from lossmap.artifacts.provenance import read_resume_folder, resume_folder, resume_note
from lossmap.artifacts.seal import seal
from lossmap.artifacts.store import read_provenance
from lossmap.upkeep.audit import Finding, resume_folders
from lossmap.workflow.expected import Expected
from lossmap.workflow.stages import STAGES


def split_adoptable(found: list[Finding]) -> tuple[list[Finding], list[Finding]]:
    """Return the artifacts of which only the code is stale, and everything else that is wrong.

    What is missing or orphaned is neither: there is nothing to adopt, and nothing that hinders.
    """
    adoptable = [finding for finding in found if finding.parts == ("code",)]
    refused = [
        finding
        for finding in found
        if finding.kind in ("stale", "damaged") and finding.parts != ("code",)
    ]
    return adoptable, refused


def adopt_artifact(path: Path, code: str, because: str) -> None:
    """Stamp one artifact with the hash of the present code, atomically; its time stays as it is.

    Raises
    ------
    LossmapError
        The results cannot be written.
    """
    temporary = None
    with writing(path):
        try:
            handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
            os.close(handle)
            shutil.copy2(path, temporary)
            before = read_provenance(path)
            with h5py.File(temporary, "r+") as file:
                earlier = json.loads(file.attrs.get("adopted", "[]"))
                entry = {"code": before.code, "because": because}
                file.attrs["adopted"] = canonical_json([*earlier, entry])
                file.attrs["code"] = code
                content = str(file.attrs["digest"])
            seal(temporary, replace(before, code=code).mark(content))
            shutil.copystat(path, temporary)
            sync(temporary)
            os.replace(temporary, path)
        finally:
            if temporary and os.path.exists(temporary):
                os.unlink(temporary)


def adopt_resume_points(expected: Expected) -> list[Path]:
    """Keep resume points of which nothing but the code has changed; return their new folders."""
    kept = []
    for stage, folder in resume_folders(expected):
        name, made_by = folder.name.rpartition("-")[0], read_resume_folder(folder)
        if made_by is None or name not in STAGES[stage].names(expected.config):
            continue
        now = expected.of_resume_points(stage, name, made_by.inputs)
        target = resume_folder(expected.path(stage, name), now)
        if made_by.spec == now.spec and folder.is_dir() and not target.exists():
            write_text(resume_note(target), canonical_json(now.record()))
            os.replace(folder, target)
            resume_note(folder).unlink()
            _link_again(expected.path(stage, name), target / FINISHED)
            kept.append(target)
    return kept


def _link_again(artifact: Path, finished: Path) -> None:
    """Let the second name of a finished direction be that of the adopted file."""
    if finished.exists() and artifact.exists() and not finished.samefile(artifact):
        finished.unlink()
        with suppress(OSError):  # no hard links here: a new step size would train all anew
            os.link(artifact, finished)
