"""What every artifact should be: its specification, the hash of its code, and its mark.

The rules hand these to their jobs, and what is found on the disk is compared with them: in one
place, so that a rule and an audit never disagree.
"""

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from lossmap.artifacts.canonical import canonical_json
from lossmap.artifacts.jumps import spec_of_resume_points
from lossmap.artifacts.provenance import Provenance
from lossmap.artifacts.store import read_provenance
from lossmap.workflow import specs
from lossmap.workflow.codehash import hash_code

SCRIPTS = {
    **{stage: f"{stage}.py" for stage in specs.STAGES},
    "claims": "ledger.py",
}
RENDERINGS = {
    "figure": ("pdf", "png"),
    "table": ("csv", "tex", "html"),
    "claims": ("csv", "html"),
}
NETWORK_STAGES = ("trajectory", "jumps", "grid", "projection")
"""Their code depends on the network of the run, which is found by its name at run time."""


class Recipes:
    """The recipe of every artifact of a configuration.

    Parameters
    ----------
    config : checked configuration
    scripts : folder of the entry scripts
    search : folders of local modules, see `hash_code`
    results : folder of this scale's artifacts
    movie : suffix of animations

    Raises
    ------
    LossmapError
        A factory's module is missing or no valid Python: before any job starts.
    """

    def __init__(
        self,
        config: dict,
        scripts: Path,
        search: Sequence[str | Path],
        results: str | Path,
        movie: str = "mp4",
    ) -> None:
        self.config, self.scripts, self.search = config, scripts, search
        self.results, self.movie = Path(results), movie
        self._factories = {run: specs.factory_of(config, run) for run in config["runs"]}
        self._hashes = {
            (script, factory): hash_code(scripts / script, (factory,), search)
            for script in (SCRIPTS[stage] for stage in NETWORK_STAGES)
            for factory in sorted(set(self._factories.values()))
        }

    def path(self, stage: str, name: str) -> Path:
        """Return the path of an artifact."""
        return self.results / stage / f"{name}.h5"

    def renderings(self, stage: str, name: str) -> list[Path]:
        """Return what lies beside an artifact for people to look at."""
        suffixes = RENDERINGS | {"animation": (self.movie,)}
        return [self.results / stage / f"{name}.{suffix}" for suffix in suffixes.get(stage, ())]

    def records(self, stage: str, name: str) -> list[Path]:
        """Return the benchmark and the log of the job that makes an artifact."""
        job = specs.job_name(self.config, stage, name)
        return [
            self.results / kind / stage / f"{job}.{suffix}"
            for kind, suffix in (("benchmark", "tsv"), ("log", "log"))
        ]

    def spec(self, stage: str, name: str) -> str:
        """Return the canonical JSON of an artifact's specification."""
        if self.is_kept(stage, name):
            return read_provenance(self.path(stage, name)).spec
        return canonical_json(specs.spec_of(self.config, stage, name))

    def code(self, stage: str, name: str) -> str:
        """Return the hash of the code that can reach an artifact."""
        if self.is_kept(stage, name):
            return read_provenance(self.path(stage, name)).code
        if stage in NETWORK_STAGES:
            run = specs.run_of(self.config, stage, name)
            return self._hashes[SCRIPTS[stage], self._factories[run]]
        roots = specs.claim_roots(self.config, name) if stage == "claims" else ()
        return self._plain[script_of(stage, name), roots]

    @cached_property
    def _plain(self) -> dict[tuple[str, tuple[str, ...]], str]:
        """The hashes of what needs no network, by script and further roots."""
        scripts = [SCRIPTS[stage] for stage in SCRIPTS if stage not in NETWORK_STAGES]
        needed = {(script, ()) for script in (*scripts, script_of("claims", specs.LEDGER))}
        for paper in self.config["claims"]:
            needed.add((script_of("claims", paper), specs.claim_roots(self.config, paper)))
        return {
            (script, roots): hash_code(self.scripts / script, roots, self.search)
            for script, roots in sorted(needed)
        }

    def is_kept(self, stage: str, name: str) -> bool:
        """Tell whether an artifact is taken as it is, whatever made it: a data set, if so wished.

        Results that were copied from elsewhere hold their images, but not the files they came from.
        """
        kept = stage == "dataset" and self.config["keep_datasets"]
        return kept and self.path(stage, name).is_file()

    def of_resume_points(self, stage: str, name: str, inputs: Mapping[str, str]) -> Provenance:
        """Return what the resume points of a run or a direction, begun now, would belong to."""
        spec = self.spec(stage, name)
        if stage == "jumps":
            spec = spec_of_resume_points(json.loads(spec))
        return Provenance(spec, self.code(stage, name), inputs)


def script_of(stage: str, name: str) -> str:
    """Return the entry script that makes an artifact."""
    return "joined_ledger.py" if (stage, name) == ("claims", specs.LEDGER) else SCRIPTS[stage]
