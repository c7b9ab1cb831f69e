"""The artifacts of clouds and embeddings: what is written is read."""

from dataclasses import replace

import h5py
import numpy as np
import pytest

from lossmap.artifacts.distance import Cloud, Origins
from lossmap.artifacts.embedding import Embedding
from lossmap.artifacts.provenance import Provenance
from lossmap.artifacts.store import digest_of, load, save
from lossmap.errors import LossmapError

PROVENANCE = Provenance("{}", "c0de", {})
ROWS = 5


def random(*shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape)


def make_origins():
    return Origins(
        is_optimum=np.array([1, 0, 0, 0, 0], np.int8),
        trajectory=np.array([-1, 0, 0, 1, 1]),
        source=np.array([0, 0, 0, 1, 1]),
        direction=np.array([-1, 3, 3, 4, 4]),
        step_size=np.array([np.nan, 0.5, 0.5, 1, 1]),
        epoch=np.array([-1, 0, 1, 0, 1]),
        train_loss=random(ROWS),
        train_accuracy=random(ROWS) + 1,
        test_loss=random(ROWS) + 2,
        test_accuracy=random(ROWS) + 3,
        sources=["één", "twee"],
        loss_label="squared error",
    )


def make_cloud():
    geometry = [random(ROWS, ROWS), random(ROWS, ROWS) + 1, random(ROWS, ROWS) + 2, random(ROWS)]
    return Cloud(*geometry, make_origins())


def make_embedding():
    diagnostics = {
        "t": 7,
        "entropy": random(9),
        "potential": random(ROWS, ROWS),
        "graph_components": 2,
    }
    continuity = {"long_steps": 0.1, "longest_gap": 0.2, "components": 3.0, "order": 0.4}
    return Embedding(random(ROWS, 2), np.arange(ROWS), make_origins(), continuity, diagnostics)


KINDS = {"distance": make_cloud, "embedding": make_embedding}


def flatten(value, prefix=""):
    """Return every array, list and number of an object by its path."""
    if isinstance(value, np.ndarray | np.generic | list | str | float | int):
        return {prefix: value}
    parts = value if isinstance(value, dict) else vars(value)
    return {k: v for name in parts for k, v in flatten(parts[name], f"{prefix}/{name}").items()}


@pytest.mark.parametrize("name", KINDS)
def test_every_field_is_read_back_unchanged(tmp_path, name):
    make = KINDS[name]
    save(tmp_path / "a.h5", make(), PROVENANCE)
    found, wanted = flatten(load(tmp_path / "a.h5", type(make()))), flatten(make())

    assert found.keys() == wanted.keys()
    for key, value in wanted.items():
        np.testing.assert_array_equal(found[key], value, err_msg=key)
        assert np.asarray(found[key]).dtype == np.asarray(value).dtype, key


@pytest.mark.parametrize("name", KINDS)
def test_equal_content_gives_equal_bytes(tmp_path, name):
    make = KINDS[name]
    save(tmp_path / "a.h5", make(), PROVENANCE)
    save(tmp_path / "b.h5", make(), PROVENANCE)

    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


@pytest.mark.parametrize(("name", "key"), [(n, k) for n in KINDS for k in flatten(KINDS[n]())])
def test_digest_depends_on_every_field(tmp_path, name, key):
    make = KINDS[name]
    other = make()
    parts = key.strip("/").split("/")
    change(other, parts)
    save(tmp_path / "a.h5", make(), PROVENANCE)
    save(tmp_path / "b.h5", other, PROVENANCE)

    assert digest_of(tmp_path / "a.h5") != digest_of(tmp_path / "b.h5")


def change(value, parts):
    """Add one to what lies at a path, in place; frozen dataclasses have a dictionary as well."""
    *path, last = parts
    for part in path:
        value = value[part] if isinstance(value, dict) else vars(value)[part]
    holder = value if isinstance(value, dict) else vars(value)
    old = holder[last]
    holder[last] = (
        [*old[:-1], "another"] if isinstance(old, list) else old + np.asarray(old).dtype.type(1)
    )


@pytest.mark.parametrize("name", KINDS)
def test_missing_dataset_is_named(tmp_path, name):
    make = KINDS[name]
    kind = make().KIND
    needed = [field for field, declared in kind.fields.items() if declared.required]
    save(tmp_path / "a.h5", make(), PROVENANCE)
    with h5py.File(tmp_path / "a.h5", "r") as file:
        found = {field: file[field][()] for field in needed}
    for field in needed:
        with h5py.File(tmp_path / "b.h5", "w") as file:
            file.attrs.update(kind=kind.name, format_version=kind.version, spec="{}", digest="0")
            for other, values in found.items():
                if other != field:
                    file[other] = values
        with pytest.raises(LossmapError, match=f"dataset '{field}' is missing"):
            load(tmp_path / "b.h5", type(make()))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("gram", np.zeros((4, 5)), "5 rows, but 'gram' has 4|has 4"),
        ("norms", np.zeros(4), "'norms' has 4 rows"),
        ("cosine", np.zeros((5, 5), np.float32), "'cosine' has type float32"),
    ],
)
def test_cloud_of_wrong_shape_or_type_is_refused(tmp_path, field, value, message):
    with pytest.raises(LossmapError, match=message):
        save(tmp_path / "a.h5", replace(make_cloud(), **{field: value}), PROVENANCE)
    assert not (tmp_path / "a.h5").exists()


def test_embedding_without_diagnostics_is_whole(tmp_path):
    plain = replace(make_embedding(), diagnostics={})
    save(tmp_path / "a.h5", plain, PROVENANCE)

    assert load(tmp_path / "a.h5", Embedding).diagnostics == {}


def test_taking_rows_takes_them_of_every_field():
    taken = make_origins().take(np.array([1, 3]))

    assert taken.epoch.tolist() == [0, 0]
    assert taken.direction.tolist() == [3, 4]
    assert taken.sources == ["één", "twee"]
    assert taken.loss_label == "squared error"
    assert all(len(v) == 2 for name, v in vars(taken).items() if name != "loss_label")
