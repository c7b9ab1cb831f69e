"""A stage is declared once: one from outside runs, and everything else knows of it."""

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml
from tests_support import copy_mini_project

from lossmap.artifacts.grid import Grid
from lossmap.errors import LossmapError
from lossmap.workflow import stages
from lossmap.workflow.costs import drawing_cost
from lossmap.workflow.stages import Maker, Stage, declare

DECLARATION = """
from pathlib import Path

import numpy as np

from lossmap.artifacts.declare import artifact, f64
from lossmap.workflow.costs import drawing_cost
from lossmap.workflow.stages import Maker, Stage, declare


@artifact("lengths", version=1)
class Lengths:
    steps: f64["steps"]


def measure(thetas, power):
    return Lengths(np.linalg.norm(np.diff(thetas.astype("float64"), axis=0), axis=1) ** power)


declare(
    Stage(
        "lengths",
        Lengths,
        lambda config: config["runs"],
        Maker(
            "lengths",
            lambda config, name: {"power": 2},
            lambda config, name: [f"trajectory/{name}"],
            drawing_cost,
            home=Path(__file__).parent,
        ),
        target=True,
    )
)
"""
RULE = """
rule lengths:
    message:
        "lengths {wildcards.name}"
    input:
        trajectory=upstream("lengths", "trajectory"),
    output:
        "<results>/lengths/{name}.h5",
    log:
        "<results>/log/lengths/{name}.log",
    benchmark:
        "<results>/benchmark/lengths/{name}.tsv"
    wildcard_constraints:
        name=names("lengths"),
    resources:
        **needs("lengths"),
    params:
        **recipe("lengths"),
    script:
        "../workflow_scripts/lengths.py"
"""
SCRIPT = """
from lossmap import logs
from lossmap.artifacts.store import begin_job, save, stream
from lossmap.artifacts.trajectory import Trajectory
from mystages import measure

logs.start(snakemake.log[0])
provenance = begin_job(snakemake.params, snakemake.input, snakemake.output)
with stream(snakemake.input.trajectory, Trajectory) as run:
    found = measure(run["thetas"][()], provenance.parameters()["power"])
save(snakemake.output[0], found, provenance)
"""


@pytest.mark.slow
def test_a_stage_from_outside_runs_and_is_known_everywhere(tmp_path):
    project = copy_mini_project(tmp_path)
    own = tmp_path / "own"
    for file, text in (
        ("mystages.py", DECLARATION),
        ("rules/lengths.smk", RULE),
        ("workflow_scripts/lengths.py", SCRIPT),
    ):
        (own / file).parent.mkdir(parents=True, exist_ok=True)
        (own / file).write_text(text)
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"extensions": ["mystages"]}))
    paths = os.pathsep.join([str(tmp_path / "workflow_scripts"), str(own)])

    def run(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", *words, "--configfile", "mine.yaml"],
            cwd=tmp_path,
            env=project.environment() | {"PYTHONPATH": paths},
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        return done.stdout + done.stderr

    def upkeep(*words: str) -> str:
        return run("lossmap.upkeep", *words, "--scale", "tiny")

    def snakemake(*words: str) -> str:
        return run("snakemake", *words, "--cores", "2", "--config", "scale=tiny")

    planned = snakemake("-n", "all")
    assert "lengths c10-resnet20" in planned
    made = snakemake("results/tiny/lengths/c10-resnet20.h5")
    path = project.path("lengths", "c10-resnet20")
    assert path.is_file(), made
    with h5py.File(path) as file, h5py.File(project.path("trajectory", "c10-resnet20")) as run_:
        steps = np.diff(run_["thetas"][()], axis=0)
        np.testing.assert_allclose(file["steps"][()], (steps**2).sum(axis=1), rtol=1e-5)
    assert "results/tiny/lengths/c10-resnet20.h5" not in upkeep("audit")

    (own / "mystages.py").write_text(DECLARATION.replace('{"power": 2}', '{"power": 3}'))
    assert "power was 2, is to be 3" in upkeep("audit")
    assert "lengths c10-resnet20" in snakemake("-n", "results/tiny/lengths/c10-resnet20.h5")
    (own / "mystages.py").write_text(DECLARATION)
    (own / "workflow_scripts/lengths.py").write_text(SCRIPT + "\nassert True\n")
    assert "made by other code" in upkeep("audit")
    (own / "workflow_scripts/lengths.py").write_text(SCRIPT)

    assert "lengths " in snakemake("estimate", "--quiet", "all")
    assert "trajectory -> lengths" in upkeep("dag")
    snakemake("all")
    archived = upkeep("archive")
    assert "files" in archived, archived
    with tarfile.open(tmp_path / "lossmap-tiny.tar") as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    assert "results/tiny/lengths/c10-resnet20.h5" in names
    wanted = {"own/mystages.py", "own/rules/lengths.smk", "own/workflow_scripts/lengths.py"}
    assert wanted <= names


@pytest.fixture
def table(monkeypatch):
    """Give a copy of the table, which a test may add to."""
    monkeypatch.setattr(stages, "STAGES", dict(stages.STAGES))
    return stages.STAGES


def maker(rule: str, home: Path) -> Maker:
    return Maker(rule, lambda config, name: {}, lambda config, name: [], drawing_cost, home=home)


def test_a_part_of_a_declaration_that_is_forgotten_is_an_error_at_once(table, tmp_path):
    with pytest.raises(TypeError, match="cost"):
        Maker("mine", lambda config, name: {}, lambda config, name: [])
    with pytest.raises(TypeError, match="maker"):
        Stage("mine", Grid, lambda config: [])
    for folder, suffix in (("rules", "smk"), ("workflow_scripts", "py")):
        with pytest.raises(LossmapError, match=rf"stage 'mine': .*mine\.{suffix} is missing"):
            declare(Stage("mine", Grid, lambda config: [], maker("mine", tmp_path)))
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"mine.{suffix}").touch()
    declare(Stage("mine", Grid, lambda config: [], maker("mine", tmp_path)))
    assert "mine" in table
    with pytest.raises(LossmapError, match="declared twice"):
        declare(Stage("mine", Grid, lambda config: [], maker("other", tmp_path)))
    with pytest.raises(LossmapError, match="another stage has a rule 'grid'"):
        declare(Stage("yours", Grid, lambda config: [], maker("grid", tmp_path)))


def test_an_extension_that_cannot_be_found_is_named():
    with pytest.raises(LossmapError, match=r"extensions: No module named 'nowhere'.*PYTHONPATH"):
        stages.declare_extensions({"extensions": ["nowhere"]})
