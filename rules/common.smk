# Helpers that the rules share; no rule. The thinking is in workflow_scripts/lossmap/workflow.
import os
import re
import sys
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(workflow.basedir)
sys.path.insert(0, str(ROOT / "workflow_scripts"))

from lossmap.artifacts.store import canonical_json
from lossmap.devices import list_visible_gpus
from lossmap.errors import LossmapError
from lossmap.figures.movies import choose_movie
from lossmap.workflow import specs
from lossmap.workflow.codehash import hash_code
from lossmap.workflow.configuration import load_configuration
from lossmap.workflow.costs import measure_cost, time_limit
from lossmap.workflow.estimate import estimate_spec
from lossmap.workflow.specs import all_targets, closure, named_targets


@contextmanager
def one_line():
    """End with the message of an expected error alone; Snakemake adds its frames to exceptions."""
    try:
        yield
    except LossmapError as error:
        sys.exit(f"error: {error}")


with one_line():
    config = load_configuration(ROOT / "config", config)

RESULTS = f"results/{config['scale']}"
GPUS = list_visible_gpus()
USE_GPU = config["device"] == "cuda" or (config["device"] == "auto" and bool(GPUS))
SEARCH = (
    ROOT / "workflow_scripts",
    Path.cwd(),
    *(Path(entry) for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry),
)

MOVIE = choose_movie()

# Jinja in a caption sees the configuration but no files: captions/caption.rst looks its text up here.
CAPTIONS = {path.stem: str(path) for path in sorted((ROOT / "rules/captions").glob("*_*.rst"))}
config["captions"] = CAPTIONS

# Snakemake counts `gpu` but knows no devices: without a limit it would start every GPU job at once.
if GPUS and workflow.local_exec and not workflow.remote_exec:
    workflow.global_resources.setdefault("gpu", len(GPUS) * config["jobs_per_gpu"])


def artifact(stage, name):
    """Return the path of an artifact."""
    return f"{RESULTS}/{stage}/{name}.h5"


def renderings(stage, name):
    """Return what lies beside an artifact for people to look at."""
    suffixes = {
        "figure": ("pdf", "png"),
        "table": ("csv", "tex", "html"),
        "claims": ("csv", "html"),
        "animation": (MOVIE,),
    }
    return [f"{RESULTS}/{stage}/{name}.{suffix}" for suffix in suffixes.get(stage, ())]


def paths(targets):
    """Return the files of artifacts given as stage/name."""
    pairs = [target.split("/", 1) for target in targets]
    return [path for pair in pairs for path in (artifact(*pair), *renderings(*pair))]


def upstream(stage):
    """Return an input function: the paths of what an artifact of this stage is made from."""
    return lambda wildcards: [
        artifact(*source.split("/", 1)) for source in specs.sources(config, stage, wildcards.name)
    ]


def one_upstream(stage, kind):
    """Return an input function: the one input of a given kind."""
    return lambda wildcards: next(
        artifact(*source.split("/", 1))
        for source in specs.sources(config, stage, wildcards.name)
        if source.startswith(f"{kind}/")
    )


def spec(make):
    """Return a params function: the canonical JSON of an artifact's specification."""
    return lambda wildcards: canonical_json(make(config, wildcards.name))


def specs_of(make, names):
    """Return the canonical JSON of the specifications of the artifacts that one job makes."""
    return canonical_json({name: make(config, name) for name in names})


def code(script, stage=None):
    """Return the hash of the code that a rule can reach, or a params function for it.

    The network of a run is found by its name at run time, so it is named here. All are hashed at
    once: a factory whose module is missing is an error before any job starts.
    """
    if stage is None:
        with one_line():
            return hash_code(ROOT / "workflow_scripts" / script, (), SEARCH)
    hashes = network_code(script)
    return lambda wildcards: hashes[specs.run_of(config, stage, wildcards.name)]


def network_code(script):
    """Return the hash of the code that a rule can reach, by the run whose network it builds."""
    factories = {run: specs.factory_of(config, run) for run in config["runs"]}
    path = ROOT / "workflow_scripts" / script
    with one_line():
        hashes = {
            name: hash_code(path, (name,), SEARCH) for name in sorted(set(factories.values()))
        }
    return {run: hashes[factory] for run, factory in factories.items()}


def threads_of(stage):
    """Return the threads of a stage's jobs."""
    return config["resources"]["threads"].get(stage, 1)


def memory(stage, names=None):
    """Return a resource function: megabytes for the artifact or the given ones, more at each attempt."""
    return lambda wildcards, attempt: attempt * max(
        measure_cost(config, stage, name).memory_mb for name in names or [wildcards.name]
    )


def runtime(stage, names=None):
    """Return a resource function: minutes for the artifact or the given ones, more at each attempt."""
    return lambda wildcards, attempt: attempt * time_limit(
        config, stage, names or [wildcards.name], USE_GPU
    )


def names(registry):
    """Return a wildcard constraint that admits the names of a registry and nothing else."""
    return "|".join(config[registry]) or "(?!)"


def in_report(path, subcategory, caption="captions/caption.rst"):
    """Return an output that the report shows among its paper's, by the title of its caption."""
    return report(
        path,
        caption=caption,
        category=lambda wildcards: wildcards.name.split("_")[0],
        subcategory=subcategory,
        # One label: of two things with two labels each, Snakemake makes a switch that breaks.
        labels=lambda wildcards: {"shows": title_of(wildcards.name)},
    )


def title_of(name):
    """Return the first line of a caption, numbers padded so that 10 is listed after 9."""
    if name not in CAPTIONS:
        return name
    first = Path(CAPTIONS[name]).read_text(encoding="utf-8").splitlines()[0]
    return re.sub(r"^(\w+) (\d)\b", "\\1 \u2007\\2", first)
