"""What the SLURM profile asks for, as far as a machine without SLURM can tell."""

import re
from pathlib import Path

import pytest
import yaml
from tests_support import ROOT, copy_project

pytestmark = pytest.mark.slow

PROFILE = ("--workflow-profile", "profiles/slurm")
CLUSTER = "{account: mine, partition: cpus, gpu_partition: gpus, gpu_model: a100}"
TARGETS = [
    f"results/tiny/{name}.h5"
    for name in (
        "projection/c10-resnet20-pca-batch",
        "grid/c10-resnet20-pca-last",
        "embedding/c10-good-pca",
    )
]
ON_GPU = {"trajectory", "grid", "projection", "jumps"}
NEVER_ON_GPU = {"dataset", "basis", "distance", "embedding"}


def read_profile(name):
    return yaml.safe_load((ROOT / "profiles" / name / "profile.yaml").read_text())


@pytest.fixture(scope="module")
def telling(tmp_path_factory):
    """Give a copy of the workflow whose rules have no message: Snakemake then lists resources."""
    project = copy_project(tmp_path_factory.mktemp("telling"))
    for path in (project.folder / "rules").glob("*.smk"):
        path.write_text(re.sub(r"\n +message:\n +.+", "", path.read_text()))
    return project


def resources(project, *arguments, **config):
    """Return what each job would ask for, as words by name, by stage and name of its artifact."""
    found = {}
    done = project.snakemake(*TARGETS, *PROFILE, "-n", *arguments, cores=None, **config)
    for line in done.stdout.splitlines():
        if line.startswith("    output: "):
            path = Path(line[12:].split(", ")[0])
            job = (path.parent.name, path.stem)
        elif line.startswith("    resources: "):
            found[job] = dict(word.split("=", 1) for word in line[15:].split(", "))
    return found


@pytest.fixture(scope="module")
def with_gpu(telling):
    return resources(telling, device="cuda", cluster=CLUSTER)


def test_jobs_that_compute_with_a_network_ask_for_a_gpu(with_gpu):
    assert {stage for stage, _ in with_gpu} == ON_GPU | NEVER_ON_GPU
    for (stage, _), asked in with_gpu.items():
        if stage in ON_GPU:
            assert asked["gpu"] == "1"
            assert (asked["slurm_partition"], asked["gpu_model"]) == ("gpus", "a100")


def test_other_jobs_ask_for_none(with_gpu):
    for (stage, _), asked in with_gpu.items():
        if stage in NEVER_ON_GPU:
            assert asked["slurm_partition"] == "cpus"
            assert not {"gpu", "gpu_model"} & set(asked)


def test_every_job_names_account_time_and_memory_and_appends_to_its_log(with_gpu):
    for asked in with_gpu.values():
        assert asked["slurm_account"] == "mine"
        assert asked["slurm_extra"] == "--open-mode=append"
        assert int(asked["mem_mb"]) >= 300
        assert int(asked["runtime"]) >= 10


def test_every_further_try_asks_for_more(telling, with_gpu):
    again = resources(telling, "--attempt", "3", device="cuda", cluster=CLUSTER)
    for job, asked in with_gpu.items():
        for word in ("mem_mb", "runtime"):
            assert int(again[job][word]) == 3 * int(asked[word])


def test_on_cpus_nobody_asks_for_a_gpu(telling):
    for asked in resources(telling, device="cpu", cluster=CLUSTER).values():
        assert asked.get("gpu", "0") == "0"
        assert asked["slurm_partition"] == "cpus"
        assert "gpu_model" not in asked


def test_without_the_words_slurm_decides(telling):
    for asked in resources(telling, device="cuda").values():
        assert not {"slurm_account", "slurm_partition", "gpu_model"} & set(asked)


def test_auto_is_refused_before_any_job_starts(project):
    done = project.snakemake("datasets", *PROFILE, cores=None, check=False)
    assert done.returncode
    assert "device is 'auto'" in done.stderr
    assert "set device=cuda or device=cpu" in done.stderr
    assert not (project.folder / "results").exists()


def test_data_sets_are_a_target(shared_project):
    planned = shared_project.planned("datasets")
    assert planned == [
        f"dataset/{n}"
        for n in ("c10", "c100", *(f"horoi-{m}" for m in ("c10", "c10-random", "c100")))
    ]


def test_the_profile_keeps_what_the_default_one_says():
    """Snakemake reads one of the two, never both."""
    default, slurm = read_profile("default"), read_profile("slurm")
    assert slurm["keep-going"]
    assert {key: slurm[key] for key in default} == default | {"keep-going": True}


def test_retries_are_the_profiles_business():
    """In a rule, SLURM's inner Snakemakes would repeat them too: 2 became 10 runs."""
    assert read_profile("slurm")["retries"] > 0
    for path in [ROOT / "Snakefile", *(ROOT / "rules").glob("*.smk")]:
        assert "retries" not in path.read_text(), path
