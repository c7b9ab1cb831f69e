"""A resume point is read back exactly, or not at all; only one holder writes it."""

import logging

import numpy as np
import pytest
from filelock import FileLock, Timeout

from lossmap.artifacts.provenance import Provenance, resume_folder
from lossmap.errors import LossmapError
from lossmap.network import checkpoint as module
from lossmap.network.checkpoint import Checkpoint

WIDTHS = {"thetas": 5, "buffers": 2, "none": 0}


def row(number: int) -> dict[str, np.ndarray]:
    return {name: np.full(width, number, np.float32) for name, width in WIDTHS.items()}


def state(rows: int) -> dict[str, np.ndarray]:
    return {"rows": np.int64(rows), "momentum": np.linspace(0, rows, 7), "step": np.float32(rows)}


@pytest.fixture
def open_point(tmp_path):
    held = []

    def open_again() -> Checkpoint:
        while held:
            held.pop().close()
        held.append(Checkpoint(tmp_path / "point", WIDTHS))
        return held[-1]

    yield open_again
    held.pop().close()


@pytest.fixture
def saved(open_point):
    """Give a function that opens a point with two saved rows."""
    point = open_point()
    point.load()
    for number in (1, 2):
        point.save(row(number), state(number))
    return open_point


def test_nothing_saved_loads_as_none(open_point):
    assert open_point().load() is None


def test_state_and_rows_come_back_as_saved(saved):
    point = saved()
    found = point.load()
    assert set(found) == {"rows", "momentum", "step"}
    for name, values in state(2).items():
        np.testing.assert_array_equal(found[name], values)
        assert found[name].dtype == values.dtype
    for name, width in WIDTHS.items():
        assert point.rows(name, 2).shape == (2, width)
        assert point.rows(name, 2).dtype == np.float32
    np.testing.assert_array_equal(point.rows("thetas", 2), np.repeat([[1], [2]], 5, axis=1))


@pytest.mark.parametrize("torn", [1, 19, 20, 33])
def test_rows_beyond_the_state_are_cut_off(saved, torn):
    point = saved()
    with open(point.folder / "thetas.f32", "ab") as stream:
        stream.write(b"\xff" * torn)
    assert int(point.load()["rows"]) == 2
    point.save(row(3), state(3))
    np.testing.assert_array_equal(point.rows("thetas", 3)[:, 0], [1, 2, 3])


@pytest.mark.parametrize("name", ["thetas", "buffers"])
@pytest.mark.parametrize("missing", [1, 8])
def test_too_few_rows_start_afresh(saved, name, missing):
    point = saved()
    path = point.folder / f"{name}.f32"
    path.write_bytes(path.read_bytes()[:-missing])
    assert point.load() is None
    point.save(row(7), state(1))
    assert int(saved().load()["rows"]) == 1
    np.testing.assert_array_equal(point.rows("thetas", 1)[:, 0], [7])


def test_no_flipped_byte_of_the_state_changes_what_is_loaded(saved):
    point = saved()
    path = point.folder / "state.h5"
    whole, rows = path.read_bytes(), (point.folder / "thetas.f32").read_bytes()
    expected = state(2)
    for position in range(0, len(whole), 41):
        damaged = bytearray(whole)
        damaged[position] ^= 0xFF
        path.write_bytes(damaged)
        found = point._read_state()
        if found is not None:  # the byte was padding
            assert set(found) == set(expected), position
            for name, values in expected.items():
                np.testing.assert_array_equal(found[name], values)
    assert (point.folder / "thetas.f32").read_bytes() == rows


def test_no_truncated_state_is_loaded(saved):
    point = saved()
    path = point.folder / "state.h5"
    whole = path.read_bytes()
    for length in range(0, len(whole), 173):
        path.write_bytes(whole[:length])
        assert point._read_state() is None, length


def test_any_damaged_byte_of_the_rows_discards_the_resume_point(saved, caplog):
    for name, width in (("thetas", 5), ("buffers", 2)):
        for position in range(2 * 4 * width):
            point = saved()
            point.load()
            for number in (1, 2):
                point.save(row(number), state(number))
            path = point.folder / f"{name}.f32"
            data = bytearray(path.read_bytes())
            data[position] ^= 1 << position % 8
            path.write_bytes(data)
            caplog.clear()
            assert saved().load(logging.getLogger()) is None, (name, position)
            assert "point: its rows are damaged or of another run" in caplog.text
            assert list(point.folder.iterdir()) == []


def test_a_state_that_cannot_be_trusted_is_said(saved, caplog):
    point = saved()
    point._state_path.write_bytes(point._state_path.read_bytes()[:-1])
    assert point.load(logging.getLogger()) is None
    assert "point: state.h5 is damaged or of another run; nothing of it is used" in caplog.text


def test_nothing_saved_is_nothing_to_say(open_point, caplog):
    assert open_point().load(logging.getLogger()) is None
    assert not caplog.messages


def test_rows_that_no_state_knows_are_not_added_to_the_hash(saved):
    """A kill between rows and state: the rows are written again."""
    point = saved()
    for name, values in row(9).items():
        with open(point.folder / f"{name}.f32", "ab") as stream:
            stream.write(values.tobytes())
    point.load()
    point.save(row(3), state(3))
    assert int(saved().load()["rows"]) == 3


def test_swapped_rows_are_not_used(saved):
    """Of equal rows in another order, length and sum are the same."""
    path = saved().folder / "thetas.f32"
    data = path.read_bytes()
    path.write_bytes(data[20:] + data[:20])
    assert saved().load() is None


def test_the_state_of_another_run_is_not_used(saved, tmp_path):
    saved().close()
    other = Checkpoint(tmp_path / "point", WIDTHS, "another run")
    try:
        assert other.load() is None
    finally:
        other.close()


def test_rows_are_checked_before_an_artifact_is_made_of_them(saved):
    point = saved()
    point.load()
    point.check_rows(2)
    path = point.folder / "thetas.f32"
    path.write_bytes(b"\1" + path.read_bytes()[1:])
    with pytest.raises(LossmapError, match=r"point: its rows were damaged .* run again"):
        point.check_rows(2)


def test_discard_removes_everything(saved):
    point = saved()
    point.discard()
    assert not point.folder.exists()
    assert saved().load() is None


def test_only_one_holds_it_at_a_time(saved):
    point = saved()
    lock = FileLock(point.folder.with_suffix(".lock"))
    with pytest.raises(Timeout):
        lock.acquire(timeout=0)
    point.close()
    with lock.acquire(timeout=0):
        pass


@pytest.mark.parametrize("stage", ["rows", "state"])
def test_full_disk_is_one_line_and_keeps_the_former_state(saved, stage, monkeypatch):
    point = saved()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        owner, name = (module, "open") if stage == "rows" else (module.h5py, "File")
        patched.setattr(owner, name, full, raising=False)
        with pytest.raises(
            LossmapError, match=r"point: .*No space left on device.*free or unlock .* goes on"
        ):
            point.save(row(3), state(3))
    assert int(saved().load()["rows"]) == 2


def test_folder_is_named_by_spec_code_and_inputs(tmp_path):
    artifact = tmp_path / "results" / "trajectory" / "c10.h5"
    plain = Provenance("spec", "code", {"dataset/a": "1", "dataset/b": "2"})
    folder = resume_folder(artifact, plain)
    assert folder.parent == tmp_path / "results" / ".resume" / "trajectory"
    assert folder.name.startswith("c10-")
    reordered = Provenance("spec", "code", {"dataset/b": "2", "dataset/a": "1"})
    assert resume_folder(artifact, reordered) == folder
    others = [
        Provenance("spec2", "code", plain.inputs),
        Provenance("spec", "code2", plain.inputs),
        Provenance("spec", "code", {"dataset/a": "1", "dataset/b": "3"}),
        Provenance("spec", "code", {"dataset/a": "1"}),
    ]
    assert len({folder, *(resume_folder(artifact, other) for other in others)}) == 5
    assert resume_folder(artifact.with_name("c100.h5"), plain) != folder
