"""A module's text as what is hashed of it: the same under every version of Python."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lossmap.code.reach import SCRIPTS, Reach, hash_code
from lossmap.code.syntax import parse_module
from lossmap.errors import LossmapError

PYTHONS = ("python3.11", "python3.12", "python3.13")
ENTRY_SCRIPTS = sorted(SCRIPTS.glob("*.py"))
TRICKY = r'''
def texts(x, w, é="ﬀ\u0378\U0001fae9"):
    """A docstring."""
    return (f"a" "b" f"{x:}c" "", f"{x!r:>{w}}" f"", f"{x=}", f"{x:a{{w}}}", f"{x:%H:%M}{{}}",
            f"""{
                x}""", rf"{x}\d", u"a" 'b', b"\xff" rb"\d", f"{x:{w}}{ {1: 2}[1] }",
            f"\N{BULLET}{x}")

def numbers():
    return 1_000, 0x1f, 10**400, 1e999, 1j, -0.0, 1.5e-7, ..., None, True, 0xf"0" * 0

class Empty: pass
class Base(metaclass=type): x: int; y: "int" = 3
async def arguments(a, /, b=1, *c, d, e=2, **f):
    async with a as b, c: yield [i async for i in b if i]
    match a:
        case {"x": None, **rest} | [1, *_] if rest: pass
        case Base(x=True): del a[1:2, ...]
    try: raise
    except* (ValueError, TypeError) as error: global g
    else: return
    finally: (lambda: (yield))()
    nonlocal_ = [*a, {**b}, (z := 3)]
@numbers
def decorated[T]() -> None: pass
'''.replace("[T]", "").replace(', 0xf"0" * 0', "")
PROGRAM = """
import sys
sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])
from lossmap.code.reach import hash_code
for script in sys.argv[3:]:
    print(hash_code(script, ["lossmap.network.models.resnet:resnet20"], sys.argv[1:3]))
"""


def find_python(name: str) -> str:
    """Return an interpreter that runs: one on the path, else one of pyenv's."""
    number = name.removeprefix("python")
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    for found in [shutil.which(name), *sorted(pyenv.glob(f"{number}.*/bin/{name}"))]:
        words = [str(found), "-c", "pass"]
        if found and subprocess.run(words, capture_output=True, check=False).returncode == 0:
            return str(found)
    pytest.skip(f"no {name} here")


@pytest.mark.parametrize("name", PYTHONS)
def test_every_python_gives_the_hash_of_this_one_with_its_own_library_alone(name, tmp_path):
    tricky = tmp_path / "tricky.py"
    tricky.write_text(TRICKY, encoding="utf-8")
    scripts = [*map(str, ENTRY_SCRIPTS), str(tricky)]
    done = subprocess.run(
        [find_python(name), "-I", "-S", "-W", "error", "-c", PROGRAM, SCRIPTS, tmp_path, *scripts],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    root = "lossmap.network.models.resnet:resnet20"
    here = [hash_code(script, [root], [SCRIPTS, tmp_path]) for script in scripts]
    assert done.stdout.split() == here
    assert len(set(here)) == len(scripts)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("f'{x}'", "f'{x!s}'"),
        ("f'{x:a}'", "f'{x}a'"),
        ("f'{x}'", "'{x}'"),
        ("f'a{x}'", "f'{x}a'"),
        ("1", "True"),
        ("1", "1.0"),
        ("0.0", "-0.0"),
        ("None", "''"),
        ("'1'", "b'1'"),
        ("{**x}", "{None: x}"),
        ("[]", "()"),
        ("x[:1]", "x[1:]"),
        ("lambda a, /: 0", "lambda a: 0"),
        ("lambda *, a: 0", "lambda a: 0"),
        ("lambda *, a, b=1: 0", "lambda *, a=1, b: 0"),
        ("(x for y in z)", "[x for y in z]"),
    ],
)
def test_what_means_another_thing_is_told_apart(one, other):
    found = [parse_module("m", Path("m.py"), None, f"y = {text}".encode()) for text in (one, other)]
    assert found[0].units[0].dump != found[1].units[0].dump


@pytest.mark.parametrize(
    ("one", "other"),
    [("'ab'", "u'a' 'b'"), ("f'{x:}'", "f'{x}'"), ("f'a' 'b'", "f'ab'"), ("31", "0x1f")],
)
def test_what_means_the_same_thing_is_not(one, other):
    found = [parse_module("m", Path("m.py"), None, f"y = {text}".encode()) for text in (one, other)]
    assert found[0].units[0].dump == found[1].units[0].dump


@pytest.mark.parametrize(
    ("name", "old", "new", "counts"),
    [
        ("SETTINGS", '"description": "neighbors"', '"description": "of the graph"', False),
        ("SETTINGS", '"description": "neighbors", ', "", False),
        ("SETTINGS", '"minimum": 2', '"minimum": 3', True),
        ("SETTINGS", '"description": {}', '"description": {"minimum": 1}', True),
        ("OTHERS", '"description": "neighbors"', '"description": "of the graph"', True),
    ],
    ids=["text", "no text", "bound", "key of that name", "another list"],
)
def test_texts_of_settings_are_no_code(name, old, new, counts):
    inside = '{"knn": {"description": "neighbors", "minimum": 2}, "description": {}}'
    texts = (f'{name} = {{"properties": {found}}}' for found in (inside, inside.replace(old, new)))
    one, other = (parse_module("m", Path("m.py"), None, text.encode()) for text in texts)
    assert old in inside
    assert (one.units[0].dump != other.units[0].dump) == counts


def write(folder: Path, **files: str) -> Path:
    """Write modules and a script that imports `nets`; return the script."""
    for name, text in {"script": "import nets\nnets.make()\n", **files}.items():
        (folder / f"{name}.py").write_text(text)
    return folder / "script.py"


@pytest.mark.parametrize(
    "declared",
    [
        "depends_on = ['data/a.json']",
        "depends_on: list = ['data/a.json']",
        "depends_on = ('data/a.json',)",
        "depends_on = ['data']",
        "depends_on = ['script.py']\ndepends_on += ['./data/../data/a.json']",
        "make.depends_on = ['data/a.json']",
        "if True:\n    depends_on = ['data/a.json']",
        "class Net:\n    depends_on = ['data/a.json']",
    ],
)
def test_a_file_that_a_module_depends_on_counts_by_content(tmp_path, declared):
    script = write(tmp_path, nets=f"def make():\n    return 1\n{declared}\n")
    data = tmp_path / "data" / "a.json"
    data.parent.mkdir()
    data.write_text("1")
    before = hash_code(script, (), [tmp_path])
    assert data in Reach(script, (), [tmp_path]).files()
    data.write_text("2")
    assert hash_code(script, (), [tmp_path]) != before
    data.write_text("1")
    os.utime(data, (1, 1))
    assert hash_code(script, (), [tmp_path]) == before
    shutil.rmtree(data.parent)
    with pytest.raises(LossmapError, match=r"nets\.py: depends_on lists .*put it there or corr"):
        hash_code(script, (), [tmp_path])


@pytest.mark.parametrize(
    "declared",
    [
        "depends_on = list_files()",
        "depends_on = [1]",
        "depends_on = 'a.json'",
        "depends_on = [f'a']",
    ],
)
def test_a_list_of_files_that_cannot_be_read_as_it_stands_is_refused(tmp_path, declared):
    script = write(tmp_path, nets=f"def make():\n    return 1\n{declared}\n")
    with pytest.raises(LossmapError, match=r"nets\.py:3: expected depends_on to be a list of file"):
        hash_code(script, (), [tmp_path])


def test_a_local_variable_of_that_name_is_no_list(tmp_path):
    script = write(tmp_path, nets="def make():\n    depends_on = any_thing()\n")
    assert hash_code(script, (), [tmp_path])


@pytest.mark.parametrize(
    "way",
    [
        "import blocks\ndef make(): return blocks.size()",
        "from blocks import *\ndef make(): return size()",
        "def make():\n    from blocks import size as s\n    return s()",
        "import importlib\ndef make(): return importlib.import_module('blocks').size()",
        "from importlib import import_module as f\nb = f('blocks')\ndef make(): return b.size()",
        "import importlib as i\ndef make(): return i.import_module(name='blocks').size()",
        "def make():\n    import importlib\n    return importlib.import_module('blocks').size()",
        "def make(): return __import__('blocks').size()",
        "def make():\n    import runpy\n    return runpy.run_module('blocks')['size']()",
    ],
)
def test_a_module_that_a_network_imports_in_any_way_counts(tmp_path, way):
    script = write(tmp_path, nets=way, blocks="def size():\n    return 1\n")
    before = hash_code(script, (), [tmp_path])
    write(tmp_path, blocks="def size():\n    return 2\n")
    assert hash_code(script, (), [tmp_path]) != before
    assert tmp_path / "blocks.py" in Reach(script, (), [tmp_path]).files()


@pytest.mark.parametrize(
    "way",
    [
        "from .blocks import size",
        "from . import blocks\nsize = blocks.size",
        "from .blocks import *",
        "import importlib\nsize = importlib.import_module('.blocks', __package__).size",
        "import importlib\nsize = importlib.import_module('.blocks', package='pack').size",
    ],
)
def test_a_relative_import_counts(tmp_path, way):
    pack = tmp_path / "pack"
    pack.mkdir()
    (pack / "__init__.py").write_text("")
    write(pack, nets=f"{way}\ndef make(): return size()\n", blocks="def size():\n    return 1\n")
    (tmp_path / "script.py").write_text("")
    before = hash_code(tmp_path / "script.py", ["pack.nets:make"], [tmp_path])
    write(pack, blocks="def size():\n    return 2\n")
    assert hash_code(tmp_path / "script.py", ["pack.nets:make"], [tmp_path]) != before


def test_a_package_that_is_installed_by_a_link_counts_where_another_imports_it(tmp_path):
    linked = tmp_path / "elsewhere"
    linked.mkdir()
    write(linked, linked_blocks="def size():\n    return 1\n")
    script = write(tmp_path, nets="import linked_blocks\ndef make(): linked_blocks.size()\n")
    program = (
        f"import sys; sys.path.insert(0, {str(SCRIPTS)!r}); sys.path.append({str(linked)!r})\n"
    )
    program += "from lossmap.code.reach import Reach\n"
    program += f"print(*Reach({str(script)!r}, (), [{str(tmp_path)!r}]).files())"
    words = [sys.executable, "-c", program]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert str(linked / "linked_blocks.py") in done.stdout.split()


def test_a_folder_with_the_name_of_an_installed_package_is_not_taken_for_it(tmp_path):
    (tmp_path / "h5py").mkdir()
    (tmp_path / "h5py" / "notes.py").write_text("x = 1\n")
    script = write(tmp_path, nets="import h5py\ndef make(): h5py.File\n")
    assert "h5py" not in Reach(script, (), [tmp_path]).modules


def test_a_folder_into_which_packages_were_installed_is_not_read(tmp_path):
    target = tmp_path / "target"
    (target / "blocks-1.0.dist-info").mkdir(parents=True)
    write(target, blocks="def size():\n    return 1\n")
    script = write(tmp_path, nets="import blocks\ndef make(): return blocks.size()\n")
    assert "blocks" not in Reach(script, (), [tmp_path, target]).modules
