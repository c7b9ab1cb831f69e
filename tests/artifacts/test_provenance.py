"""Which job may give its result the artifact's name."""

from dataclasses import replace

import numpy as np
import pytest

from lossmap.artifacts.declare import Field, Kind
from lossmap.artifacts.provenance import Provenance, announce
from lossmap.artifacts.store import (
    begin_job,
    digest_of,
    is_made,
    read_datasets,
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


def test_a_job_begins_with_what_its_inputs_hold(path, tmp_path):
    class Parameters:
        spec, code = OLD.spec, OLD.code

    source = tmp_path / "tiny" / "dataset" / "d.h5"
    save(source, OLD, 5)
    job = begin_job(Parameters, [source], [path])
    assert job == Provenance(OLD.spec, OLD.code, {"dataset/d": digest_of(source)})
    save(path, job, 1)
    assert is_made(path, job)
