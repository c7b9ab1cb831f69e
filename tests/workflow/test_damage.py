"""Artifacts of every stage, damaged in every way: named, never read as values.

The artifacts are those of a real run. `make fuzz` tries more: LOSSMAP_FUZZ is the number of
damaged files per stage.
"""

import os
import shutil

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests_support import copy_mini_project

from lossmap.artifacts.seal import SEAL, read_mark
from lossmap.artifacts.store import read_datasets, verify_artifact
from lossmap.errors import LossmapError
from lossmap.workflow.stages import STAGES

pytestmark = pytest.mark.slow

EXAMPLES = int(os.environ.get("LOSSMAP_FUZZ", "150"))
SAMPLES = {
    "dataset": "c10",
    "trajectory": "c10-resnet20",
    "basis": "c10-pca",
    "grid": "c10-pca",
    "jumps": "c10-d0",
    "distance": "c10",
    "embedding": "c10-pca",
    "figure": "mini_cloud",
}
tried = dict.fromkeys(SAMPLES, 0)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    project = copy_mini_project(tmp_path_factory.mktemp("made"))
    project.snakemake()
    yield project
    print(f"damaged files tried: {sum(tried.values())} ({tried})")


@pytest.fixture(scope="module", params=SAMPLES)
def sample(request, made, tmp_path_factory):
    """Give stage, a file to spoil, and its bytes when whole."""
    source = made.path(request.param, SAMPLES[request.param])
    path = tmp_path_factory.mktemp("spoilt") / source.name
    return request.param, path, source.read_bytes()


def flip(data, places):
    for place, mask in places:
        data[place % len(data)] ^= mask


def cut(data, places):
    del data[places[0][0] % len(data) :]


def blank(data, places):
    start = places[0][0] % len(data)
    end = min(len(data), start + 512 * places[-1][1])
    data[start:end] = bytes(end - start)


def move(data, places):
    """Swap two blocks, as a file system may after a crash."""
    blocks = max(len(data) // 512, 1)
    first, second = (512 * (place % blocks) for place, _ in (places[0], places[-1]))
    block = bytes(data[first : first + 512])
    data[first : first + 512] = data[second : second + 512]
    data[second : second + len(block)] = block


def insert(data, places):
    data[places[0][0] % len(data) : 0] = bytes([places[0][1]]) * places[-1][1]


places = st.lists(st.tuples(st.integers(0, 2**24), st.integers(1, 255)), min_size=1, max_size=6)


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(spoil=st.sampled_from([flip, cut, blank, move, insert]), places=places)
def test_no_damage_is_read_as_a_value(sample, spoil, places):
    stage, path, whole = sample
    data = bytearray(whole)
    spoil(data, places)
    if bytes(data) == whole:
        return
    tried[stage] += 1
    path.write_bytes(data)
    if data[: len(SEAL)] == whole[: len(SEAL)]:
        with pytest.raises(LossmapError) as caught:
            read_datasets(path, STAGES[stage].kind)
        message = str(caught.value)
        assert message.startswith(f"{path}: ")
        assert "\n" not in message
        with pytest.raises(LossmapError):
            verify_artifact(path, STAGES[stage].kind)


@pytest.mark.parametrize("stage", SAMPLES)
def test_a_file_of_every_other_stage_is_foreign(made, tmp_path, stage):
    for other, name in SAMPLES.items():
        if other == stage:
            continue
        path = tmp_path / "x.h5"
        shutil.copy2(made.path(other, name), path)
        with pytest.raises(LossmapError, match=f"expected kind '{stage}', got '{other}'"):
            read_datasets(path, STAGES[stage].kind)


@pytest.mark.parametrize("stage", SAMPLES)
def test_every_number_of_an_artifact_is_covered_by_its_digest(made, tmp_path, stage):
    """Somebody edits a value with an HDF5 tool, and takes the seal off."""
    whole = made.path(stage, SAMPLES[stage])
    names = []
    with h5py.File(whole) as file:
        file.visititems(lambda name, item: names.append(name) if hasattr(item, "dtype") else None)
    for name in names:
        path = tmp_path / "x.h5"
        shutil.copy2(whole, path)
        with h5py.File(path, "r+") as file:
            if file[name].dtype.kind not in "fiu" or not file[name].size:
                continue
            values = np.asarray(file[name][()])
            changed = values.copy()
            changed.reshape(-1)[-1] = 1 if changed.reshape(-1)[-1] != 1 else 2
            file[name][()] = changed
        path.write_bytes(bytes(512) + path.read_bytes()[512:])
        assert read_mark(path) is None
        with pytest.raises(LossmapError, match="does not match its digest"):
            verify_artifact(path, STAGES[stage].kind)
