"""What a data set was made from is compared by content, wherever it lies and however it came."""

import copy
import json
import os
import shutil
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from lossmap.artifacts.dataset import Dataset
from lossmap.artifacts.provenance import Provenance
from lossmap.artifacts.store import check_inputs, save, trace_inputs
from lossmap.errors import LossmapError
from lossmap.network.loaders.hdf5 import load_hdf5
from lossmap.upkeep.audit import audit
from lossmap.workflow import digests
from lossmap.workflow.configuration import load_configuration
from lossmap.workflow.digests import Digests
from lossmap.workflow.expected import Expected
from lossmap.workflow.freshness import mend_times, survey

ROOT = Path(__file__).resolve().parents[2]
MADE = "dataset/mine"
AN_HOUR = 3600


def write(path, inverted=False, classes=2):
    """Write images whose bytes depend on nothing but the arguments; both kinds have one size."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(3).integers(0, 256, (8, 4, 4, 1), dtype=np.uint8)
    with h5py.File(path, "w") as file:
        for split in ("train", "test"):
            file[f"{split}/images"] = 255 - pixels if inverted else pixels
            file[f"{split}/labels"] = np.arange(8) % classes
        file["classes"] = ["a", "b"]
    return path


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Give what is expected of a configuration with a data set that is read from a file."""
    file = write(tmp_path_factory.mktemp("built") / "mine.h5")
    own = {"datasets": {"mine": {"source": "hdf5", "file": str(file)}}}
    config = load_configuration(ROOT / "config", {"scale": "demo", **own})
    return Expected(config, [ROOT / "workflow_scripts"], "results/demo")


@pytest.fixture
def expected(built, tmp_path, monkeypatch):
    """Give that in a folder of its own, where the data set has been made an hour after its file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(digests, "SETTLED_SECONDS", -1)  # a test changes files at once
    found = copy.copy(built)
    found.config = copy.deepcopy(built.config)
    configure(found, "A/mine.h5")
    age(write(Path("A/mine.h5")), 2 * AN_HOUR)
    make(found)
    age(found.path("dataset", "mine"), AN_HOUR)
    return found


def make(expected):
    """Do what the job of the rule `dataset` does."""
    (file,) = expected.files("dataset", "mine")
    made = Provenance(
        expected.spec("dataset", "mine"),
        expected.code("dataset", "mine"),
        trace_inputs([file], expected.results),
    )
    save(expected.path("dataset", "mine"), load_hdf5(file, None, None), made)


def age(path, seconds):
    then = time.time() - seconds
    os.utime(path, (then, then))


def configure(expected, file):
    expected.config["datasets"]["mine"]["file"] = str(file)


def is_fresh(expected):
    found = survey(expected, [MADE])
    assert [*found.fresh, *found.stale] == [MADE]
    return found.fresh == [MADE]


def test_a_file_that_nobody_touched_is_fresh(expected):
    assert is_fresh(expected)


def other_folder(expected):
    age(write(Path("B/mine.h5"), inverted=True), 5 * AN_HOUR)
    configure(expected, "B/mine.h5")


def copied_with_its_times(expected):
    age(write(Path("B/mine.h5"), inverted=True), 2 * AN_HOUR)
    shutil.copy2("B/mine.h5", "A/mine.h5")


def moved_there(expected):
    age(write(Path("B/mine.h5"), inverted=True), 5 * AN_HOUR)
    os.replace("B/mine.h5", "A/mine.h5")


def written_with_the_old_time(expected):
    """As `touch -r` does after an edit; inode, size and time of the content are the same."""
    before = os.stat("A/mine.h5")
    data = write(Path("B/mine.h5"), inverted=True).read_bytes()
    with open("A/mine.h5", "r+b") as stream:
        stream.write(data)
    os.utime("A/mine.h5", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert os.stat("A/mine.h5").st_size == before.st_size


def folder_swapped(expected):
    age(write(Path("B/mine.h5"), inverted=True), 5 * AN_HOUR)
    Path("A").rename("C")
    Path("B").rename("A")


def symlink(expected):
    age(write(Path("B/mine.h5"), inverted=True), 5 * AN_HOUR)
    Path("A/mine.h5").unlink()
    Path("A/mine.h5").symlink_to("../B/mine.h5")


def symlinked_folder(expected):
    folder_swapped(expected)
    Path("A").rename("D")
    Path("A").symlink_to("D", target_is_directory=True)


def hard_link(expected):
    age(write(Path("B/mine.h5"), inverted=True), 5 * AN_HOUR)
    Path("A/mine.h5").unlink()
    os.link("B/mine.h5", "A/mine.h5")


def one_label(expected):
    with h5py.File("A/mine.h5", "r+") as file:
        file["train/labels"][0] = 1
    age(Path("A/mine.h5"), 5 * AN_HOUR)


def artifact_of_other_results(expected):
    """A file that is an artifact itself is known by its bytes as any other."""
    configure(expected, "elsewhere/dataset/mine.h5")
    shutil.copytree(expected.results, "elsewhere")
    age(Path("elsewhere/dataset/mine.h5"), 5 * AN_HOUR)


CHANGES = [
    other_folder,
    copied_with_its_times,
    moved_there,
    written_with_the_old_time,
    folder_swapped,
    symlink,
    symlinked_folder,
    hard_link,
    one_label,
    artifact_of_other_results,
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_another_content_is_seen_however_it_was_put_there(expected, change):
    assert is_fresh(expected)  # which remembers the digest
    change(expected)
    assert not is_fresh(expected)
    assert not is_fresh(expected), "nor from what is remembered"
    stale = [finding for finding in audit(expected) if finding.path.stem == "mine"]
    assert [(finding.kind, finding.why) for finding in stale] == [
        ("stale", "made from another mine.h5")
    ]
    make(expected)
    assert is_fresh(expected)


def elsewhere(expected):
    Path("B").mkdir()
    shutil.copy("A/mine.h5", "B/mine.h5")
    configure(expected, "B/mine.h5")


def absolute(expected):
    configure(expected, Path("A/mine.h5").absolute())


def younger(expected):
    os.utime("A/mine.h5")


def written_again(expected):
    write(Path("A/mine.h5"))


def linked(expected):
    Path("mine.h5").symlink_to("A/mine.h5")
    configure(expected, "mine.h5")


SAME = [elsewhere, absolute, younger, written_again, linked]


@pytest.mark.parametrize("change", SAME, ids=lambda change: change.__name__)
def test_the_same_content_elsewhere_or_later_makes_nothing_anew(expected, change):
    change(expected)
    assert is_fresh(expected)
    mend_times(expected, [MADE])
    (file,) = expected.files("dataset", "mine")
    made = expected.path("dataset", "mine").stat().st_mtime_ns
    assert made >= file.stat().st_mtime_ns, "nor does Snakemake find it older than its file"


def test_of_a_file_that_is_not_there_nothing_is_said(expected):
    Path("A/mine.h5").unlink()
    assert is_fresh(expected)
    assert not [finding for finding in audit(expected) if finding.path.stem == "mine"]


def test_a_file_that_cannot_be_read_leaves_it_to_the_job_to_say_so(expected, monkeypatch):
    def refuse(file):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(digests, "hash_file", refuse)
    assert not is_fresh(expected)


def test_kept_data_sets_are_not_compared(expected):
    other_folder(expected)
    expected.config["keep_datasets"] = True
    assert is_fresh(expected)


@pytest.fixture
def hashed(monkeypatch):
    """Give the list of the files that are read."""
    found, plain = [], digests.hash_file
    monkeypatch.setattr(digests, "hash_file", lambda file: found.append(file) or plain(file))
    return found


def test_a_file_is_read_once_and_again_after_each_change(expected, hashed):
    for _ in range(3):
        assert is_fresh(expected)
    assert len(hashed) == 1
    os.utime("A/mine.h5")
    for _ in range(3):
        assert is_fresh(expected)
    assert len(hashed) == 2


def test_a_file_that_has_just_changed_is_not_remembered(expected, hashed, monkeypatch):
    """Within one tick of the file system's clock, another change could not be seen."""
    monkeypatch.setattr(digests, "SETTLED_SECONDS", 60)
    assert is_fresh(expected)
    assert is_fresh(expected)
    assert len(hashed) == 2


@pytest.mark.parametrize("garbage", ["", "[]", "{", "null", '{"1 2": "3"}', "\x00"])
def test_damaged_memory_is_no_memory(expected, garbage):
    assert is_fresh(expected)
    (expected.results / ".digests.json").write_text(garbage)
    assert is_fresh(expected)
    assert list(json.loads((expected.results / ".digests.json").read_text()).values())


def test_read_only_results_are_surveyed_all_the_same(expected, monkeypatch):
    def refuse(*arguments, **named):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    assert is_fresh(expected)
    assert not (expected.results / ".digests.json").exists()


def test_runs_that_remember_at_the_same_time_lose_nothing_but_time(tmp_path, monkeypatch):
    monkeypatch.setattr(digests, "SETTLED_SECONDS", -1)
    files = [tmp_path / name for name in "ab"]
    for file in files:
        file.write_text(file.name)
    one, two = Digests(tmp_path / "known"), Digests(tmp_path / "known")
    found = [one(files[0]), two(files[1]), one(files[1]), two(files[0])]
    assert found[0] == found[3] != found[1] == found[2]


def test_a_file_that_changes_while_the_job_reads_it_makes_no_artifact(tmp_path):
    file, output = write(tmp_path / "mine.h5"), tmp_path / "results/dataset/mine.h5"
    provenance = Provenance("{}", "", trace_inputs([file], output.parent.parent))
    check_inputs([file], [output], provenance)
    write(file, inverted=True)
    with pytest.raises(LossmapError, match=r"mine\.h5: changed while this job read it; run again"):
        check_inputs([file], [output], provenance)


def test_files_are_known_by_where_they_lie_among_each_other(tmp_path):
    """Checkpoints of equal names in many folders, moved together."""
    for top in ("one", "two/deep"):
        for epoch in (1, 2):
            file = tmp_path / top / f"epoch{epoch}" / "net.pt"
            file.parent.mkdir(parents=True)
            file.write_text(str(epoch))
    known = [
        trace_inputs(sorted((tmp_path / top).rglob("*.pt")), tmp_path / "results")
        for top in ("one", "two/deep")
    ]
    assert known[0] == known[1]
    assert list(known[0]) == ["epoch1/net.pt", "epoch2/net.pt"]


def test_artifacts_are_known_by_stage_and_content_beside_files(tmp_path):
    results, file = tmp_path / "results" / "demo", write(tmp_path / "dataset" / "mine.h5")
    images = load_hdf5(file, None, None)
    save(results / "dataset" / "mine.h5", images, Provenance("{}", "", {}))
    found = trace_inputs([results / "dataset" / "mine.h5", file], results)
    assert set(found) == {"dataset/mine", "mine.h5"}
    assert isinstance(images, Dataset)
