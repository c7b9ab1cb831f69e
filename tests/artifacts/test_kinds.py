from dataclasses import fields, replace

import numpy as np
import pytest

from lossmap.artifacts.basis import Basis
from lossmap.artifacts.curvature import Curvature
from lossmap.artifacts.dataset import Dataset
from lossmap.artifacts.describe import find_declared
from lossmap.artifacts.figure import Animation, Figure, Table, load_panels, save_panels
from lossmap.artifacts.grid import Grid
from lossmap.artifacts.layout import Layout
from lossmap.artifacts.line import Line
from lossmap.artifacts.projection import Projection
from lossmap.artifacts.provenance import Provenance
from lossmap.artifacts.ring import Ring
from lossmap.artifacts.store import digest_of, load, load_part, read_datasets, save, stream
from lossmap.artifacts.topology import Topology
from lossmap.artifacts.trajectory import (
    History,
    Trajectory,
    find_snapshot,
    load_layouts,
)
from lossmap.errors import LossmapError

PROVENANCE = Provenance("{}", "c0de", {})
LABEL = "squared error (m²)"
SNAPSHOTS, PARAMS, PLANES, CLASSES = 5, 7, 2, ["zero", "een", "twee"]


def random(*shape, dtype=np.float64):
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(dtype)


def make_basis():
    return Basis(
        center=random(PARAMS, dtype=np.float32),
        center_epoch=4,
        directions=random(2 * PLANES, PARAMS, dtype=np.float32),
        scale=random(2 * PLANES),
        seeds=np.array([3, 4]),
        explained_variance_ratio=random(10),
        plane_variance_ratio=random(PLANES),
        coordinates=random(SNAPSHOTS, 2 * PLANES),
        epochs=np.arange(SNAPSHOTS),
        walk_variance_ratio=random(10),
        points=random(3, 2),
    )


def make_dataset():
    return Dataset(
        train_images=np.arange(6 * 12, dtype=np.uint8).reshape(6, 2, 2, 3),
        train_labels=np.array([0, 1, 2, 0, 1, 2]),
        test_images=np.arange(2 * 12, dtype=np.uint8).reshape(2, 2, 2, 3),
        test_labels=np.array([2, 0]),
        classes=CLASSES,
        mean=random(3),
        std=random(3),
    )


def make_ring():
    return Ring(
        radius=0.2,
        angles=random(6),
        seeds=np.arange(PLANES),
        center_epoch=4,
        center_loss=0.5,
        loss=random(PLANES, 6),
        gradient_norm=1.5,
        slope=random(PLANES, 2),
        gram=random(PLANES, 2, 2),
        converged=random(PLANES, 2),
        converged_loss=random(PLANES),
        loss_label=LABEL,
    )


def make_line():
    return Line(
        positions=np.linspace(0, 1, 5),
        loss=np.array([1.0, 2.0, np.inf, 3.0, 0.5]),
        accuracy=random(5),
        length=7.5,
        barrier=0.5,
        barrier_mean=1.5,
        barrier_end=2.5,
        test_loss=random(5) + 1,
        test_accuracy=random(5) + 2,
        loss_label=LABEL,
    )


def make_curvature():
    return Curvature(
        epoch=3,
        loss=0.25,
        gradient_norm=0.5,
        eigenvalues=random(2),
        eigenvectors=random(2, PARAMS).astype(np.float32),
        residuals=random(2),
        traces=random(3),
        scaled_traces=random(3),
        nodes=random(3, 4),
        weights=random(3, 4),
        loss_label=LABEL,
    )


def make_topology():
    index = np.arange(3)
    death = np.array([np.inf, 2.0, 3.0])
    return Topology(
        index % 2, random(3), death, random(3), index, index - 1, index - 1, 9.0, 1, 0.25, 2, LABEL
    )


def make_grid():
    loss = random(5, 3)
    loss[0, 0], loss[4, 2] = np.inf, np.nan
    checked = np.array([[0, 0], [2, 1]])
    axes = np.linspace(-1, 1, 5), np.linspace(-1, 1, 3)
    return Grid(*axes, loss, random(5, 3), checked, random(2), 0.01, LABEL)


def make_projection():
    return Projection(
        coordinates=random(SNAPSHOTS, 2),
        epochs=np.arange(SNAPSHOTS),
        loss=random(SNAPSHOTS),
        seeds=np.array([3, 4]),
        projected_loss_orthogonal=random(PLANES, SNAPSHOTS),
        projected_loss_literal=random(PLANES, SNAPSHOTS) + 1,
        fitting_error_orthogonal=np.array([1.5, np.inf]),
        fitting_error_literal=np.array([2.5, 3.5]),
        non_finite_orthogonal=np.array([0, 2]),
        non_finite_literal=np.array([0, 0]),
        loss_label=LABEL,
    )


ARRAYS = {
    "basis": make_basis,
    "dataset": make_dataset,
    "grid": make_grid,
    "ring": make_ring,
    "line": make_line,
    "curvature": make_curvature,
    "topology": make_topology,
    "projection": make_projection,
}


def equal(found, wanted):
    if isinstance(wanted, list | str | int | float):
        return type(found) is type(wanted) and found == wanted
    return found.dtype == wanted.dtype and np.array_equal(
        found, wanted, equal_nan=wanted.dtype.kind == "f"
    )


@pytest.mark.parametrize("name", ARRAYS)
def test_every_field_is_read_back_unchanged(tmp_path, name):
    wanted = ARRAYS[name]()
    save(tmp_path / "a.h5", wanted, PROVENANCE)
    found = load(tmp_path / "a.h5", type(wanted))

    assert type(found) is type(wanted)
    assert [
        field.name
        for field in fields(wanted)
        if not equal(getattr(found, field.name), getattr(wanted, field.name))
    ] == []


@pytest.mark.parametrize(
    ("name", "field"),
    [(n, f.name) for n, make in ARRAYS.items() for f in fields(make())],
)
def test_digest_depends_on_every_field(tmp_path, name, field):
    wanted = ARRAYS[name]()
    value = getattr(wanted, field)
    if isinstance(value, list):
        other = [*value[:-1], "another"]
    elif isinstance(value, str):
        other = f"{value}, another"
    else:
        other = value + np.asarray(value).dtype.type(1)
    save(tmp_path / "a.h5", wanted, PROVENANCE)
    save(tmp_path / "b.h5", replace(wanted, **{field: other}), PROVENANCE)

    assert digest_of(tmp_path / "a.h5") != digest_of(tmp_path / "b.h5")


ARRAY_FIELDS = [
    (name, field.name)
    for name, make in ARRAYS.items()
    for field in fields(make())
    if isinstance(getattr(make(), field.name), np.ndarray)
]


@pytest.mark.parametrize(("name", "field"), ARRAY_FIELDS)
def test_wrong_type_is_refused(tmp_path, name, field):
    wanted = ARRAYS[name]()
    wrong = getattr(wanted, field).astype(np.float16)

    with pytest.raises(LossmapError, match=f"{field.split('_')[-1]}' has type float16, expected"):
        save(tmp_path / "a.h5", replace(wanted, **{field: wrong}), PROVENANCE)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("name", "field"), ARRAY_FIELDS)
def test_extra_axis_is_refused(tmp_path, name, field):
    wanted = ARRAYS[name]()
    wrong = getattr(wanted, field)[..., None]

    with pytest.raises(LossmapError, match="expected"):
        save(tmp_path / "a.h5", replace(wanted, **{field: wrong}), PROVENANCE)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "field", "axis"),
    [
        ("basis", "center", "params"),
        ("basis", "directions", "params"),
        ("basis", "scale", "axes"),
        ("basis", "seeds", "planes"),
        ("basis", "plane_variance_ratio", "planes"),
        ("basis", "coordinates", "snapshots"),
        ("basis", "epochs", "snapshots"),
        ("dataset", "train_images", "train"),
        ("dataset", "train_labels", "train"),
        ("dataset", "test_labels", "test"),
        ("dataset", "mean", "channels"),
        ("dataset", "std", "channels"),
        ("grid", "alphas", "n_alpha"),
        ("grid", "betas", "n_beta"),
        ("grid", "loss", "n_alpha"),
        ("grid", "accuracy", "n_alpha"),
        ("projection", "coordinates", "snapshots"),
        ("projection", "epochs", "snapshots"),
        ("projection", "seeds", "planes"),
        ("projection", "projected_loss_literal", "planes"),
        ("projection", "fitting_error_orthogonal", "planes"),
        ("projection", "non_finite_literal", "planes"),
    ],
)
def test_axis_of_another_length_is_refused(tmp_path, name, field, axis):
    wanted = ARRAYS[name]()
    wrong = getattr(wanted, field)
    wrong = np.concatenate([wrong, wrong[-1:]], axis=0)

    with pytest.raises(LossmapError, match=rf"has \d+ ({axis}|axes)|{axis}, but"):
        save(tmp_path / "a.h5", replace(wanted, **{field: wrong}), PROVENANCE)


@pytest.mark.parametrize("name", ARRAYS)
def test_another_kind_is_refused(tmp_path, name):
    save_panels(tmp_path / "a.h5", Figure, {"p": {"x": np.zeros(2)}}, PROVENANCE)

    with pytest.raises(LossmapError, match=f"expected kind '{name}', got 'figure'"):
        load(tmp_path / "a.h5", type(ARRAYS[name]()))


def test_kinds_have_names_of_their_own():
    names = [declared.KIND.name for declared in find_declared()]

    assert len(set(names)) == len(names) == 16


def test_scaled_directions_are_those_of_the_plane_asked_for():
    basis = make_basis()
    wide = basis.scale[:, None] * basis.directions.astype(np.float64)

    for plane in range(PLANES):
        found = basis.scaled_directions(plane)
        assert found.dtype == np.float32
        assert np.allclose(found, wide[2 * plane : 2 * plane + 2], rtol=1e-6, atol=0)


def test_one_attribute_is_read_by_itself(tmp_path):
    wanted = make_basis()
    save(tmp_path / "a.h5", wanted, PROVENANCE)
    found = load_part(tmp_path / "a.h5", Basis, "coordinates")

    assert np.array_equal(found, wanted.coordinates)


def test_first_plane_of_a_projection_is_stored_under_plain_names(tmp_path):
    wanted = make_projection()
    save(tmp_path / "a.h5", wanted, PROVENANCE)
    found = read_datasets(tmp_path / "a.h5", Projection.KIND)

    for reading in ("orthogonal", "literal"):
        losses, errors = f"projected_loss_{reading}", f"fitting_error_{reading}"
        assert np.array_equal(found[losses], getattr(wanted, losses)[0])
        assert found[errors] == getattr(wanted, errors)[0]


PARAMETERS = Layout(["conv.weight", "bn.bias"], ["conv", "norm"], [(1, 1, 2, 2), (3,)])
BUFFERS = Layout(["bn.mean"], ["buffer"], [(3,)])


def make_history(**changed):
    curves = {f.name: random(SNAPSHOTS) for f in fields(History)[1:-2]}
    epochs = np.arange(SNAPSHOTS)
    found = {"epochs": epochs, "steps": 3 * epochs, **curves, "iteration_loss": random(12)}
    return History(**found | changed)


def save_run(path, thetas=None, buffers=None, history=None, layouts=(PARAMETERS, BUFFERS)):
    thetas = random(SNAPSHOTS, PARAMS, dtype=np.float32) if thetas is None else thetas
    buffers = random(SNAPSHOTS, 3, dtype=np.float32) if buffers is None else buffers
    tensors = (layout.to_tensors() for layout in layouts)
    save(path, Trajectory(thetas, buffers, history or make_history(), *tensors), PROVENANCE)
    return thetas, buffers


def test_run_is_read_back_unchanged(tmp_path):
    history = make_history()
    thetas, buffers = save_run(tmp_path / "a.h5", history=history)
    found = load_part(tmp_path / "a.h5", Trajectory, "history")

    with stream(tmp_path / "a.h5", Trajectory) as file:
        assert np.array_equal(file["thetas"][1:3, 2:], thetas[1:3, 2:])
    assert np.array_equal(load_part(tmp_path / "a.h5", Trajectory, "buffers"), buffers)
    assert load_layouts(tmp_path / "a.h5") == (PARAMETERS, BUFFERS)
    assert all(equal(getattr(found, f.name), getattr(history, f.name)) for f in fields(History))


def test_run_of_a_network_without_buffers_is_read_back(tmp_path):
    empty = Layout([], [], [])
    save_run(
        tmp_path / "a.h5",
        buffers=np.zeros((SNAPSHOTS, 0), np.float32),
        layouts=(PARAMETERS, empty),
    )

    assert load_part(tmp_path / "a.h5", Trajectory, "buffers").shape == (SNAPSHOTS, 0)
    assert load_layouts(tmp_path / "a.h5") == (PARAMETERS, empty)


@pytest.mark.parametrize(
    "wrong",
    [
        {"thetas": random(SNAPSHOTS, PARAMS)},
        {"thetas": random(PARAMS, dtype=np.float32)},
        {"thetas": random(SNAPSHOTS + 1, PARAMS, dtype=np.float32)},
        {"buffers": random(SNAPSHOTS + 1, 3, dtype=np.float32)},
        {"buffers": random(SNAPSHOTS, 3)},
        {"history": make_history(epochs=np.arange(SNAPSHOTS) / 2)},
        {"history": make_history(steps=np.arange(SNAPSHOTS + 1))},
        {"history": make_history(train_loss=random(SNAPSHOTS - 1))},
        {"history": make_history(theta_norm=random(SNAPSHOTS, dtype=np.float32))},
        {"history": make_history(iteration_loss=random(4, 3))},
        {"layouts": (PARAMETERS, Layout(["m"], ["buffer", "buffer"], [(3,)]))},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_run_whose_arrays_do_not_fit_is_refused(tmp_path, wrong):
    with pytest.raises(LossmapError, match=r"expected|but '"):
        save_run(tmp_path / "a.h5", **wrong)
    assert not list(tmp_path.iterdir())


def test_digest_of_a_run_depends_on_its_weights(tmp_path):
    thetas, _ = save_run(tmp_path / "a.h5")
    nudged = thetas.copy()
    nudged[-1, -1] = np.nextafter(nudged[-1, -1], np.float32(9))
    save_run(tmp_path / "b.h5", thetas=nudged)

    assert digest_of(tmp_path / "a.h5") != digest_of(tmp_path / "b.h5")


def test_snapshot_is_found_by_epoch():
    assert find_snapshot(np.array([0, 2, 5]), 5, "run") == 2


def test_epoch_without_snapshot_is_named_beside_those_kept():
    with pytest.raises(LossmapError, match=r"run: no snapshot at epoch 3; epochs kept: 0, 2, 5$"):
        find_snapshot(np.array([0, 2, 5]), 3, "run")
    with pytest.raises(LossmapError, match=r"10, 11 …$"):
        find_snapshot(np.arange(20), 30, "run")


@pytest.mark.parametrize("kind", [Figure, Table, Animation], ids=lambda kind: kind.KIND.name)
def test_panels_are_read_back_unchanged(tmp_path, kind):
    panels = {
        "a": {"loss": random(3, 2), "label": ["FN", "θ · 1 … 10"]},
        "b": {"epoch": np.int64(4), "alphas": random(0)},
    }
    save_panels(tmp_path / "a.h5", kind, panels, PROVENANCE)
    found = load_panels(tmp_path / "a.h5", kind)

    assert {panel: list(values) for panel, values in found.items()} == {
        "a": ["label", "loss"],
        "b": ["alphas", "epoch"],
    }
    assert found["a"]["label"] == panels["a"]["label"]
    assert np.array_equal(found["a"]["loss"], panels["a"]["loss"])
    assert found["b"]["epoch"] == 4
    assert found["b"]["alphas"].shape == (0,)


def test_digest_of_a_figure_depends_on_every_panel(tmp_path):
    one = {"a": {"x": np.zeros(2)}, "b": {"x": np.zeros(2)}}
    two = {"a": {"x": np.zeros(2)}, "b": {"x": np.ones(2)}}
    save_panels(tmp_path / "a.h5", Figure, one, PROVENANCE)
    save_panels(tmp_path / "b.h5", Figure, two, PROVENANCE)

    assert digest_of(tmp_path / "a.h5") != digest_of(tmp_path / "b.h5")


def test_table_is_not_read_as_a_figure(tmp_path):
    save_panels(tmp_path / "a.h5", Table, {"table": {"x": np.zeros(2)}}, PROVENANCE)

    with pytest.raises(LossmapError, match="expected kind 'figure', got 'table'"):
        load_panels(tmp_path / "a.h5", Figure)
