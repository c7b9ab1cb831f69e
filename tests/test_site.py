"""The documentation: it builds without a warning, and names all that is public."""

import re
import subprocess
import sys
from html import unescape
from importlib.util import find_spec
from pathlib import Path

import pytest

import lossmap

ROOT = Path(__file__).parents[1]
PARTS = ("mkdocs", "material", "mkdocstrings_handlers")
ABSENT = [name for name in PARTS if find_spec(name) is None]


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """Build the site; any warning is an error."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def text_of(page: Path) -> str:
    return unescape(re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8")))


def test_every_public_name_is_in_the_reference():
    reference = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    for name in lossmap.__all__:
        place = getattr(lossmap, name).__module__
        assert f"::: {place}.{name}\n" in reference


@pytest.mark.slow
@pytest.mark.skipif(bool(ABSENT), reason=f"not installed: {', '.join(ABSENT)}")
def test_site_builds_and_shows_what_a_docstring_says(site):
    found = text_of(site / "docs" / "api" / "index.html")
    told = r"resolution\s*\(\s*int,\s*default:\s*51\s*\)\s*–\s*points along each side, odd"
    assert re.search(told, found)  # the type is the signature's, the words are the docstring's


@pytest.mark.slow
@pytest.mark.skipif(bool(ABSENT), reason=f"not installed: {', '.join(ABSENT)}")
def test_site_begins_with_the_readme_and_has_the_notebook(site):
    assert "rebuilds the figures and tables of two papers" in text_of(site / "index.html")
    notebook = (site / "docs" / "notebook" / "index.html").read_text(encoding="utf-8")
    assert "data:image/png;base64," in notebook
    assert 'href="../own_run/"' in notebook
