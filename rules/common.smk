# Helpers that the rules share; no rule. The logic is in workflow_scripts/lossmap/workflow.
#
# A helper is called with the name of a rule, and where one job makes several artifacts with the suffixes
# that are appended to the wildcard {name} for the name of each.
import re
import sys
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(workflow.current_basedir).parent
sys.path.insert(0, str(ROOT / "workflow_scripts"))

from lossmap.artifacts.canonical import canonical_json
from lossmap.artifacts.provenance import expect_orphan, forget_orphan
from lossmap.code.reach import search_folders
from lossmap.devices import list_visible_gpus
from lossmap.errors import LossmapError
from lossmap.figures.movies import choose_movie
from lossmap.page.seal import is_sealed
from lossmap.workflow import engine
from lossmap.workflow.configuration import load_configuration, own_runs
from lossmap.workflow.deaths import explain_deaths
from lossmap.workflow.estimate import estimate_spec
from lossmap.workflow.expected import Expected
from lossmap.workflow.freshness import is_whole, mend_times, survey
from lossmap.workflow.page import page_plan, page_sources
from lossmap.workflow.preflight import describe_run
from lossmap.workflow.stages import (
    Pack,
    all_makers,
    cost_of,
    declare_extensions,
    packs,
    stage_of,
    time_limit,
)
from lossmap.workflow.targets import all_targets, whole_targets


@contextmanager
def one_line():
    """End with the message of an expected error alone; Snakemake adds its frames to exceptions."""
    try:
        yield
    except LossmapError as error:
        sys.exit(f"error: {error}")


with one_line():
    config = load_configuration(ROOT / "config", config, engine.config_files(workflow))
    declare_extensions(config)

if engine.is_main_process(workflow):
    for run in own_runs(ROOT / "config", config):
        print(describe_run(config, run), file=sys.stderr)

# Jobs may run elsewhere than Snakemake: a login node has no GPU, or another one.
SUBMITS = engine.submits_jobs(workflow)
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


pathvars:
    results=RESULTS,


with one_line():
    EXPECTED = Expected(config, SEARCH, RESULTS, MOVIE)

# Jinja in a caption sees the configuration but no files: captions/caption.rst looks its text up here.
CAPTIONS = {path.stem: str(path) for path in sorted((ROOT / "rules/captions").glob("*_*.rst"))}
config["captions"] = CAPTIONS

# Where a job looks for local modules. Not among its params: another place is no other result.
config["code_folders"] = [str(folder.resolve()) for folder in SEARCH]

# Snakemake counts `gpu` but knows no devices: without a limit it would start every GPU job at once.
if GPUS and not SUBMITS:
    engine.limit_resource(workflow, "gpu", len(GPUS) * config["jobs_per_gpu"])


def paths(targets):
    """Return the files of artifacts given as stage/name."""
    pairs = [target.split("/", 1) for target in targets]
    return [
        str(path) for pair in pairs for path in (EXPECTED.path(*pair), *EXPECTED.renderings(*pair))
    ]


def refuse(found):
    """End with the first of some things that hinder, if there are any."""
    if found:
        more = f" (and {len(found) - 1} more like it)" if found[1:] else ""
        sys.exit(f"error: {found[0]}{more}")


def look_over():
    """Return the artifacts that are stale by their own headers; mend times, name what is none."""
    if not engine.is_main_process(workflow):
        return set()
    found = survey(EXPECTED, all_targets(config))
    refuse(found.unreadable)
    no_record = "no record of Snakemake's; delete it, or its folder: no result depends on it"
    refuse([f"{path}: {no_record}" for path in engine.find_broken_records()])
    mend_times(EXPECTED, found.fresh)
    for target in found.foreign:
        said = f"{EXPECTED.path(*target.split('/', 1))}: damaged, or no artifact of lossmap"
        print(f"{said}; delete it and run again", file=sys.stderr)
    return set(found.stale)


STALE = look_over()


def settle(stage, name):
    """Take the artifact of a job that a killed Snakemake left over for what it is: whole, or not.

    Such a job may end at any moment, until its artifact is made anew.
    """
    path = str(EXPECTED.path(stage, name))
    if engine.is_incomplete(workflow, path):
        expect_orphan(path)
        if not is_whole(EXPECTED, f"{stage}/{name}"):
            return
        for made in (path, *map(str, EXPECTED.renderings(stage, name))):
            engine.complete(workflow, made)
    forget_orphan(path)


def spoilt_page(wildcards):
    """Have the page made again where it is not as it was written; it is no input of its own rule."""
    made = Path(RESULTS, "index.html")
    if engine.is_main_process(workflow) and made.is_file() and not is_sealed(made):
        engine.force(workflow, [str(made)])
    return []


def patterns(rule):
    """Return the suffixes of each kind of job of a rule, with a name for its rule and its stems."""
    found = {}
    for pack in packs(config, rule):
        found.setdefault(pack.suffixes, []).append(pack.stem)
    found = sorted(found.items(), key=lambda pair: -len(pair[1]))
    return [
        (f"{rule}_{number}" if number else rule, suffixes, "|".join(map(re.escape, stems)))
        for number, (suffixes, stems) in enumerate(found)
    ]


def names(rule):
    """Return a wildcard constraint that admits the names of a rule's artifacts and nothing else."""
    return "|".join(re.escape(pack.stem) for pack in packs(config, rule)) or "(?!)"


def upstream(rule, stage=None, suffixes=("",)):
    """Return an input function: what a job's artifacts are made from, or the one of a stage.

    Snakemake calls it while it collects the jobs of a target. Whatever its own metadata say, it is
    told here to make again what is stale: a fresh clone has no metadata, and after --touch they lie.
    """

    def find(wildcards):
        made, names = stage_of(rule), Pack(wildcards.name, suffixes).names
        if engine.is_main_process(workflow):
            engine.lift_rate_limit(workflow)
            for name in names:
                settle(made, name)
        stale = [EXPECTED.path(made, name) for name in names if f"{made}/{name}" in STALE]
        engine.force(workflow, map(str, stale))
        found = [source.split("/", 1) for source in EXPECTED.sources(made, names[0])]
        paths = [str(EXPECTED.path(*pair)) for pair in found if stage in (None, pair[0])]
        return paths if stage is None else next(iter(paths), [])  # a task has no data set

    return find


def outside(rule):
    """Return an input function: the files outside of the results that an artifact is made from."""
    return lambda wildcards: list(map(str, EXPECTED.files(stage_of(rule), wildcards.name)))


def recipe(rule, suffixes=("",)):
    """Return the params of a rule: what its artifacts are made by, and the hash of the code."""
    stage = stage_of(rule)
    return {
        "spec": lambda wildcards: EXPECTED.job_spec(stage, Pack(wildcards.name, suffixes)),
        "code": lambda wildcards: EXPECTED.code(stage, wildcards.name + suffixes[0]),
        "roots": lambda wildcards: EXPECTED.reached(stage, wildcards.name + suffixes[0]),
    }


def threads_of(rule):
    """Return the threads of a rule's jobs."""
    return config["resources"]["threads"].get(stage_of(rule), 1)


def needs(rule, suffixes=("",)):
    """Return the resources of a rule: memory and time, more at each attempt, and a GPU if it uses one."""
    stage = stage_of(rule)
    gpu = next(maker.run is not None for _, maker in all_makers() if maker.rule == rule)

    def memory(wildcards, attempt):
        found = Pack(wildcards.name, suffixes).names
        return attempt * max(cost_of(config, stage, name).memory_mb for name in found)

    def minutes(wildcards, attempt):
        return attempt * time_limit(config, stage, Pack(wildcards.name, suffixes).names, USE_GPU)

    on_gpu = {
        "gpu": int(USE_GPU),
        "device": config["device"],
        "jobs_per_gpu": config["jobs_per_gpu"],
        "cuda_graphs": int(config["cuda_graphs"]),
    }
    return {**placement(gpu), "mem_mb": memory, "runtime": minutes, **(on_gpu if gpu else {})}


def placement(gpu):
    """Return the resources that tell SLURM more about a job than its size; none by default."""
    given = config["cluster"]
    found = {"slurm_account": given["account"], "slurm_partition": given["partition"]}
    if gpu and USE_GPU:
        found["slurm_partition"] = given["gpu_partition"] or given["partition"]
        found["gpu_model"] = given["gpu_model"]
    return {name: value for name, value in found.items() if value is not None}


def in_report(path, subcategory, caption="captions/caption.rst"):
    """Return an output that the report shows among its paper's, by the title of its caption."""
    return report(
        path,
        caption=caption,
        category=lambda wildcards: wildcards.name.split("_")[0],
        subcategory=subcategory,
        # One label: with two labels on each of two files, Snakemake draws a switch that breaks.
        labels=lambda wildcards: {"shows": title_of(wildcards.name)},
    )


def title_of(name):
    """Return the first line of a caption, numbers padded so that 10 is listed after 9."""
    if name not in CAPTIONS:
        return name
    first = Path(CAPTIONS[name]).read_text(encoding="utf-8").splitlines()[0]
    return re.sub(r"^(\w+) (\d)\b", "\\1 \u2007\\2", first)
