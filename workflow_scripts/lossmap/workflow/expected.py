"""What every artifact should be: its specification, the hash of its code, and its files.

The rules hand these to their jobs, and what is found on the disk is compared with them: in one
place, so that a rule and an audit never disagree.
"""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from lossmap.artifacts.canonical import canonical_json
from lossmap.artifacts.provenance import Provenance
from lossmap.artifacts.store import read_provenance, trace_inputs
from lossmap.code.reach import LocalModules, Reach
from lossmap.workflow.digests import Digests
from lossmap.workflow.stages import STAGES, Pack, maker_of, pack_of, sources, spec_of
from lossmap.workflow.targets import all_targets


class Expected:
    """Specification, code and files of every artifact of a configuration.

    Parameters
    ----------
    config : checked configuration
    search : folders of local modules, see `hash_code`
    results : folder of this scale's artifacts
    movie : suffix of animations

    Raises
    ------
    LossmapError
        The module of a network's factory is missing or no valid Python: before any job starts.
    """

    def __init__(
        self,
        config: dict,
        search: Sequence[str | Path],
        results: str | Path,
        movie: str = "mp4",
    ) -> None:
        self.config, self.search = config, search
        self.results, self.movie = Path(results), movie
        local = LocalModules(search)
        self._reach = cache(lambda script, reached: Reach(script, reached, local))
        for target in all_targets(config):
            self._code(*target.split("/", 1))

    def path(self, stage: str, name: str) -> Path:
        """Return the path of an artifact."""
        return self.results / stage / f"{name}.h5"

    def renderings(self, stage: str, name: str) -> list[Path]:
        """Return the files beside an artifact that people look at."""
        suffixes = [suffix.format(movie=self.movie) for suffix in STAGES[stage].renderings]
        return [self.results / stage / f"{name}.{suffix}" for suffix in suffixes]

    def records(self, stage: str, name: str) -> list[Path]:
        """Return the benchmark and the log of the job that makes an artifact."""
        job = pack_of(self.config, stage, name).names[0]
        return [
            self.results / "benchmark" / stage / f"{job}.tsv",
            self.results / "log" / stage / f"{job}.log",
        ]

    def spec(self, stage: str, name: str) -> str:
        """Return the canonical JSON of an artifact's specification."""
        if self.is_kept(stage, name):
            return read_provenance(self.path(stage, name)).spec
        return canonical_json(spec_of(self.config, stage, name))

    def job_spec(self, stage: str, pack: Pack) -> str:
        """Return what a job is told: a specification, or those of a pack's artifacts by name."""
        if maker_of(self.config, stage, pack.names[0]).packs is None:
            return self.spec(stage, pack.stem)
        return canonical_json({name: json.loads(self.spec(stage, name)) for name in pack.names})

    def code(self, stage: str, name: str) -> str:
        """Return the hash of the code that can reach an artifact."""
        if self.is_kept(stage, name):
            return read_provenance(self.path(stage, name)).code
        return self._code(stage, name)

    def _code(self, stage: str, name: str) -> str:
        return self.reach(stage, name).hash

    def reach(self, stage: str, name: str) -> Reach:
        """Return the code that can reach an artifact."""
        script = maker_of(self.config, stage, name).script
        return self._reach(script, self.reached(stage, name))

    def reached(self, stage: str, name: str) -> tuple[str, ...]:
        """Return every function that its code finds by name at run time, ``module:function``."""
        return maker_of(self.config, stage, name).reached(self.config, name)

    def sources(self, stage: str, name: str) -> list[str]:
        """Return the artifacts that one artifact is made from, as ``stage/name``."""
        return sources(self.config, stage, name)

    def files(self, stage: str, name: str) -> list[Path]:
        """Return the files outside of the results that an artifact is made from."""
        find = maker_of(self.config, stage, name).files
        return [] if find is None or self.is_kept(stage, name) else find(self.config, name)

    def digests(self, stage: str, name: str) -> dict[str, str]:
        """Return the digests of those files by name, none where one of them is not there.

        Raises
        ------
        LossmapError
            One cannot be read.
        """
        files = self.files(stage, name)
        if not all(file.is_file() for file in files):
            return {}
        return trace_inputs(files, self.results, Digests(self.results / ".digests.json"))

    def is_kept(self, stage: str, name: str) -> bool:
        """Tell whether an artifact is used as it is, whatever made it: data sets, if so configured.

        Results that were copied from elsewhere hold their images, but not the files they came from.
        """
        maker = maker_of(self.config, stage, name)
        outside = maker.files is not None and maker.run is None
        return outside and self.config["keep_datasets"] and self.path(stage, name).is_file()

    def of_resume_points(self, stage: str, name: str, inputs: Mapping[str, str]) -> Provenance:
        """Return what the resume points of an artifact, begun now, would belong to."""
        reduce = maker_of(self.config, stage, name).resume_spec
        spec = reduce(json.loads(self.spec(stage, name)))
        return Provenance(spec, self.code(stage, name), inputs)
