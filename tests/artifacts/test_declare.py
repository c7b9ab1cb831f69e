"""A kind is declared once; the format's document says all that is declared, and nothing else."""

from typing import TypedDict

import numpy as np
import pytest

from lossmap.artifacts.curves import CURVES, SNAPSHOT_CURVES
from lossmap.artifacts.declare import Field, artifact, f64, group, i64, store_as, text
from lossmap.artifacts.describe import DOCUMENT, HEADING, find_declared, render, rows_of
from lossmap.artifacts.provenance import Provenance
from lossmap.artifacts.store import load, load_part, read_datasets, save

PROVENANCE = Provenance("{}", "c0de", {})


class Inner(TypedDict, total=False):
    size: i64["items"]
    share: f64[()]


@artifact("sample", version=4)
class Sample:
    words: text.at("a/words")["rows"]
    values: f64["rows"]
    inner: group[Inner]
    note: i64[()] | None = None

    @store_as(f64.at("a/total")[()])
    def total(self) -> float:
        return self.values.sum()


SAMPLE = Sample(["a", "b"], np.array([1.0, 2.5]), {"size": np.arange(3), "share": 0.5})


def test_fields_follow_from_the_annotations():
    assert Sample.KIND.name == "sample"
    assert Sample.KIND.version == 4
    assert {n: (f.dtype, f.dims, f.required) for n, f in Sample.KIND.fields.items()} == {
        "a/words": ("str", ("rows",), True),
        "values": ("float64", ("rows",), True),
        "inner/size": ("int64", ("inner/items",), False),
        "inner/share": ("float64", (), False),
        "note": ("int64", (), False),
        "a/total": ("float64", (), True),
    }


def test_what_is_saved_is_loaded(tmp_path):
    save(tmp_path / "a.h5", SAMPLE, PROVENANCE)
    found = load(tmp_path / "a.h5", Sample)

    assert found.words == ["a", "b"]
    assert found.values.tolist() == [1.0, 2.5]
    assert found.inner["size"].tolist() == [0, 1, 2]
    assert type(found.inner["share"]) is float
    assert found.note is None
    assert read_datasets(tmp_path / "a.h5", Sample.KIND)["a/total"] == 3.5


def test_a_part_is_loaded_without_the_rest(tmp_path):
    save(tmp_path / "a.h5", SAMPLE, PROVENANCE)

    assert load_part(tmp_path / "a.h5", Sample, "inner").keys() == {"size", "share"}
    assert load_part(tmp_path / "a.h5", Sample, "words") == ["a", "b"]


def test_an_annotation_that_declares_no_dataset_is_refused():
    with pytest.raises(TypeError, match=r"'wrong' is declared as .*, expected a dataset"):

        @artifact("sample", version=1)
        class Wrong:
            wrong: list[int]


def test_per_puts_an_axis_before_the_others():
    @artifact("sample", version=1, per="lines")
    class Line:
        word: text[()]
        values: f64["columns"]

    assert Line.KIND.fields["word"] == Field("str", ("lines",), name="word")
    assert Line.KIND.fields["values"].dims == ("lines", "columns")


def test_the_document_is_what_the_declarations_say():
    document = DOCUMENT.read_text(encoding="utf-8")
    assert HEADING in document
    assert document == render(document), "run: make format-doc"


@pytest.mark.parametrize("declared", find_declared(), ids=lambda declared: declared.KIND.name)
def test_every_dataset_has_a_meaning_and_every_number_a_unit(declared):
    rows = rows_of(declared)

    assert {row.name for row in rows} == declared.KIND.fields.keys()
    assert [row.name for row in rows if not row.meaning] == []
    assert [row.name for row in rows if row.field.dtype != "str" and not row.unit] == []


def test_curves_are_declared_where_they_are_measured():
    declared = {declared.KIND.name: declared.KIND.fields for declared in find_declared()}

    for name in ("trajectory", "jumps"):
        assert set(SNAPSHOT_CURVES) <= declared[name].keys()
    for name in ("distance", "embedding"):
        assert set(CURVES) <= declared[name].keys()
