"""What can be read as a file, and second names."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lossmap.artifacts.files import check_readable, hash_file, link, obstacle, write_text
from lossmap.errors import LossmapError

NOBODY = 65534
ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2] / "workflow_scripts")}


def make_device(path):
    path.symlink_to("/dev/zero")


def make_endless(path):
    path.symlink_to(path)


def make_below_file(path):
    path.parent.rmdir()
    path.parent.write_text("no folder")


def make_full_folder(path):
    path.mkdir()
    (path / "x.h5").touch()


HINDERED = {
    "folder": (os.mkdir, "no such file, but a folder of its name; remove it and run again"),
    "full folder": (
        make_full_folder,
        "no such file, but a folder of its name; remove it and run again",
    ),
    "pipe": (
        os.mkfifo,
        "no such file, but a pipe or a device of its name; remove it and run again",
    ),
    "device": (
        make_device,
        "no such file, but a pipe or a device of its name; remove it and run again",
    ),
    "endless link": (make_endless, "cannot be read (Too many levels of symbolic links)"),
    "below a file": (make_below_file, "lies in what is no folder; remove that and run again"),
}


@pytest.fixture
def path(tmp_path):
    (tmp_path / "grid").mkdir()
    return tmp_path / "grid" / "a.h5"


@pytest.mark.parametrize("case", HINDERED)
def test_what_is_no_file_is_named_and_never_waited_for(path, case):
    make, said = HINDERED[case]
    make(path)
    assert obstacle(path).startswith(said)
    with pytest.raises(LossmapError, match=r"a\.h5: ") as caught:
        hash_file(path)
    assert str(caught.value).startswith(f"{path}: {said}")


@pytest.mark.parametrize("locked", ["file", "folder"])
def test_what_belongs_to_another_is_named(path, locked, monkeypatch):
    path.write_bytes(b"x")
    (path if locked == "file" else path.parent).chmod(0)
    for folder in path.parents[1:3]:
        folder.chmod(0o755)
    if os.geteuid() == 0:  # root may read everything
        os.seteuid(NOBODY)
    try:
        said = obstacle(path)
    finally:
        os.seteuid(os.getuid())
        path.parent.chmod(0o755)
    remedy = "make it readable, or remove it and run again"
    assert said == f"cannot be read (Permission denied); {remedy}"


def test_a_link_to_nothing_hinders_no_more_than_nothing(path):
    assert obstacle(path) is None
    path.symlink_to("elsewhere.h5")
    assert obstacle(path) is None
    with pytest.raises(LossmapError, match=r"no such file; run the workflow to make it"):
        check_readable(path)


def test_a_second_name_replaces_what_has_it_and_may_be_given_twice(path):
    path.write_bytes(b"new")
    other = path.with_name("b.h5")
    other.write_bytes(b"old")
    for _ in range(2):
        link(path, other)
        assert other.samefile(path)
        assert sorted(os.listdir(path.parent)) == ["a.h5", "b.h5"]


def test_a_file_that_may_not_grow_is_named_with_the_limit(path):
    """Python ignores the signal that would end the process."""
    program = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n"
        "from lossmap.artifacts.files import write_text\n"
        f"write_text({str(path)!r}, 'x' * 6000)"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, check=False)
    assert done.returncode == 1
    remedy = "lift the limit of a file's size (ulimit -f) and run again, nothing was lost"
    said = f"{path}: cannot be written (File too large); {remedy}"
    assert done.stderr.splitlines()[-1].endswith(said)
    assert os.listdir(path.parent) == []


@pytest.mark.parametrize(
    ("make", "remedy"),
    [
        (os.mkdir, "(Is a directory); remove the folder of its name and run again"),
        (make_below_file, "(File exists); remove the file in its folder's place and run again"),
    ],
)
def test_what_cannot_be_replaced_by_a_file_is_named_with_what_to_remove(path, make, remedy):
    make(path)
    with pytest.raises(LossmapError, match=r"a\.h5: cannot be written") as caught:
        write_text(path, "x")
    assert str(caught.value).endswith(remedy)
