"""docs/results.md and README's verdicts are made from the committed ledger, and by nothing else."""

import importlib.util
import json
import shutil

import numpy as np
import pytest
from PIL import Image
from tests_support import ROOT

from lossmap.errors import LossmapError

_spec = importlib.util.spec_from_file_location("results", ROOT / "docs" / "results.py")
results = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(results)


@pytest.fixture
def kept(tmp_path):
    """Give a copy of what was kept of a run."""
    return shutil.copytree(results.KEPT, tmp_path / "results")


def edit(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_the_documents_are_what_the_ledger_and_the_readings_make():
    for path, text in results.render().items():
        assert path.read_text(encoding="utf-8") == text, "run: python docs/results.py"


def test_every_claim_is_told_with_its_verdict_and_number():
    found, text = results.Found(), (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    for claim in found.claims:
        part = text.partition(f"### {claim['id']}\n")[2].partition("\n### ")[0]
        assert f"**{claim['verdict'].capitalize()}**" in part
        assert results.show(claim["value"]) in part


def test_another_number_in_the_ledger_is_another_document(kept):
    value = results.Found().claims[0]["value"]
    edit(kept / "claims.csv", str(value), "0.123456")
    texts = results.render(kept)
    assert "0.123" in texts[ROOT / "docs" / "results.md"]


def test_a_reading_of_another_verdict_is_refused(kept):
    first = results.Found().claims[0]
    edit(kept / "claims.csv", f",{first['verdict']},", ",quite another,")
    with pytest.raises(LossmapError, match=f"{first['id']} .*write its reading anew"):
        results.render(kept)


def test_pictures_are_small_and_those_that_are_shown():
    pictures = {path.stem: path for path in results.KEPT.glob("*.png")}
    assert pictures.keys() == set(results.FIGURES)
    assert all(path.stat().st_size <= results.LARGEST for path in pictures.values())
    source = json.loads((results.KEPT / "source.json").read_text(encoding="utf-8"))
    made_from = {"claims/claims", *(f"figure/{name}" for name in results.FIGURES)}
    assert source["artifacts"].keys() == made_from
    assert all(len(digest) == 64 for digest in source["artifacts"].values())


def test_a_picture_is_shrunk_until_it_fits(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (3000, 1800, 3), dtype=np.uint8)
    smooth = np.linspace(0, 255, 1800, dtype=np.uint8)[None, :, None].repeat(900, 0).repeat(3, 2)
    for name, pixels in {"noise": noise, "smooth": smooth}.items():
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    assert len(results.shrink(tmp_path / "smooth.png")) <= results.LARGEST
    with pytest.raises(LossmapError, match="at most 200000 bytes"):
        results.shrink(tmp_path / "noise.png")
