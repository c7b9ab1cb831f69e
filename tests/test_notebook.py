"""The cells of docs/own_run.ipynb run in their order, and give what they say."""

import json
from pathlib import Path

import numpy as np
import pytest

PATH = Path(__file__).parents[1] / "docs" / "own_run.ipynb"
BOOK = json.loads(PATH.read_text(encoding="utf-8"))
CELLS = ["".join(cell["source"]) for cell in BOOK["cells"] if cell["cell_type"] == "code"]


@pytest.fixture(scope="module")
def names(tmp_path_factory) -> dict:
    """Execute all cells in one namespace; ``shown`` are the values of cells that end in one."""
    import matplotlib as mpl

    found = {"shown": []}
    with pytest.MonkeyPatch.context() as patch, mpl.rc_context({"backend": "agg"}):
        patch.chdir(tmp_path_factory.mktemp("notebook"))
        for cell in CELLS:
            try:
                found["shown"].append(eval(cell, found))
            except SyntaxError:  # statements
                exec(cell, found)
    return found


@pytest.mark.slow
def test_training_is_recorded_and_succeeds(names):
    assert names["accuracy"] > 0.9
    assert names["epochs"].tolist() == [*range(21)]
    weights = dict(names["model"].named_parameters())["0.weight"].detach().numpy().ravel()
    np.testing.assert_array_equal(names["thetas"][-1, : weights.size], weights)


@pytest.mark.slow
def test_landscape_is_that_of_the_run(names):
    from torch.nn.functional import cross_entropy

    model, grid = names["model"].train(), names["grid"]  # batch norm of the batch itself
    ((inputs, labels),) = names["batches"]
    assert grid.loss[10, 10] == pytest.approx(cross_entropy(model(inputs), labels).item(), rel=1e-4)
    assert grid.loss.max() > 100 * grid.loss[10, 10]
    assert 0.5 < names["share"] <= 1
    start, end = names["plane"].coordinates[[0, -1]]
    assert np.linalg.norm(start) > 0.1
    np.testing.assert_allclose(end, 0, atol=1e-6)


@pytest.mark.slow
def test_every_figure_is_drawn(names):
    surface, contour = names["shown"]
    for figure in (surface, contour):
        assert len(figure.axes) == 3  # the landscape, its bar, and that of the epochs
    turned = names["surface"].data[0]
    np.testing.assert_allclose(np.sort(np.ravel(turned.x)), np.sort(names["grid"].alphas))
    points = names["embedding"].points
    assert np.isfinite(points).all()
    apart = np.linalg.norm(points[:21] - points[21:], axis=1)
    assert apart[-1] > 5 * apart[0]  # the seeds part


def test_notebook_is_small_and_says_what_it_saved():
    assert PATH.stat().st_size < 200_000
    text = json.dumps(BOOK)
    assert "/tmp" not in text
    assert "/home" not in text
    drawn = [o for cell in BOOK["cells"] for o in cell.get("outputs", ()) if "data" in o]
    assert [*drawn[0]["data"]] == ["image/png"]
