# Helpers that the rules share; no rule. The thinking is in workflow_scripts/lossmap/workflow.
import re
import sys
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(workflow.basedir)
sys.path.insert(0, str(ROOT / "workflow_scripts"))

from lossmap.artifacts.canonical import canonical_json
from lossmap.devices import list_visible_gpus
from lossmap.errors import LossmapError
from lossmap.figures.movies import choose_movie
from lossmap.workflow import specs
from lossmap.workflow.codehash import hash_code, search_folders
from lossmap.workflow.configuration import load_configuration
from lossmap.workflow.costs import measure_cost, time_limit
from lossmap.workflow.estimate import estimate_spec
from lossmap.workflow.freshness import mend_times, survey
from lossmap.workflow.recipes import Recipes
from lossmap.workflow.targets import all_targets, whole_targets


@contextmanager
def one_line():
    """End with the message of an expected error alone; Snakemake adds its frames to exceptions."""
    try:
        yield
    except LossmapError as error:
        sys.exit(f"error: {error}")


with one_line():
    config = load_configuration(ROOT / "config", config)

# The executor is not known yet: one that submits jobs has --jobs, a local one or a dry run has cores.
GIVEN = workflow.resource_settings
SUBMITS = workflow.is_main_process and GIVEN.nodes is not None and GIVEN.cores is None

# Where Snakemake runs says nothing of where its jobs will: a login node has no GPU, or another one.
if SUBMITS and config["device"] == "auto":
    sys.exit(
        "error: configuration: device is 'auto', which asks for a GPU where one is visible to "
        "Snakemake itself, but its jobs run elsewhere; set device=cuda or device=cpu"
    )

RESULTS = f"results/{config['scale']}"
GPUS = list_visible_gpus()
USE_GPU = config["device"] == "cuda" or (config["device"] == "auto" and bool(GPUS))
SEARCH = search_folders()
MOVIE = choose_movie()

with one_line():
    RECIPES = Recipes(config, ROOT / "workflow_scripts", SEARCH, RESULTS, MOVIE)

# Jinja in a caption sees the configuration but no files: captions/caption.rst looks its text up here.
CAPTIONS = {path.stem: str(path) for path in sorted((ROOT / "rules/captions").glob("*_*.rst"))}
config["captions"] = CAPTIONS

# Snakemake counts `gpu` but knows no devices: without a limit it would start every GPU job at once.
if GPUS and not SUBMITS and not workflow.remote_exec:
    workflow.global_resources.setdefault("gpu", len(GPUS) * config["jobs_per_gpu"])


def artifact(stage, name):
    """Return the path of an artifact."""
    return f"{RESULTS}/{stage}/{name}.h5"


def renderings(stage, name):
    """Return what lies beside an artifact for people to look at."""
    return [str(path) for path in RECIPES.renderings(stage, name)]


def paths(targets):
    """Return the files of artifacts given as stage/name."""
    pairs = [target.split("/", 1) for target in targets]
    return [path for pair in pairs for path in (artifact(*pair), *renderings(*pair))]


def look_over():
    """Return the artifacts that are stale by their own marks; mend times, name what is no artifact."""
    if not workflow.is_main_process:
        return set()
    found = survey(RECIPES, all_targets(config))
    mend_times(RECIPES, found.fresh)
    for target in found.foreign:
        said = f"{artifact(*target.split('/', 1))}: damaged, or no artifact of lossmap"
        print(f"{said}; delete it and run again", file=sys.stderr)
    return set(found.stale)


STALE = look_over()


def sources_of(stage, names):
    """Return what the artifacts of one job are made from, as stage/name.

    Snakemake asks for it while it collects the jobs of a target. Whatever its own notes say, it is
    told here to make again what is stale: a fresh clone has no notes, and after --touch they lie.
    """
    workflow.dag.forcefiles.update(
        artifact(stage, name) for name in names if f"{stage}/{name}" in STALE
    )
    return specs.sources(config, stage, names[0])


def upstream(stage, names=None):
    """Return an input function: the paths of what a job's artifacts are made from."""
    return lambda wildcards: [
        artifact(*source.split("/", 1)) for source in sources_of(stage, names or [wildcards.name])
    ]


def one_upstream(stage, kind, names=None):
    """Return an input function: the one input of a given kind."""
    return lambda wildcards: next(
        artifact(*source.split("/", 1))
        for source in sources_of(stage, names or [wildcards.name])
        if source.startswith(f"{kind}/")
    )


def spec(stage):
    """Return a params function: the canonical JSON of an artifact's specification."""
    return lambda wildcards: RECIPES.spec(stage, wildcards.name)


def specs_of(make, names):
    """Return the canonical JSON of the specifications of the artifacts that one job makes."""
    return canonical_json({name: make(config, name) for name in names})


def code(stage):
    """Return a params function: the hash of the code that can reach an artifact."""
    return lambda wildcards: RECIPES.code(stage, wildcards.name)


def raw_file(name):
    """Return the file that a data set is read from, none where the data set is taken as it is."""
    sources_of("dataset", [name])
    return [] if RECIPES.is_kept("dataset", name) else specs.dataset_file(config, name) or []


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


def minutes(count):
    """Return a resource function: a fixed time, more at each attempt."""
    return lambda wildcards, attempt: attempt * count


def placement(gpu=False):
    """Return what SLURM is told of a job besides its size, as resources; nothing by default."""
    given = config["cluster"]
    found = {"slurm_account": given["account"], "slurm_partition": given["partition"]}
    if gpu and USE_GPU:
        found["slurm_partition"] = given["gpu_partition"] or given["partition"]
        found["gpu_model"] = given["gpu_model"]
    return {name: value for name, value in found.items() if value is not None}


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
