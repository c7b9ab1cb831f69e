"""Which job may give its result the artifact's name."""

import errno
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from lossmap.artifacts import provenance as provenance_module
from lossmap.artifacts.canonical import canonical_json
from lossmap.artifacts.declare import Field, Kind
from lossmap.artifacts.files import hash_file
from lossmap.artifacts.provenance import (
    Provenance,
    announce,
    expect_orphan,
    forget_orphan,
    open_resume_folder,
    read_resume_folder,
    resume_note,
    second_name,
    wait_for_equal,
)
from lossmap.artifacts.store import (
    begin_job,
    digest_of,
    is_made,
    read_datasets,
    read_renderings,
    save_artifact,
)
from lossmap.errors import LossmapError

KIND = Kind("sample", 1, {"values": Field("float64", ("n",))})
OLD, NEW = (Provenance(f'{{"lr":{lr}}}', "c0de", {"dataset/d": "12"}) for lr in (0.1, 0.2))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "tiny" / "stage" / "a.h5"


def begin(provenance, path):
    return replace(provenance, job=announce(provenance, [path, path.with_suffix(".png")]))


def save(path, provenance, value):
    save_artifact(path, KIND, {"values": np.full(3, float(value))}, provenance)


def value_of(path):
    return read_datasets(path, KIND)["values"][0]


def left(path):
    return sorted(p.name for p in path.parent.parent.rglob("*") if p.is_file())


def test_a_job_alone_saves_and_leaves_nothing_beside(path):
    save(path, begin(OLD, path), 1)
    assert value_of(path) == 1
    assert left(path) == ["a.h5"]


def test_an_orphan_of_earlier_settings_does_not_replace_what_is_being_made(path):
    orphan = begin(OLD, path)
    latest = begin(NEW, path)
    with pytest.raises(LossmapError, match="left over from a workflow that was killed"):
        save(path, orphan, 1)
    assert not path.exists()
    save(path, latest, 2)
    assert value_of(path) == 2


def test_an_orphan_of_earlier_settings_does_not_replace_what_was_made(path):
    orphan = begin(OLD, path)
    save(path, begin(NEW, path), 2)
    before = path.read_bytes()
    with pytest.raises(LossmapError, match=r"a\.h5: not replaced"):
        save(path, orphan, 1)
    assert path.read_bytes() == before
    assert left(path) == ["a.h5"]


def test_what_is_saved_outside_of_a_job_leaves_announcements_alone(path):
    job = begin(NEW, path)
    save(path, OLD, 1)
    save(path, job, 2)
    assert value_of(path) == 2


@pytest.mark.parametrize("first", [0, 1])
def test_of_two_equal_jobs_both_end_well_in_either_order(path, first):
    jobs = [begin(OLD, path), begin(OLD, path)]
    save(path, jobs[first], 1)
    save(path, jobs[1 - first], 1)
    assert value_of(path) == 1
    assert left(path) == ["a.h5"]


def test_a_job_tells_that_its_artifact_was_made_meanwhile(path):
    job, other = begin(OLD, path), begin(NEW, path.with_name("b.h5"))
    assert not is_made(path, job)
    save(path, begin(OLD, path), 1)
    assert is_made(path, job)
    assert not is_made(path, other)
    assert not is_made(path, OLD), "outside of a job nothing is taken for granted"
    path.write_bytes(path.read_bytes()[:-1])
    assert not is_made(path, job), "damaged"


def test_a_read_only_folder_is_named_when_a_job_begins(path, monkeypatch):
    def refuse(*arguments, **named):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    with pytest.raises(LossmapError, match=r"a\.job: cannot be written \(Read-only file system\)"):
        begin(OLD, path)


class Parameters:
    spec, code = OLD.spec, OLD.code


def test_a_job_begins_with_what_its_inputs_hold(path, tmp_path):
    source = tmp_path / "tiny" / "dataset" / "d.h5"
    save(source, OLD, 5)
    job = begin_job(Parameters, [source], [path])
    assert job == Provenance(OLD.spec, OLD.code, {"dataset/d": digest_of(source)})
    save(path, job, 1)
    assert is_made(path, job)


def ends_at_once(path):
    """Tell whether a job that makes an artifact finds that it has been made."""
    try:
        begin_job(Parameters, [], [path])
    except SystemExit as end:
        return end.code is None
    return False


@pytest.fixture(autouse=True)
def _release(monkeypatch):
    """Let each test play several processes: what one holds falls when the next begins."""
    monkeypatch.setattr("lossmap.artifacts.provenance._held", [])


@pytest.fixture
def alone(path):
    """Give the provenance of a job without inputs, as `begin_job` knows it."""
    return begin(Provenance(OLD.spec, OLD.code, {}), path)


@pytest.mark.parametrize("expected", [True, False])
def test_what_an_expected_orphan_made_is_taken_over_though_snakemake_removed_it(
    path, alone, expected
):
    if expected:
        expect_orphan(path)
    save(path, alone, 1)
    made = path.stat()
    path.unlink()
    assert ends_at_once(path) == expected
    if expected:
        assert os.path.samestat(path.stat(), made)
        assert value_of(path) == 1
        assert path.stat().st_mtime >= made.st_mtime
        forget_orphan(path)
        assert [name for name in left(path) if not name.endswith(".lock")] == ["a.h5"]


def test_what_an_orphan_made_is_taken_over_only_whole(path, alone):
    expect_orphan(path)
    save(path, alone, 1)
    path.unlink()
    with open(second_name(path), "r+b") as stream:
        stream.truncate(2000)
    assert not ends_at_once(path)


def test_what_an_orphan_of_other_settings_made_is_not_taken_over(path):
    expect_orphan(path)
    save(path, begin(NEW, path), 2)
    path.unlink()
    assert not ends_at_once(path)


def test_the_artifacts_of_a_job_are_taken_over_together(path, monkeypatch):
    other = path.with_name("b.h5")
    monkeypatch.setattr(Parameters, "spec", canonical_json({"a": {"lr": 1}, "b": {"lr": 2}}))
    job = Provenance(Parameters.spec, Parameters.code, {})
    job = replace(job, job=announce(job, [path, other]))
    for each, provenance in job.split([path, other]).items():
        expect_orphan(each)
        save(each, provenance, 1)
        each.unlink()
    with pytest.raises(SystemExit):
        begin_job(Parameters, [], [path, other])
    assert value_of(path) == value_of(other) == 1
    second_name(other).unlink()
    other.unlink()
    provenance_module._held.clear()
    begin_job(Parameters, [], [path, other])  # the second is to be made


def test_an_artifact_records_what_was_drawn_with_it(path):
    files = [path.with_suffix(suffix) for suffix in (".png", ".pdf", ".numbers.csv")]
    job = begin_job(Parameters, [], [path, *files])
    path.parent.mkdir()
    for rendering in files:
        rendering.write_bytes(rendering.name.encode())
    save(path, job, 1)
    assert read_renderings(path) == {file.name: hash_file(file) for file in files}
    save(path.with_name("b.h5"), OLD, 1)
    assert read_renderings(path.with_name("b.h5")) == {}


def test_an_artifact_without_its_rendering_is_not_saved(path):
    job = begin_job(Parameters, [], [path, path.with_suffix(".png")])
    with pytest.raises(LossmapError, match=r"a\.png: no such file"):
        save(path, job, 1)
    assert not path.exists()


@pytest.mark.parametrize(
    "note", [b"", b"\xff\xfe{", b"[1, 2]", b"17", b'{"spec": 1, "code": "", "inputs": {}}']
)
def test_a_note_that_says_nothing_of_resume_points_is_none(path, note):
    folder = open_resume_folder(path, OLD)
    assert read_resume_folder(folder) == OLD
    resume_note(folder).write_bytes(note)
    assert read_resume_folder(folder) is None


HOLDER = """
import sys, time
from lossmap.artifacts.provenance import Provenance, wait_for_equal
wait_for_equal(sys.argv[1], Provenance(*sys.argv[2:], {}))
print("holds", flush=True)
time.sleep(1)
"""


def test_a_job_waits_while_an_equal_one_runs_and_only_then(path, caplog):
    caplog.set_level("INFO", "lossmap")
    path.parent.mkdir(parents=True)
    words = [sys.executable, "-c", HOLDER, str(path), OLD.spec, OLD.code]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "holds\n"
        wait_for_equal(path, replace(NEW, inputs={}))
        assert not caplog.records
        wait_for_equal(path, replace(OLD, inputs={}))
        assert holder.wait(10) == 0
    (line,) = caplog.messages
    assert line == "waiting for an equal job that was left over from a killed workflow"


def test_where_there_are_no_file_locks_a_job_begins_all_the_same(path, monkeypatch):
    def refuse(*arguments, **named):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("lossmap.artifacts.provenance.FileLock.acquire", refuse)
    assert not ends_at_once(path)


def test_where_there_are_no_hard_links_an_artifact_is_saved_all_the_same(path, alone, monkeypatch):
    def refuse(*arguments, **named):
        raise OSError(errno.EPERM, "Operation not permitted")

    expect_orphan(path)
    monkeypatch.setattr("os.link", refuse)
    save(path, alone, 1)
    assert value_of(path) == 1
