"""What a scale will need, said before it starts."""

from pathlib import Path

import pytest

from lossmap.workflow.configuration import load_configuration
from lossmap.workflow.costs import START_SECONDS
from lossmap.workflow.estimate import STAGES, describe_estimate, estimate_spec
from lossmap.workflow.schedule import collect_jobs
from lossmap.workflow.stages import cost_of
from lossmap.workflow.targets import all_targets

CONFIG = Path(__file__).parents[2] / "config"
RATES = {"training": 2e12, "evaluation": 1e12}


@pytest.fixture(scope="module")
def paper():
    return load_configuration(CONFIG, {"scale": "paper"})


def test_every_job_is_counted_once(paper):
    stages = estimate_spec(paper)["stages"]
    assert {stage: cost["jobs"] for stage, cost in stages.items()} == {
        "dataset": 5,
        "trajectory": 41,
        "curvature": 7,
        "basis": 64,
        "grid": 26,
        "projection": 48,
        "ring": 45,
        "line": 8,
        "jumps": 55,
        "distance": 65,
        "embedding": 107,
        "topology": 7,
        "figure": 27,
        "animation": 1,
        "table": 2,
        "claims": 4,
    }


def test_operations_are_twice_the_multiply_adds_of_the_jobs(paper):
    expected = 2 * sum(cost_of(paper, "trajectory", run).macs for run in paper["runs"])
    assert estimate_spec(paper)["stages"]["trajectory"]["flop"] == pytest.approx(expected)


def test_hours_are_operations_over_the_measured_rate(paper):
    spec = estimate_spec(paper)
    lines = describe_estimate(spec, RATES, "cpu", 1).splitlines()
    row = next(line for line in lines if line.startswith("grid")).split()
    stage = spec["stages"]["grid"]
    computing = stage["flop"] / RATES["evaluation"]
    hours = (computing + stage["other_seconds"]) / 3600
    assert float(row[3]) == pytest.approx(hours, abs=0.006)
    seconds = [job.seconds for key, job in collect_jobs(paper).items() if key[:5] == "grid/"]
    assert float(row[4]) == pytest.approx(sum(seconds) / 3600, abs=0.006)


def test_what_is_no_multiply_add_takes_time_too(paper):
    stages = estimate_spec(paper)["stages"]
    assert sum(cost["jobs"] for cost in stages.values()) == len(collect_jobs(paper))
    targets = [target.split("/", 1) for target in all_targets(paper)]
    for stage, cost in stages.items():
        extra = sum(cost_of(paper, *found).seconds for found in targets if found[0] == stage)
        assert cost["other_seconds"] == pytest.approx(START_SECONDS * cost["jobs"] + extra)


def test_walls_are_between_the_longest_chain_and_one_gpu(paper):
    spec = estimate_spec(paper)
    assert spec["chain_seconds"] <= spec["wall_seconds"][16] < spec["wall_seconds"][1]
    said = describe_estimate(spec, RATES, "cpu", 1)
    assert f"16 GPUs: {spec['wall_seconds'][16] / 3600:.1f} hours" in said
    assert "trajectory/c100-googlenet > basis/" in said


def test_other_numbers_of_gpus_can_be_asked_for():
    config = load_configuration(CONFIG, {"scale": "paper", "resources": {"gpus": 4}})
    assert list(estimate_spec(config)["wall_seconds"]) == [1, 4]


def test_it_calls_itself_an_estimate_and_names_every_stage_in_order(paper):
    lines = describe_estimate(estimate_spec(paper), RATES, "cpu", 1).splitlines()
    assert "an estimate" in lines[0]
    assert [line.split()[0] for line in lines[2 : 2 + len(STAGES)]] == list(STAGES)


@pytest.mark.slow
def test_the_target_prints_the_table_every_time(project):
    for _ in range(2):
        done = project.snakemake("estimate", "--quiet", "all")
        assert "GPU-hours" in done.stdout
        assert "scale tiny" in done.stdout
