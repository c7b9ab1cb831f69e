"""Keep artifacts through a change of code that somebody vouches for as cosmetic.

They vouch for one change, from the code of a commit to the present one: what other code has made
has seen another change, and is refused. What is stamped anew says so: its attribute ``adopted``
lists the hashes of the code that really made it, and the reason given.
"""

import io
import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cache
from pathlib import Path

import h5py

from lossmap.artifacts.canonical import canonical_json
from lossmap.artifacts.files import link, sync, write_text, writing
from lossmap.artifacts.jumps import FINISHED
from lossmap.artifacts.provenance import read_resume_folder, resume_folder, resume_note
from lossmap.artifacts.seal import seal
from lossmap.artifacts.store import read_provenance
from lossmap.code.reach import SCRIPTS, Reach
from lossmap.errors import LossmapError, reason
from lossmap.upkeep.audit import Finding, listed, resume_folders
from lossmap.workflow.expected import Expected
from lossmap.workflow.stages import ROOT, STAGES, maker_of
from lossmap.workflow.targets import all_targets, named_targets


class Change:
    """The change of code that somebody vouches for: from some code to the present one.

    Parameters
    ----------
    expected : what artifacts are to be now
    since : a commit, or the hash of the code that made the artifacts
    tree : the files of that commit; None for a hash
    top : the folder that `tree` is a state of
    """

    def __init__(
        self, expected: Expected, since: str, tree: Path | None = None, top: Path = ROOT
    ) -> None:
        self.expected, self.since, self._tree, self._top = expected, since, tree, top
        given = [Path(folder).resolve() for folder in expected.search]
        # A user's modules need not be in the repository: those are taken as they are.
        search = [*map(self._then, given), *(folder for folder in given if folder != SCRIPTS)]
        self._reached = cache(lambda script, roots: Reach(script, roots, search))

    def code(self, stage: str, name: str) -> str:
        """Return the hash of the code that made an artifact, where it has seen this change."""
        return self._reach(stage, name).hash if self._tree else self.since

    def explain(self, stage: str, name: str) -> str:
        """Return which definitions have changed, where that can be told."""
        if self._tree is None:
            return f"made by code {self.since[:12]}"
        before = self._reach(stage, name).definitions()
        now = self.expected.reach(stage, name).definitions()
        changed = {key for key in {*before, *now} if before.get(key) != now.get(key)}
        return f"changed since {self.since}: {listed(sorted(changed)) or 'names of imports'}"

    def _reach(self, stage: str, name: str) -> Reach:
        """Return the code that could reach an artifact then."""
        script = maker_of(self.expected.config, stage, name).script
        return self._reached(self._then(script), self.expected.reached(stage, name))

    def _then(self, path: Path) -> Path:
        """Return where a file or folder lies in the commit, itself where it does not."""
        if self._tree is None or not path.is_relative_to(self._top):
            return path
        return self._tree / path.relative_to(self._top)


@contextmanager
def open_change(expected: Expected, since: str) -> Iterator[Change]:
    """Give the change from a commit, or from a hash of code, to the present.

    Raises
    ------
    LossmapError
        There is no such commit.
    """
    if re.fullmatch("[0-9a-f]{64}", since):
        yield Change(expected, since)
        return
    with tempfile.TemporaryDirectory() as folder:
        try:
            top = Path(_git(ROOT, "rev-parse", "--show-toplevel").decode().strip())
            packed = _git(top, "archive", "--format=tar", "--end-of-options", since)
        except (OSError, subprocess.CalledProcessError) as error:
            raise LossmapError(
                f"--from {since}: expected a commit of {ROOT}, or a hash of code of 64 digits as "
                f"artifacts hold it, got neither ({_git_reason(error)})"
            ) from error
        with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
            tar.extractall(folder, filter="tar")
        yield Change(expected, since, Path(folder).resolve(), top.resolve())


def _git(folder: Path, *words: str) -> bytes:
    command = ["git", "-C", str(folder), *words]
    return subprocess.run(command, capture_output=True, check=True).stdout


def _git_reason(error: Exception) -> str:
    said = getattr(error, "stderr", b"").decode(errors="replace")
    return " ".join(said.split()) or reason(error)


def find_targets(config: dict, words: Iterable[str]) -> set[str]:
    """Return the artifacts that are named: by stage, as ``stage/name``, or as a target.

    Raises
    ------
    LossmapError
        A word names none.
    """
    known, named = all_targets(config), {"all": all_targets(config), **named_targets(config)}
    found: set[str] = set()
    for word in words:
        some = named.get(word) or [one for one in known if word in (one, one.partition("/")[0])]
        if not some:
            raise LossmapError(
                f"--targets {word}: expected a stage ({', '.join(STAGES)}), an artifact such as "
                f"{known[0]}, or a target such as 'all'; correct it"
            )
        found.update(some)
    return found


def split_adoptable(
    found: Iterable[Finding], targets: Collection[str], change: Change
) -> tuple[list[Finding], list[Finding]]:
    """Return of the targets what has seen no other change, and everything else that is wrong.

    What is missing or orphaned is neither: there is nothing to adopt, and nothing that hinders.
    """
    adoptable, refused = [], []
    for finding in found:
        if finding.kind not in ("stale", "damaged") or "/".join(finding.target) not in targets:
            continue
        if finding.parts != ("code",):
            refused.append(finding)
        elif (made_by := read_provenance(finding.path).code) == change.code(*finding.target):
            adoptable.append(replace(finding, why=change.explain(*finding.target)))
        else:
            why = f"made by code {made_by}, not by that of {change.since}: other changes too"
            refused.append(replace(finding, why=why))
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


def find_resume_points(change: Change, targets: Collection[str]) -> list[tuple[Path, Path]]:
    """Return resume points of targets that have seen no other change, and where they belong now."""
    expected, found = change.expected, []
    for stage, folder in resume_folders(expected):
        name, made_by = folder.name.rpartition("-")[0], read_resume_folder(folder)
        if made_by is None or f"{stage}/{name}" not in targets:
            continue
        now = expected.of_resume_points(stage, name, made_by.inputs)
        target = resume_folder(expected.path(stage, name), now)
        same = made_by.spec == now.spec and made_by.code == change.code(stage, name)
        if same and folder.is_dir() and not target.exists():
            found.append((folder, target))
    return found


def adopt_resume_points(expected: Expected, folder: Path, target: Path) -> None:
    """Give resume points the place that those of the present code have."""
    stage, name = folder.parent.name, folder.name.rpartition("-")[0]
    now = expected.of_resume_points(stage, name, read_resume_folder(folder).inputs)
    write_text(resume_note(target), canonical_json(now.record()))
    os.replace(folder, target)
    resume_note(folder).unlink()
    _link_again(expected.path(stage, name), target / FINISHED)


def _link_again(artifact: Path, finished: Path) -> None:
    """Let the second name of a finished direction be that of the adopted file."""
    if finished.exists() and artifact.exists() and not finished.samefile(artifact):
        finished.unlink()
        with suppress(OSError):  # no hard links here: a new step size would train all anew
            link(artifact, finished)
