"""What a job runs is what was hashed, whatever becomes of the files while it runs."""

import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import h5py
import pytest

from lossmap.code.reach import SCRIPTS, Reach, hash_code
from lossmap.code.running import PREAMBLE_END

SCRIPT = """
from lossmap import logs
import first
from lossmap.artifacts.store import begin_job, save_artifact
from lossmap.artifacts.declare import Field, Kind

logs.start(snakemake.log[0])
provenance = begin_job(snakemake.params, snakemake.input, snakemake.output)
first.wait()
value = first.compute()
save_artifact(snakemake.output[0], Kind("sample", 1, {"x": Field("float64", ())}), {"x": value},
              provenance)
"""
MODULES = {
    "first.py": """
        import time
        from pathlib import Path
        FACTOR = 1.0
        def wait():
            Path("waiting").touch()
            while not Path("go").exists():
                time.sleep(0.02)
        def compute():
            from pack import late
            return FACTOR * late.value()
    """,
    "pack/__init__.py": "",
    "pack/late.py": "from .deep import *\ndef value():\n    return 2.0 * deep()\n",
    "pack/deep.py": "def deep():\n    return 3.0\n",
}
PREAMBLE = """
import sys
sys.path.extend([{folder!r}, {scripts!r}])
class List(list):
    def get(self, name, default=None):
        return getattr(self, name, default)
class snakemake:
    params, input, output, log = List(), [], List([{output!r}]), List([{log!r}])
    config = {{"code_folders": [{scripts!r}, {folder!r}]}}
params = snakemake.params
params.spec, params.code, params.roots = "{{}}", {code!r}, {roots!r}
__real_file__ = __file__; __file__ = {script!r}
"""


class Job:
    """A small job that waits between its beginning and its work, as Snakemake would start it."""

    def __init__(self, folder: Path, modules: dict[str, str], script: str, roots: list[str]):
        self.folder, self.script, self.roots = folder, folder / "script.py", roots
        for name, text in {**modules, "script.py": script}.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text))
        self.output = folder / "results" / "stage" / "a.h5"
        self.code = self.hash()

    def hash(self) -> str:
        return hash_code(self.script, self.roots, [SCRIPTS, self.folder])

    def start(self) -> subprocess.Popen:
        names = {"folder": self.folder, "scripts": SCRIPTS, "script": self.script}
        names |= {"output": self.output, "log": self.folder / "job.log"}
        words = {name: str(path) for name, path in names.items()}
        text = PREAMBLE.format(code=self.code, roots=self.roots, **words)
        ran = self.folder / "ran" / "job.py"
        ran.parent.mkdir(exist_ok=True)
        ran.write_bytes(text.encode() + PREAMBLE_END + self.script.read_bytes())
        environment = {name: word for name, word in os.environ.items() if name != "PYTHONPATH"}
        words = [sys.executable, str(ran)]
        # Not PYTHONPATH: under conda it is taken away.
        return subprocess.Popen(
            words, cwd=self.folder, env=environment, stderr=subprocess.PIPE, text=True
        )

    def wait(self) -> None:
        end = time.monotonic() + 60
        while not (self.folder / "waiting").exists():
            assert time.monotonic() < end
            time.sleep(0.02)

    def finish(self, job: subprocess.Popen) -> str:
        """Return the last line that it said."""
        (self.folder / "go").touch()
        said = job.communicate(timeout=60)[1].splitlines()
        return said[-1] if said else ""

    def run(self) -> str:
        return self.finish(self.start())

    def edit(self, name: str, old: str, new: str) -> None:
        text = (self.folder / name).read_text()
        assert old in text
        (self.folder / name).write_text(text.replace(old, new))

    @property
    def value(self) -> float | None:
        if not self.output.exists():
            return None
        with h5py.File(self.output) as file:
            assert file.attrs["code"] == self.code
            return float(file["x"][()])


@pytest.fixture
def job(tmp_path):
    return Job(tmp_path, MODULES, SCRIPT, [])


def test_a_job_left_alone_saves(job):
    assert job.run() == ""
    assert job.value == 6


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("first.py", "FACTOR = 1.0", "FACTOR = 100.0"),
        ("pack/late.py", "2.0", "200.0"),
        ("pack/deep.py", "3.0", "300.0"),
        ("pack/__init__.py", "", "print('acts')\n"),
        ("script.py", "value = first.compute()", "value = 100 * first.compute()"),
    ],
)
class TestAnEdit:
    def test_before_the_job_begins_is_refused_in_one_line(self, job, name, old, new):
        job.edit(name, old, new)
        said = job.run()
        assert f"{job.folder / name}: the code has changed since this workflow was star" in said
        assert said.endswith("run snakemake again, what is made is kept")
        assert (job.folder / "job.log").read_text().splitlines() == [said]
        assert job.value is None

    @pytest.mark.parametrize("put_back", [False, True])
    def test_while_the_job_runs_changes_nothing_of_it(self, job, name, old, new, put_back):
        running, before = job.start(), (job.folder / name).read_text()
        job.wait()
        job.edit(name, old, new)
        if put_back:
            os.utime(job.folder / name, (1, 1))
            (job.folder / name).write_text(before)
        assert job.finish(running) == ""
        assert job.value == 6


def test_words_that_do_not_count_may_change_before_a_job_begins(job):
    job.edit("first.py", "FACTOR = 1.0", "FACTOR = 1.0  # a factor")
    assert job.run() == ""
    assert job.value == 6


def test_a_stale_cache_of_python_is_not_run(job):
    """Same size, same second: Python itself would run what it compiled before."""
    job.run()
    path = job.folder / "pack" / "deep.py"
    subprocess.run([sys.executable, "-c", "import pack.deep"], cwd=job.folder, check=True)
    state = path.stat()
    job.edit("pack/deep.py", "3.0", "4.0")
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    job.output.unlink()
    job.code = job.hash()
    assert job.run() == ""
    assert job.value == 8


def test_a_module_of_the_same_name_elsewhere_on_the_path_is_not_run(job):
    (job.folder / "ran").mkdir()
    (job.folder / "ran" / "first.py").write_text("raise SystemExit('not this one')\n")
    assert job.run() == ""
    assert job.value == 6


@pytest.mark.parametrize(
    "way",
    [
        "importlib.import_module('pa' + 'ck.hidden').x",
        "__import__('pa' + 'ck.hidden').hidden.x",
        "by_path('pack/hidden.py')",
        "sys.path.append(str(Path('../elsewhere').resolve())) or __import__('a_hidden').x",
    ],
)
def test_a_module_that_the_hash_did_not_reach_is_refused(tmp_path, way):
    modules = {**MODULES, "pack/hidden.py": "x = 5.0\n", "../elsewhere/a_hidden.py": "x = 5.0\n"}
    modules["first.py"] += f"""
        import importlib.util, sys
        def by_path(name):
            spec = importlib.util.spec_from_file_location("hidden", name)
            sys.modules["hidden"] = module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            return module.x
        def other():
            return {way}
    """
    script = SCRIPT.replace("first.compute()", "first.other()")
    job = Job(tmp_path / "job", modules, script, [])
    said = job.run()
    assert "hidden.py: module" in said
    assert "is not part of the hash of the code; import it by a statement and put" in said
    assert job.value is None
    job.edit("first.py", "FACTOR = 1.0", "depends_on = ['pack', '../elsewhere']")
    job.code = job.hash()
    assert job.run() == ""
    assert job.value == 5


DATA = {
    **MODULES,
    "first.py": MODULES["first.py"]
    + """
        depends_on = ["scale.json"]
        def read():
            return float(Path("scale.json").read_text())
    """,
    "scale.json": "7.0",
}


@pytest.mark.parametrize("put_back", [False, True])
def test_a_data_file_that_changes_while_a_job_runs_is_named(tmp_path, put_back):
    job = Job(tmp_path, DATA, SCRIPT.replace("first.compute()", "first.read()"), [])
    running = job.start()
    job.wait()
    job.edit("scale.json", "7", "700")
    if put_back:
        (job.folder / "scale.json").write_text("7.0")
    said = job.finish(running)
    assert f"{job.folder}/scale.json: listed in depends_on, and changed while this job ran" in said
    assert job.value is None
    (job.folder / "scale.json").write_text("7.0")
    assert job.run() == ""
    assert job.value == 7


def test_what_reads_the_text_of_a_function_reads_what_was_hashed(tmp_path):
    modules = {**MODULES}
    modules["first.py"] += """
        import inspect
        def text():
            return float(inspect.getsource(compute).count("late"))
    """
    job = Job(tmp_path, modules, SCRIPT.replace("first.compute()", "first.text()"), [])
    running = job.start()
    job.wait()
    job.edit("first.py", "def compute", "def other():\n    late\ndef compute")
    assert job.finish(running) == ""
    assert job.value == 2


def test_outside_of_a_job_nothing_is_looked_at(tmp_path):
    code = "import sys\nbefore = len(sys.meta_path)\nfrom lossmap import logs\n"
    code += "print(len(sys.meta_path) - before)\n"
    environment = os.environ | {"PYTHONPATH": str(SCRIPTS)}
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == 0


def test_a_root_is_run_as_it_was_hashed(tmp_path):
    modules = {**MODULES, "nets.py": "def make():\n    return 9.0\n"}
    script = SCRIPT.replace("first.compute()", "__import__('ne' + 'ts').make()")
    job = Job(tmp_path, modules, script, ["nets:make"])
    running = job.start()
    job.wait()
    job.edit("nets.py", "9.0", "900.0")
    assert job.finish(running) == ""
    assert job.value == 9
    assert tmp_path / "nets.py" in Reach(job.script, ["nets:make"], [tmp_path]).files()
