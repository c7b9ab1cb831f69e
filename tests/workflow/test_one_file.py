"""A kind of panel, a technique, a plane method: one file in a copy of the project, and no more."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOAD = """
from pathlib import Path
import numpy as np
from lossmap.code.reach import Reach
from lossmap.workflow.configuration import load_configuration
from lossmap.workflow.stages import maker_of, spec_of

def load(**given):
    return load_configuration(Path("config"), given)

def reached(config, stage, name, module):
    found = Reach(maker_of(config, stage, name).script).definitions()
    assert any(label.startswith(module + ":") for label in found), found
"""
PANEL = '''
"""A bar as long as a run."""
from lossmap.figures.panel import Family, Kind

SETTINGS = {
    "with": "panel_shared",
    "required": ["run"],
    "properties": {"run": {"type": "string", "refers": "runs"}, "thick": {"type": "number"}},
}


def collect(panel, spec, sources, where):
    return {"length": [3.0]}


def plot(axes, cell, comparison, options):
    axes.bar([0], cell.panel["length"], cell.spec.get("thick", 1))
    return axes


KIND = Kind(Family("bar"), collect, plot, aspect=1.0, inset=(0.1, 0.1, 0.1, 0.1))
'''
USE_PANEL = """
panels = [{"draw": "bar", "run": "c10-resnet20", "thick": 0.5}]
config = load(figures={"mine_fig1": {"columns": 1, "panels": panels}})
spec = spec_of(config, "figure", "mine_fig1")
assert maker_of(config, "figure", "mine_fig1").sources(config, "mine_fig1") == [
    "trajectory/c10-resnet20"
]
reached(config, "figure", "mine_fig1", "lossmap.figures.panels.bar")
import matplotlib
matplotlib.use("agg")
from lossmap.figures.collect import collect_panels
from lossmap.figures.compose import draw_figure
figure = draw_figure(spec, collect_panels(spec, {}))
assert [patch.get_width() for axes in figure.axes for patch in axes.patches] == [0.5]
"""
TECHNIQUE = '''
"""The first two rows of the Gram matrix."""

SETTINGS = {
    "with": "linear",
    "required": ["factor"],
    "properties": {"factor": {"$ref": "#/$defs/positive"}},
}


def embed_rows(cloud, rows, spec):
    return spec["factor"] * cloud.gram[rows][:, :2], {}
'''
USE_TECHNIQUE = """
technique = {"method": "columns", "metric": "euclidean", "include_optimum": False, "factor": 2.0}
config = load(techniques={"mine": technique}, clouds={"tree": {"embeddings": {"mine": {}}}})
spec = spec_of(config, "embedding", "tree-mine")
assert spec == technique
reached(config, "embedding", "tree-mine", "lossmap.embedding.techniques.columns")
from lossmap.embedding.embed import align_axes, embed
from lossmap.embedding.tree import grow_tree
tree = {"dimensions": 9, "branches": 2, "length": 12, "sigma": 1, "seed": 0}
cloud = grow_tree(tree)
assert np.array_equal(embed(cloud, spec).points, align_axes(2.0 * cloud.gram[:, :2]))
"""
METHOD = '''
"""The plane of two parameters."""
import numpy as np

SETTINGS = {
    "with": "plane",
    "properties": {"first": {"type": "integer", "minimum": 0, "default": 1}},
}


def span(thetas, rows, gram, center, layout, spec):
    directions = np.zeros((2, center.size), np.float32)
    directions[[0, 1], [spec["first"], spec["first"] + 1]] = 1.0
    return directions, np.ones(2), [-1]
'''
USE_METHOD = """
config = load(bases={"mine": {"run": "c10-resnet20", "method": "axes", "center": 0}})
spec = spec_of(config, "basis", "mine")
assert spec == {"method": "axes", "center_epoch": 0, "first": 1}
reached(config, "basis", "mine", "lossmap.geometry.planes.axes")
from lossmap.geometry.plane import fit_basis
thetas = np.random.default_rng(0).standard_normal((5, 9)).astype(np.float32)
basis = fit_basis(thetas, np.arange(5), 4, None, spec)
assert basis.scaled_directions().argmax(axis=1).tolist() == [1, 2]
assert np.allclose(basis.coordinates, thetas[:, 1:3] - thetas[4, 1:3])
"""
KINDS = {
    "panel": ("figures/panels/bar.py", PANEL, USE_PANEL),
    "technique": ("embedding/techniques/columns.py", TECHNIQUE, USE_TECHNIQUE),
    "plane": ("geometry/planes/axes.py", METHOD, USE_METHOD),
}


def run_with(folder: Path, file: str, source: str, use: str) -> subprocess.CompletedProcess:
    """Write one file into a copy of the project, and use it there."""
    for part in ("config", "rules", "workflow_scripts"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "workflow_scripts/lossmap" / file).write_text(source)
    return subprocess.run(
        [sys.executable, "-c", LOAD + use],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": "workflow_scripts"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_kind_is_one_file(tmp_path, kind):
    result = run_with(tmp_path, *KINDS[kind])
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("SETTINGS =", "OTHER =", "columns.py: expected SETTINGS = {…}"),
        ('"linear"', "str(1)", "columns.py: SETTINGS is no literal"),
        ('"linear"', '"linaer"', "columns.py: SETTINGS names 'linaer', which is not among $defs"),
        ('"properties"', '"propertys"', "has 'propertys' (did you mean 'properties'?)"),
        ('["factor"]', '["faktor"]', "requires 'faktor', which is not among its properties"),
    ],
)
def test_settings_that_are_wrong_are_named(tmp_path, old, new, says):
    file, source, _ = KINDS["technique"]
    result = run_with(tmp_path, file, source.replace(old, new, 1), "load()")
    assert says in result.stderr.splitlines()[-1]
