import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lossmap.artifacts import store
from lossmap.artifacts.canonical import canonical_json
from lossmap.artifacts.declare import Field, Kind
from lossmap.artifacts.files import write_text
from lossmap.artifacts.provenance import Provenance
from lossmap.artifacts.seal import SEAL
from lossmap.artifacts.store import (
    digest_of,
    name_of,
    open_artifact,
    read_datasets,
    read_provenance,
    save_artifact,
    trace_provenance,
    verify_artifact,
)
from lossmap.errors import LossmapError

PACKAGE = Path(__file__).parents[2] / "workflow_scripts"
KIND = Kind(
    "sample",
    3,
    {
        "a_group/words": Field("str", ("items",)),
        "a_group/sizes": Field("int64", ("items",)),
        "matrix": Field("float32", ("rows", "columns")),
        "scalar": Field("float64"),
        "z_group/curve": Field("float64", ("rows",)),
        "z_group/extra": Field("int64", ("rows",), required=False),
    },
)
PROVENANCE = Provenance('{"seed":1}', "c0de", {"dataset/d": "1234"})


def contents(**changed):
    return {
        "a_group/words": ["conv", "θ … 1"],
        "a_group/sizes": np.array([4, 2]),
        "matrix": np.arange(12, dtype=np.float32).reshape(3, 4),
        "scalar": np.float64(0.5),
        "z_group/curve": np.array([1.0, np.inf, np.nan]),
    } | changed


def test_verifying_what_is_no_file_names_it_and_does_not_wait(tmp_path):
    os.mkfifo(tmp_path / "a.h5")
    with pytest.raises(LossmapError, match=r"a\.h5: no such file, but a pipe or a device"):
        verify_artifact(tmp_path / "a.h5", KIND)


def save(path, kind=KIND, provenance=PROVENANCE, **changed):
    save_artifact(path, kind, contents(**changed), provenance)
    return path


def equal(found, wanted):
    return found.keys() == wanted.keys() and all(
        np.array_equal(found[n], wanted[n], equal_nan=np.asarray(wanted[n]).dtype.kind == "f")
        for n in wanted
    )


def refusal(path, call=None):
    """Return the message of the LossmapError that reading gives: one line that names the file."""
    with pytest.raises(LossmapError) as caught:
        call(path) if call else read_datasets(path, KIND)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


def test_saved_datasets_are_read_back_unchanged(tmp_path):
    found = read_datasets(save(tmp_path / "a.h5"), KIND)

    assert equal(found, contents())
    assert found["matrix"].dtype == np.float32
    assert found["a_group/words"] == ["conv", "θ … 1"]
    assert read_datasets(tmp_path / "a.h5", KIND, ["scalar"]) == {"scalar": 0.5}


def test_wide_matrix_is_chunked_by_row_and_read_back_unchanged(tmp_path):
    wide = np.random.default_rng(0).standard_normal((3, store.CHUNK + 5)).astype(np.float32)
    path = save(tmp_path / "a.h5", matrix=wide)

    assert np.array_equal(read_datasets(path, KIND)["matrix"], wide)
    with open_artifact(path, KIND) as file:
        assert file["matrix"].chunks == (1, store.CHUNK)


def test_memory_map_gives_the_bytes_of_the_array(tmp_path):
    wide = np.random.default_rng(0).standard_normal((3, store.CHUNK + 5)).astype(np.float32)
    wide.tofile(tmp_path / "rows")
    mapped = np.memmap(tmp_path / "rows", np.float32, "r", shape=wide.shape)

    one, two = save(tmp_path / "a.h5", matrix=wide), save(tmp_path / "b.h5", matrix=mapped)

    assert one.read_bytes() == two.read_bytes()


def test_equal_arguments_give_equal_bytes(tmp_path):
    backwards = dict(reversed(contents().items()))
    one = save(tmp_path / "a.h5")
    save_artifact(tmp_path / "b" / "c.h5", KIND, backwards, PROVENANCE)

    assert one.read_bytes() == (tmp_path / "b" / "c.h5").read_bytes()


def test_another_process_gives_equal_bytes(tmp_path):
    script = (
        "import sys; sys.path[:0] = sys.argv[2:]\nfrom pathlib import Path\n"
        "import test_store; test_store.save(Path(sys.argv[1]))"
    )
    command = [sys.executable, "-c", script, tmp_path / "b.h5", PACKAGE, Path(__file__).parent]
    subprocess.run(command, check=True, env=os.environ | {"PYTHONHASHSEED": "7"})

    assert save(tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_saving_replaces_the_earlier_artifact(tmp_path):
    save(tmp_path / "a.h5")
    save(tmp_path / "a.h5", scalar=np.float64(2.0))

    assert read_datasets(tmp_path / "a.h5", KIND)["scalar"] == 2.0
    assert os.listdir(tmp_path) == ["a.h5"]


@pytest.mark.parametrize(
    "change",
    [
        {"a_group/words": ["conv", "θ … 2"]},
        {"a_group/sizes": np.array([4, 3])},
        {"matrix": np.zeros((3, 4), np.float32)},
        {"scalar": np.float64(0.25)},
        {"z_group/curve": np.array([1.0, np.inf, 0.0])},
        {"z_group/extra": np.array([1, 2, 3])},
    ],
    ids=lambda change: next(iter(change)),
)
def test_digest_depends_on_every_dataset(tmp_path, change):
    same = digest_of(save(tmp_path / "a.h5"))

    assert digest_of(save(tmp_path / "b.h5", **change)) != same


def test_digest_depends_on_kind_and_version_but_not_on_provenance(tmp_path):
    same = digest_of(save(tmp_path / "a.h5"))
    other = Provenance('{"seed":2}', "beef", {})

    assert digest_of(save(tmp_path / "b.h5", provenance=other)) == same
    assert digest_of(save(tmp_path / "c.h5", Kind("sample", 4, KIND.fields))) != same
    assert digest_of(save(tmp_path / "d.h5", Kind("other", 3, KIND.fields))) != same


def test_digest_of_an_artifact_that_is_read_in_blocks_is_the_same(tmp_path, monkeypatch):
    whole = digest_of(save(tmp_path / "a.h5"))
    monkeypatch.setattr(store, "VERIFY_BYTES", 1)

    assert digest_of(save(tmp_path / "b.h5")) == whole


def fail_with(code):
    def fail(*arguments, **options):
        raise OSError(code, os.strerror(code))

    return fail


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize(
    "where",
    ["os.posix_fallocate", "h5py.File", "h5py.Group.create_dataset", "os.fsync", "os.replace"],
)
def test_failed_save_leaves_the_folder_as_it_was(tmp_path, monkeypatch, where, code):
    before = save(tmp_path / "a.h5").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(where, fail_with(code))
        message = refusal(tmp_path / "a.h5", lambda path: save(path, scalar=np.float64(9)))
        refusal(tmp_path / "b.h5", save)

    assert os.strerror(code) in message
    assert os.listdir(tmp_path) == ["a.h5"]
    assert (tmp_path / "a.h5").read_bytes() == before


def test_temporary_file_cannot_be_made_in_a_read_only_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(store.tempfile, "mkstemp", fail_with(errno.EROFS))

    assert "Read-only file system" in refusal(tmp_path / "a.h5", save)
    assert os.listdir(tmp_path) == []


def test_folder_that_is_a_file_is_named(tmp_path):
    (tmp_path / "stage").write_text("")

    assert "cannot be written" in refusal(tmp_path / "stage" / "a.h5", save)
    assert "cannot be written" in refusal(
        tmp_path / "stage" / "a.csv", lambda path: write_text(path, "x")
    )


def test_hdf5_closing_on_a_full_disk_is_one_line(tmp_path, monkeypatch):
    message = (
        "Can't decrement id ref count (file write failed: time = today\n, filename = 'x', errno = "
        "28, error message = 'No space left on device', buf = 0x1)"
    )

    def close(file):
        raise RuntimeError(message)

    monkeypatch.setattr(store, "write_attributes", lambda *arguments: close(None))

    assert "(No space left on device)" in refusal(tmp_path / "a.h5", save)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("limit", [100, 40_000])
def test_disk_that_really_fills_up_gives_an_error_and_no_file(tmp_path, limit):
    script = (
        "import resource, signal, sys; sys.path[:0] = sys.argv[3:]\nfrom pathlib import Path\n"
        "import numpy as np, test_store\nfrom lossmap.errors import LossmapError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)\n"
        "try: test_store.save(Path(sys.argv[1]), matrix=np.ones((3, 20000), np.float32))\n"
        "except LossmapError as error: print(error)"
    )
    where = [PACKAGE, Path(__file__).parent]
    command = [sys.executable, "-c", script, tmp_path / "a.h5", str(limit), *where]
    done = subprocess.run(command, check=True, capture_output=True, text=True)

    assert "File too large" in done.stdout
    assert done.stdout.count("\n") == 1
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("where", ["os.fsync", "os.replace"])
def test_killed_save_leaves_nothing_under_the_name(tmp_path, where):
    script = (
        "import os, signal, sys; sys.path[:0] = sys.argv[2:]\nfrom pathlib import Path\n"
        f"import test_store\n{where} = lambda *a: os.kill(os.getpid(), signal.SIGKILL)\n"
        "test_store.save(Path(sys.argv[1]))"
    )
    command = [sys.executable, "-c", script, tmp_path / "a.h5", PACKAGE, Path(__file__).parent]
    done = subprocess.run(command, check=False)

    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "a.h5").exists()
    assert all(name.startswith(".") for name in os.listdir(tmp_path))


def test_data_that_do_not_fit_the_kind_are_not_saved(tmp_path):
    message = refusal(tmp_path / "a.h5", lambda path: save(path, matrix=np.ones((3, 4))))

    assert "'matrix' has type float64, expected float32 (rows, columns)" in message
    assert os.listdir(tmp_path) == []


def test_write_text_is_atomic(tmp_path, monkeypatch):
    write_text(tmp_path / "stage" / "a.csv", "θ\n")
    with monkeypatch.context() as patch:
        patch.setattr("os.replace", fail_with(errno.ENOSPC))
        message = refusal(tmp_path / "stage" / "a.csv", lambda path: write_text(path, "new"))

    assert "No space left" in message
    assert os.listdir(tmp_path / "stage") == ["a.csv"]
    assert (tmp_path / "stage" / "a.csv").read_text(encoding="utf-8") == "θ\n"


READERS = [lambda path: read_datasets(path, KIND), read_provenance, digest_of]


@pytest.mark.parametrize("read", READERS, ids=["datasets", "provenance", "digest"])
def test_missing_file_is_named(tmp_path, read):
    assert "no such file" in refusal(tmp_path / "a.h5", read)


def test_missing_input_that_is_no_artifact_is_named(tmp_path):
    assert "missing" in refusal(tmp_path / "images.tar", digest_of)


def test_folder_in_place_of_a_file_is_named(tmp_path):
    (tmp_path / "a.h5").mkdir()

    assert "no such file" in refusal(tmp_path / "a.h5")


@pytest.mark.parametrize("text", [b"", b"not HDF5\n" * 200, b"\x89HDF\r\n\x1a\n" + b"\xff" * 900])
@pytest.mark.parametrize("read", READERS[:2], ids=["datasets", "provenance"])
def test_file_that_is_not_hdf5_is_named(tmp_path, text, read):
    (tmp_path / "a.h5").write_bytes(text)

    assert "not a readable HDF5 file" in refusal(tmp_path / "a.h5", read)


def test_every_truncation_is_named(tmp_path):
    whole = save(tmp_path / "a.h5").read_bytes()
    for length in [*range(0, len(whole), 97), len(whole) - 1]:
        (tmp_path / "a.h5").write_bytes(whole[:length])
        for read in READERS:
            if read is not digest_of or length >= len(SEAL):  # shorter, it may be anyone's file
                refusal(tmp_path / "a.h5", read)


def test_appended_bytes_are_named(tmp_path):
    path = save(tmp_path / "a.h5")
    path.write_bytes(path.read_bytes() + b"\0")

    assert "damaged or edited" in refusal(path)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = save(tmp_path_factory.mktemp("sample") / "a.h5")
    return path, path.read_bytes()


@settings(max_examples=250, deadline=None, derandomize=True)
@example(offset=0, mask=1)
@example(offset=len(SEAL) + 3, mask=1)
@example(offset=len(SEAL) + 80, mask=1)
@given(offset=st.integers(0, 10**6), mask=st.integers(1, 255))
def test_damaged_byte_is_named_and_never_read_as_a_value(saved, offset, mask):
    path, whole = saved
    damaged = bytearray(whole)
    damaged[offset % len(whole)] ^= mask
    path.write_bytes(damaged)

    if offset % len(whole) < len(SEAL):  # the note itself: the content is whole
        assert equal(read_datasets(path, KIND), contents())
        assert read_provenance(path) == PROVENANCE
    else:
        for read in READERS:
            refusal(path, read)


@settings(
    max_examples=80,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(flips=st.lists(st.tuples(st.integers(512, 10**6), st.integers(1, 255)), min_size=2))
def test_many_damaged_bytes_are_named(saved, flips):
    path, whole = saved
    damaged = bytearray(whole)
    for offset, mask in flips:
        damaged[512 + offset % (len(whole) - 512)] ^= mask
    path.write_bytes(damaged)

    if damaged != whole:
        refusal(path)


def test_content_is_checked_where_the_seal_is_lost(tmp_path):
    path = save(tmp_path / "a.h5")
    edit(path, lambda file: file["z_group/curve"].write_direct(np.zeros(3)))

    assert "damaged or edited since it was saved" in refusal(path)
    path.write_bytes(b"\0" * 512 + path.read_bytes()[512:])
    assert "does not match its digest" in refusal(path)


def test_hdf5_sees_no_byte_of_a_file_whose_seal_is_broken(tmp_path, monkeypatch):
    path = save(tmp_path / "a.h5")
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    monkeypatch.setattr("h5py.File", None)

    assert "damaged or edited" in refusal(path)


def edit(path, change):
    with h5py.File(path, "r+") as file:
        change(file)


def unsealed(path):
    path.write_bytes(b"\0" * 512 + path.read_bytes()[512:])
    return path


ERRORS = [OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError, MemoryError]


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("where", ["content_digest", "check_fields", "read_values"])
def test_whatever_hdf5_raises_is_named(tmp_path, monkeypatch, error, where):
    path = save(tmp_path / "a.h5")

    def fail(*arguments):
        raise error("two\nlines")

    monkeypatch.setattr(store, where, fail)

    assert "damaged or missing (" in refusal(path)


@pytest.mark.parametrize("name", ["inputs", "spec", "code"])
def test_provenance_without_an_attribute_is_named(tmp_path, name):
    path = save(tmp_path / "a.h5")
    edit(path, lambda file: file.attrs.pop(name))

    assert "not a lossmap artifact" in refusal(unsealed(path), read_provenance)


def test_provenance_that_is_not_json_is_named(tmp_path):
    path = save(tmp_path / "a.h5")
    edit(path, lambda file: file.attrs.update(inputs="{"))

    assert "damaged" in refusal(unsealed(path), read_provenance)


def test_wrong_kind_is_named(tmp_path):
    path = save(tmp_path / "a.h5", Kind("other", 3, KIND.fields))

    assert "expected kind 'sample', got 'other'" in refusal(path)


def test_wrong_version_is_named(tmp_path):
    path = save(tmp_path / "a.h5", Kind("sample", 2, KIND.fields))

    assert "format version 2, but this release reads 3" in refusal(path)


def test_foreign_hdf5_is_named(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["matrix"] = np.zeros((3, 4), np.float32)

    assert "expected a lossmap artifact of kind 'sample'" in refusal(tmp_path / "a.h5")


@pytest.mark.parametrize(
    ("field", "change", "wanted"),
    [
        ("scalar", None, "'scalar' is missing from this sample"),
        ("matrix", np.zeros((3, 4)), "'matrix' has type float64, expected float32 (rows, columns)"),
        ("matrix", np.zeros((3, 4), ">f4"), "'matrix' has type >f4"),
        ("matrix", np.zeros(3, np.float32), "'matrix' is (3,), expected float32 (rows, columns)"),
        ("a_group/sizes", ["4", "2"], "'a_group/sizes' has type object, expected int64 (items)"),
        ("a_group/words", np.array([1, 2]), "'a_group/words' has type int64, expected str (items)"),
        ("a_group/sizes", np.array([1]), "'a_group/sizes' has 1 items, but 'a_group/words' has 2"),
        ("z_group/curve", np.zeros(4), "'z_group/curve' has 4 rows, but 'matrix' has 3"),
        ("z_group/extra", np.zeros(3), "'z_group/extra' has type float64, expected int64 (rows)"),
    ],
)
def test_dataset_that_does_not_fit_is_named(tmp_path, field, change, wanted):
    loose = Kind("sample", 3, {})
    datasets = contents() | {field: change}
    save_artifact(
        tmp_path / "a.h5",
        loose,
        {name: values for name, values in datasets.items() if values is not None},
        PROVENANCE,
    )

    assert wanted in refusal(tmp_path / "a.h5")


def test_group_in_place_of_a_dataset_is_named(tmp_path):
    datasets = {n: v for n, v in contents().items() if n != "scalar"} | {"scalar/x": np.zeros(2)}
    save_artifact(tmp_path / "a.h5", Kind("sample", 3, {}), datasets, PROVENANCE)

    assert "'scalar' is a group, expected float64" in refusal(tmp_path / "a.h5")


def test_large_artifact_is_read_without_its_content_being_hashed(tmp_path, monkeypatch):
    path = save(tmp_path / "a.h5")
    monkeypatch.setattr(store, "VERIFY_BYTES", 1)
    monkeypatch.setattr(store, "content_digest", None)

    assert equal(read_datasets(path, KIND), contents())


def test_error_of_the_reader_is_not_taken_for_damage(tmp_path):
    with pytest.raises(RuntimeError, match="mine"), open_artifact(save(tmp_path / "a.h5"), KIND):
        raise RuntimeError("mine")


def test_provenance_is_read_back(tmp_path):
    found = read_provenance(save(tmp_path / "a.h5"))

    assert found == PROVENANCE
    assert found.parameters() == {"seed": 1}


def test_provenance_names_inputs_by_stage_and_content(tmp_path):
    artifact = save(tmp_path / "demo" / "basis" / "c10-pca.h5")
    (tmp_path / "images.tar").write_bytes(b"abc")

    found = trace_provenance("{}", "c0de", [artifact, tmp_path / "images.tar"])

    sha = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-4, "abc"
    assert found.inputs == {"basis/c10-pca": digest_of(artifact), "images.tar": sha}


def test_foreign_hdf5_among_the_inputs_is_known_by_its_bytes(tmp_path):
    for name in ("a", "b"):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["x"] = np.zeros(3)
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["x"] = np.ones(3)

    assert digest_of(tmp_path / "a.h5") == digest_of(tmp_path / "b.h5")
    assert digest_of(tmp_path / "a.h5") != digest_of(tmp_path / "c.h5")


def test_name_does_not_depend_on_where_the_results_lie():
    assert name_of("results/demo/grid/g.h5") == name_of("/elsewhere/grid/g.h5") == "grid/g"
    assert name_of("/elsewhere/figure/f.pdf") == "f.pdf"


def test_libraries_are_recorded(tmp_path):
    with open_artifact(save(tmp_path / "a.h5"), KIND) as file:
        assert json.loads(file.attrs["libraries"])["h5py"] == h5py.__version__


def test_canonical_json_ignores_order_and_refuses_nan():
    assert canonical_json({"b": 1, "a": [1.5, None]}) == '{"a":[1.5,null],"b":1}'
    assert canonical_json({"a": 1, "b": 2}) == canonical_json({"b": 2, "a": 1})
    with pytest.raises(ValueError, match="JSON"):
        canonical_json({"a": float("nan")})


def test_what_a_killed_save_left_is_removed_a_day_later(tmp_path):
    old, young = tmp_path / ".a.h5.old", tmp_path / ".a.h5.young"
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    save(tmp_path / "a.h5")
    assert not old.exists()
    assert young.exists()


@pytest.fixture
def settled(tmp_path):
    """Give an artifact that is old enough for its time stamp to tell a change."""
    path = save(tmp_path / "old.h5")
    time.sleep(store.SETTLED_SECONDS + 0.1)
    return path


def test_a_file_is_verified_once_and_again_after_every_change(settled, monkeypatch):
    hashed = []
    monkeypatch.setattr(store, "seal_holds", lambda path: hashed.append("seal") or True)
    monkeypatch.setattr(store, "verify_content", lambda *_: hashed.append("content"))

    digest_of(settled)
    for _ in range(3):
        read_datasets(settled, KIND)
    assert hashed == ["seal", "content"]

    settled.write_bytes(settled.read_bytes())
    read_datasets(settled, KIND)
    assert hashed == ["seal", "content"] * 2

    copy = settled.with_name("copy.h5")
    copy.write_bytes(settled.read_bytes())
    os.replace(copy, settled)
    read_datasets(settled, KIND)
    assert hashed == ["seal", "content"] * 3


def test_damage_after_a_file_was_verified_is_named(settled):
    read_datasets(settled, KIND)
    damaged = bytearray(settled.read_bytes())
    damaged[-100] ^= 1
    settled.write_bytes(damaged)

    assert "damaged or edited" in refusal(settled)


def test_a_file_younger_than_its_time_stamp_can_tell_is_verified_each_time(tmp_path):
    path = save(tmp_path / "a.h5")
    read_datasets(path, KIND)
    state, damaged = path.stat(), bytearray(path.read_bytes())
    damaged[-100] ^= 1
    path.write_bytes(damaged)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))

    assert "damaged or edited" in refusal(path)
