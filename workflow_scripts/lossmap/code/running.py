"""A job runs the code that was hashed: it imports from the very bytes that it has hashed.

Between the moment that Snakemake notes a hash and the last import of a job, files may change: by an
editor, by a `git checkout` during a long run. So a job hashes its sources before it imports them,
refuses to begin when that is not the hash that it was told, and imports local modules, early or
late, from what it has read then. What it cannot hold fast so, it looks at again before it saves.
"""

import linecache
import sys
import time
from collections.abc import Mapping
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import decode_source, spec_from_file_location
from pathlib import Path

from lossmap.code.reach import MAIN, Reach, is_installed, state_of
from lossmap.code.syntax import DEPENDS, Module
from lossmap.errors import LossmapError

PREAMBLE_END = b"######## snakemake preamble end #########\n"
"""What Snakemake puts before the text of a script ends so."""


class _Loader(SourceFileLoader):
    """Runs a module from the bytes that were hashed, whatever its file or a cache of it holds."""

    def __init__(self, module: Module) -> None:
        super().__init__(module.name, str(module.path))
        self.source = module.source

    def get_data(self, path: str) -> bytes:
        return self.source if path == self.path else super().get_data(path)

    def get_code(self, fullname: str) -> object:
        # What reads a function's text (torch.jit, a traceback) is to read that of the same bytes.
        lines = decode_source(self.source).splitlines(keepends=True)
        linecache.cache[self.path] = (len(self.source), None, lines, self.path)
        return self.source_to_code(self.source, self.path)


class _Finder(MetaPathFinder):
    """Finds the modules that were hashed, before every other finder."""

    def __init__(self, modules: Mapping[str, Module]) -> None:
        self.modules = modules

    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:
        module = self.modules.get(fullname)
        if module is None or module.path is None:
            return None
        places = [str(module.folder)] if module.folder else None
        return spec_from_file_location(
            fullname, module.path, loader=_Loader(module), submodule_search_locations=places
        )


class _Job:
    """What a running job has hashed."""

    def __init__(self, reach: Reach) -> None:
        self.reach = reach
        self.loaded = set(sys.modules)

    def check(self) -> None:
        """Refuse local modules that were not hashed, and files that have changed since."""
        hashed = {str(path) for path in self.reach.files()}
        for name in reversed([name for name in sys.modules if name not in self.loaded]):
            # From its dictionary: a module such as torch.ops makes what it is asked for.
            spec = getattr(sys.modules[name], "__dict__", {}).get("__spec__")
            file = getattr(spec, "origin", None)
            if file and file not in hashed and self._is_local(file):
                raise LossmapError(
                    f"{file}: module {name!r} was imported, but it is not part of the hash of the "
                    "code; import it by a statement and put its folder on PYTHONPATH, or list the "
                    f"file in {DEPENDS}"
                )
        for file, state in self.reach.data.items():
            if not file.exists() or state_of(file) != state:
                raise LossmapError(
                    f"{file}: listed in {DEPENDS}, and changed while this job ran; leave it alone "
                    "and run again, what was trained until now is kept"
                )

    def _is_local(self, file: str) -> bool:
        path = Path(file)
        for folder in (*self.reach.folders, *map(Path.absolute, map(Path, sys.path))):
            if path.is_relative_to(folder):
                inside = path.relative_to(folder).parts
                hidden = any(part.startswith(".") for part in inside)
                return not (hidden or is_installed(path) or path.is_relative_to(sys.base_prefix))
        return False


_jobs: list[_Job] = []
"""Of this process: none or one."""


def run_as_hashed() -> None:
    """In a job, import local modules from here on as they were hashed; elsewhere do nothing.

    Raises
    ------
    LossmapError
        The sources are not those that the job's hash of the code was made of.
    """
    main = sys.modules[MAIN]
    if _jobs or not hasattr(main, "__real_file__") or not hasattr(main.snakemake.params, "code"):
        return
    job = main.snakemake
    _, end, source = Path(main.__real_file__).read_bytes().partition(PREAMBLE_END)
    search = job.config.get("code_folders")
    roots = job.params.get("roots", ())
    reach = Reach(main.__file__, roots, search, source if end else None)
    if reach.hash != job.params.code:
        raise LossmapError(_explain(reach))
    _jobs.append(_Job(reach))
    sys.meta_path.insert(0, _Finder(reach.modules))


def job_log() -> str:
    """Return the log file of the running job."""
    return sys.modules[MAIN].snakemake.log[0]


def check_what_ran() -> None:
    """Refuse a result of which other code, or another file, may have been part than was hashed.

    Raises
    ------
    LossmapError
        A local module was imported that was not hashed, or a file that one depends on has changed.
    """
    for job in _jobs:
        job.check()


def _explain(reach: Reach) -> str:
    """Return what has happened, with the file that was changed last."""
    changed = {file: file.stat().st_mtime for file in reach.files() if file.is_file()}
    last = max(changed, key=changed.get)
    when = time.strftime("%H:%M:%S", time.localtime(changed[last]))
    return (
        f"{last}: the code has changed since this workflow was started (this file last, at {when});"
        " nothing was computed with it; run snakemake again, what is made is kept"
    )
