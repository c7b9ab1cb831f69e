import hashlib
import pickle
import subprocess
import sys
import tarfile
import threading
from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lossmap.artifacts.dataset import Dataset
from lossmap.artifacts.provenance import Provenance
from lossmap.artifacts.store import load, save
from lossmap.errors import LossmapError
from lossmap.network.data import describe_source, load_source
from lossmap.network.loaders.assembly import measure_pixels, select_balanced
from lossmap.network.loaders.digits import TEST_PER_DIGIT, TRAIN_PER_DIGIT, enlarge

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data"
ARRAYS = ("train_images", "train_labels", "test_images", "test_labels", "mean", "std")


def digits(classes=10, train=None, test=None, seed=0):
    spec = {"source": "digits", "classes": classes, "train": train, "test": test, "seed": seed}
    return load_source(spec, None, None)


def hdf5(path, train=None, test=None):
    spec = {"source": "hdf5", "file": Path(path).name, "train": train, "test": test}
    return load_source(spec, str(path), None)


def cifar(folder, name="cifar10", train=None, test=None):
    spec = {"source": "torchvision", "name": name, "train": train, "test": test}
    return load_source(spec, None, None if folder is None else str(folder))


def contents(train=12, test=6, classes=3, shape=(5, 4, 3), seed=0):
    rng = np.random.default_rng(seed)
    found = {"classes": [f"class-{label}" for label in range(classes)]}
    for split, size in (("train", train), ("test", test)):
        found[f"{split}/images"] = rng.integers(0, 256, (size, *shape), dtype=np.uint8)
        found[f"{split}/labels"] = np.arange(size, dtype=np.int64) % classes
    return found


def write(path, values, **options):
    with h5py.File(path, "w") as file:
        for name, value in values.items():
            chosen = options if name.endswith("images") else {}
            file.create_dataset(name, data=value, **chosen)
    return path


def same(one, two):
    return one.classes == two.classes and all(
        np.array_equal(getattr(one, name), getattr(two, name)) for name in ARRAYS
    )


# --- the balanced choice and the statistics ------------------------------------------------


def turns_by_hand(labels, size, classes):
    queues = [[i for i, label in enumerate(labels) if label == c] for c in range(classes)]
    chosen = []
    while len(chosen) < size:
        for queue in queues:
            if len(chosen) < size:
                chosen.append(queue.pop(0))
    return chosen


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.data())
def test_balanced_choice_is_the_first_of_each_class_taking_turns(labels, data):
    size = data.draw(st.integers(1, len(labels)))
    names = [str(label) for label in range(4)]
    try:
        index = select_balanced(np.array(labels), size, names, "here")
    except LossmapError:
        counts = np.bincount(labels, minlength=4)
        assert any(counts[c] < size // 4 + (c < size % 4) for c in range(4))
    else:
        assert index.tolist() == turns_by_hand(labels, size, 4)


def test_choice_of_a_class_that_lacks_images_names_it():
    with pytest.raises(LossmapError, match="need 2 of class 'b', but there are 1"):
        select_balanced(np.array([0, 0, 0, 1]), 4, ["a", "b"], "here")


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("count", [1, 999, 1000, 2001])
def test_pixel_statistics_equal_the_textbook_formula(channels, count):
    images = np.random.default_rng(count).integers(0, 256, (count, 3, 2, channels), dtype=np.uint8)
    mean, std = measure_pixels(images)
    scaled = images.astype(np.float64) / 255
    assert mean.dtype == std.dtype == np.float64
    np.testing.assert_allclose(mean, scaled.mean(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(std, scaled.std(axis=(0, 1, 2)), rtol=1e-12)


@pytest.mark.parametrize("value", [0, 7, 255])
def test_constant_images_have_a_deviation_of_exactly_zero(value):
    assert measure_pixels(np.full((1500, 5, 7, 3), value, np.uint8))[1].tolist() == [0, 0, 0]


# --- digits -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("classes", "train", "test"), [(10, None, None), (10, 1000, 400), (100, 1003, 250)]
)
def test_digits_are_balanced_gray_images_that_make_a_valid_artifact(tmp_path, classes, train, test):
    found = digits(classes, train, test)
    for images, labels, size in (
        (found.train_images, found.train_labels, train or 10 * TRAIN_PER_DIGIT),
        (found.test_images, found.test_labels, test or 10 * TEST_PER_DIGIT),
    ):
        assert images.shape == (size, 32, 32, 1)
        assert (images.dtype, labels.dtype) == (np.uint8, np.int64)
        assert np.ptp(np.bincount(labels, minlength=classes)) <= (size % classes > 0)
    save(tmp_path / "d.h5", found, Provenance("{}", "", {}))
    assert same(load(tmp_path / "d.h5", Dataset), found)


@pytest.mark.parametrize("classes", [10, 100])
def test_digits_depend_on_the_seed_alone(classes):
    assert same(digits(classes, 500, 200), digits(classes, 500, 200))
    assert not same(digits(classes, 500, 200), digits(classes, 500, 200, seed=1))


@pytest.mark.parametrize("classes", [10, 100])
def test_smaller_digit_sets_are_prefixes_of_larger_ones(classes):
    small, large = digits(classes, 150, 110), digits(classes, 1300, 440)
    for name in ARRAYS[:4]:
        np.testing.assert_array_equal(
            getattr(small, name), getattr(large, name)[: len(getattr(small, name))]
        )


def rows(images):
    return {image.tobytes() for image in images}


def test_no_digit_is_in_both_training_and_testing():
    found = digits()
    assert rows(found.train_images).isdisjoint(rows(found.test_images))
    assert len(rows(found.train_images)) == len(found.train_images)


def test_pairs_of_a_split_join_digits_of_that_split_only():
    halves = {}
    for split in ("train", "test"):
        pairs = getattr(digits(100), f"{split}_images")
        halves[split] = rows(pairs[:, :, :16]) | rows(pairs[:, :, 16:])
    assert halves["train"].isdisjoint(halves["test"])
    assert (len(halves["train"]), len(halves["test"])) == (
        10 * TRAIN_PER_DIGIT,
        10 * TEST_PER_DIGIT,
    )


def test_pair_labels_are_ten_times_left_plus_right():
    found = digits(100)
    digit_of = {}
    for side, digit in (
        (np.s_[:, :, :16], found.train_labels // 10),
        (np.s_[:, :, 16:], found.train_labels % 10),
    ):
        for image, value in zip(found.train_images[side], digit, strict=True):
            assert digit_of.setdefault(image.tobytes(), value) == value
    assert found.classes == [f"{label:02d}" for label in range(100)]


@pytest.mark.parametrize("classes", [10, 100])
def test_digits_of_half_the_side_are_the_same_digits(classes):
    sizes = {"source": "digits", "classes": classes, "train": 300, "test": 100, "seed": 0}
    large, small = (load_source(sizes | side, None, None) for side in ({}, {"side": 16}))
    np.testing.assert_array_equal(small.train_labels, large.train_labels)
    assert small.test_images.shape == (100, 16, 16, 1)
    blocks = large.train_images.reshape(300, 16, 2, 16, 2).mean((2, 4))
    for image, block in zip(small.train_images, blocks, strict=True):
        assert np.corrcoef(image.ravel(), block.ravel())[0, 1] > 0.95


@pytest.mark.parametrize("size", [4400, 20000])
def test_no_pair_occurs_twice(size):
    found = digits(100, None, size)
    assert len(rows(found.test_images)) == size


def test_enlarging_keeps_constants_range_and_means():
    scans = np.random.default_rng(0).integers(0, 17, (4, 8, 8)).astype(np.float64)
    assert (enlarge(np.full((8, 8), 16.0), 32, 16) == 255).all()
    large = enlarge(scans, 32, 32)
    assert large.shape == (4, 32, 32)
    np.testing.assert_allclose(large.mean(), scans.mean() * 255 / 16, atol=5)


def test_enlarging_equals_scipys_linear_interpolation():
    from scipy.ndimage import map_coordinates

    scan = np.random.default_rng(1).integers(0, 17, (8, 8)).astype(np.float64)
    rows_, columns = (np.arange(32) + 0.5) / 4 - 0.5, (np.arange(16) + 0.5) / 2 - 0.5
    where = np.meshgrid(rows_, columns, indexing="ij")
    expected = map_coordinates(scan, where, order=1, mode="nearest") * 255 / 16
    assert np.abs(enlarge(scan, 32, 16) - expected).max() <= 0.5 + 1e-9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": 20}, "classes is 20, expected 10"),
        ({"train": 1301}, "train: 1301 images asked, but there are 1300"),
        ({"test": 441}, "test: 441 images asked, but there are 440"),
        ({"train": 0}, "train: 0 images asked"),
        ({"train": -1}, "train: -1 images asked"),
        ({"train": 9}, "9 training images are fewer than one for each of the 10"),
        ({"classes": 100, "train": 99}, "99 training images are fewer"),
        ({"classes": 100, "test": 193601}, "but there are 193600 different pairs"),
    ],
)
def test_impossible_digit_sets_are_refused(options, message):
    with pytest.raises(LossmapError, match=message):
        digits(**options)


# --- HDF5 ---------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(32, 32, 3), (28, 28, 1), (7, 11, 3)])
@pytest.mark.parametrize("options", [{}, {"compression": "gzip", "shuffle": True}])
def test_whole_files_are_read_as_they_are(tmp_path, shape, options):
    values = contents(shape=shape)
    found = hdf5(write(tmp_path / "mine.h5", values, **options))
    assert found.classes == values["classes"]
    for name in ("train/images", "train/labels", "test/images", "test/labels"):
        np.testing.assert_array_equal(getattr(found, name.replace("/", "_")), values[name])
    np.testing.assert_allclose(found.mean, (values["train/images"] / 255).mean(axis=(0, 1, 2)))


def test_subsets_of_unordered_files_are_balanced_and_labels_stay_with_images(tmp_path):
    values = contents(train=40, test=20)
    values["train/labels"] = np.random.default_rng(3).permutation(values["train/labels"])
    found = hdf5(write(tmp_path / "mine.h5", values), train=20, test=4)
    index = turns_by_hand(values["train/labels"], 20, 3)
    np.testing.assert_array_equal(found.train_labels, np.arange(20) % 3)
    np.testing.assert_array_equal(found.train_images, values["train/images"][index])
    np.testing.assert_allclose(found.mean, (found.train_images / 255).mean(axis=(0, 1, 2)))


ARRIVES = {
    "no channel axis": lambda v: v | {f"{s}/images": v[f"{s}/images"][..., 0] for s in SPLITS},
    "2 channels": lambda v: v | {f"{s}/images": v[f"{s}/images"][..., :2] for s in SPLITS},
    "int32": lambda v: v | {f"{s}/labels": v[f"{s}/labels"].astype("i4") for s in SPLITS},
    "uint8": lambda v: v | {f"{s}/labels": v[f"{s}/labels"].astype("u1") for s in SPLITS},
    "uint64": lambda v: v | {f"{s}/labels": v[f"{s}/labels"].astype(">u8") for s in SPLITS},
    "float32": lambda v: v | {f"{s}/labels": v[f"{s}/labels"].astype("f4") for s in SPLITS},
    "a column": lambda v: v | {f"{s}/labels": v[f"{s}/labels"][:, None] for s in SPLITS},
}
SPLITS = ("train", "test")


@pytest.mark.parametrize("kind", ARRIVES)
def test_files_are_read_as_people_have_them(tmp_path, kind):
    values = contents()
    given = ARRIVES[kind](values)
    found = hdf5(write(tmp_path / "mine.h5", given))
    for split in SPLITS:
        labels, images = getattr(found, f"{split}_labels"), getattr(found, f"{split}_images")
        assert labels.dtype == np.int64
        np.testing.assert_array_equal(labels, values[f"{split}/labels"])
        assert images.ndim == 4
        np.testing.assert_array_equal(images, given[f"{split}/images"].reshape(images.shape))


def test_four_channels_are_read(tmp_path):
    assert hdf5(write(tmp_path / "mine.h5", contents(shape=(5, 6, 4)))).mean.shape == (4,)


def test_a_file_without_a_test_split_has_training_images_alone(tmp_path):
    values = {name: value for name, value in contents().items() if "test" not in name}
    path = write(tmp_path / "mine.h5", values)
    found = hdf5(path)
    assert found.test_images.shape == (0, 5, 4, 3)
    assert found.test_labels.shape == (0,)
    with pytest.raises(LossmapError, match="5 test images asked, but it has none; ask for null"):
        hdf5(path, test=5)


def test_classes_without_names_are_their_numbers(tmp_path):
    values = {name: value for name, value in contents().items() if name != "classes"}
    assert hdf5(write(tmp_path / "mine.h5", values)).classes == ["0", "1", "2"]


@pytest.mark.parametrize("size", [1, 2])
def test_a_test_split_may_be_smaller_than_the_number_of_classes(tmp_path, size):
    assert len(hdf5(write(tmp_path / "mine.h5", contents(test=size))).test_labels) == size


def changed(**changes):
    def change(values):
        for key, value in changes.items():
            name = key.replace("__", "/")
            old = values.pop(name)
            if value is not None:
                values[name] = value(old) if callable(value) else value

    return change


def with_label(value):
    def change(labels):
        labels[2] = value
        return labels

    return change


NAMED = "expected at least two different names"
REFUSED = {
    "no images": (changed(train__images=None), "'train/images' is missing"),
    "no labels": (changed(test__labels=None), "'test/labels' is missing"),
    "no training images": (
        changed(train__labels=None, train__images=None),
        "'train/images' is missing; the file must hold train/images and train/labels",
    ),
    "one class without a name": (
        changed(classes=None, train__labels=lambda y: y * 0, test__labels=lambda y: y * 0),
        "every label is 0, expected at least two classes",
    ),
    "low label without names": (
        changed(classes=None, test__labels=with_label(-1)),
        r"'test/labels'\[2\] is -1, expected 0 to 2",
    ),
    "float images": (
        changed(train__images=lambda x: x / np.float32(255)),
        r"'train/images' is float32 \(12, 5, 4, 3\), expected uint8 \(n, height",
    ),
    "2-D images": (
        changed(train__images=lambda x: x[..., 0, 0]),
        r"uint8 \(12, 5\), expected uint8 \(n, height, width\) or ",
    ),
    "channels first": (
        changed(train__images=lambda x: np.moveaxis(x.repeat(2, 2), -1, 1)),
        r"\(12, 3, 5, 8\), .* with 1 to 4 channels, which come last",
    ),
    "no test image": (
        changed(test__images=lambda x: x[:0], test__labels=lambda y: y[:0]),
        "at least one image",
    ),
    "short labels": (
        changed(train__labels=lambda y: y[:-1]),
        r"'train/labels' is int64 \(11,\), expected a whole number for each of the 12 images",
    ),
    "broken labels": (
        changed(train__labels=lambda y: y + 0.5),
        r"is float64 \(12,\), expected a whole number",
    ),
    "labels in rows": (
        changed(train__labels=lambda y: y.reshape(6, 2)),
        r"is int64 \(6, 2\), expected .* \(12,\) or \(12, 1\)",
    ),
    "words as labels": (
        changed(train__labels=[f"class-{i % 3}" for i in range(12)]),
        r"is object \(12,\), expected a whole number",
    ),
    "huge labels": (
        changed(train__labels=lambda y: y.astype("u8") + np.uint64(2**63)),
        r"is uint64 \(12,\), expected a whole number|is -?\d+, expected 0 to 2",
    ),
    "NaN labels": (changed(train__labels=lambda y: y * np.nan), r"is float64 \(12,\), expected"),
    "high label": (
        changed(train__labels=with_label(3)),
        r"'train/labels'\[2\] is 3, expected 0 to 2",
    ),
    "low label": (changed(test__labels=with_label(-1)), r"'test/labels'\[2\] is -1, expected"),
    "numeric classes": (changed(classes=[0, 1, 2]), rf"'classes' is int64 \(3,\), {NAMED}"),
    "one class name": (changed(classes="a"), rf"'classes' is object \(\), {NAMED}"),
    "one class": (changed(classes=["a"]), NAMED),
    "equal classes": (changed(classes=["a", "b", "a"]), NAMED),
    "unnamed class": (changed(classes=["a", "b", ""]), NAMED),
    "foreign encoding": (changed(classes=[b"a", b"b", b"\xff"]), "'classes' cannot be read"),
    "absent class": (changed(classes=list("abcd")), "class 'd' has no training image"),
    "two sizes": (changed(test__images=lambda x: x[:, 1:]), "'train' are 5×4×3, .* 'test' 4×4×3"),
    "constant channel": (
        changed(train__images=lambda x: x * np.uint8([1, 0, 1])),
        "channel 1 of the training images is 0 in every pixel",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_files_of_another_layout_are_refused_in_one_line(tmp_path, case):
    change, message = REFUSED[case]
    values = contents()
    change(values)
    with pytest.raises(LossmapError, match=message) as caught:
        hdf5(write(tmp_path / "mine.h5", values))
    assert str(caught.value).startswith(str(tmp_path / "mine.h5"))
    assert "\n" not in str(caught.value)


def test_a_dataset_in_place_of_a_group_is_refused(tmp_path):
    path = write(tmp_path / "mine.h5", {"train": [1], "classes": ["a", "b"]})
    with pytest.raises(LossmapError, match="'train/images' is missing"):
        hdf5(path)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"train": 13}, "train: 13 images asked, but there are 12"),
        ({"test": 7}, "test: 7 images asked, but there are 6"),
        ({"test": 0}, "test: 0 images asked"),
        ({"train": 2}, "2 training images are fewer than one for each of the 3 classes"),
    ],
)
def test_impossible_subsets_are_refused(tmp_path, sizes, message):
    with pytest.raises(LossmapError, match=message):
        hdf5(write(tmp_path / "mine.h5", contents()), **sizes)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(LossmapError, match=r"mine\.h5: no such file; put an HDF5 file"):
        hdf5(tmp_path / "mine.h5")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not an image file" * 50])
def test_a_foreign_file_is_named(tmp_path, content):
    (tmp_path / "mine.h5").write_bytes(content)
    with pytest.raises(LossmapError, match=r"mine\.h5: not a readable HDF5 file"):
        hdf5(tmp_path / "mine.h5")


@pytest.mark.parametrize("share", [0.2, 0.5, 0.99])
def test_a_truncated_file_is_named(tmp_path, share):
    path = write(tmp_path / "mine.h5", contents())
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(LossmapError, match=r"mine\.h5: HDF5, but truncated or damaged \("):
        hdf5(path)


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_flipped_bit_in_a_compressed_chunk_is_named(tmp_path, split):
    path = write(tmp_path / "mine.h5", contents(train=300, test=300), compression="gzip")
    with h5py.File(path) as file:
        chunk = file[f"{split}/images"].id.get_chunk_info(0)
    blob = bytearray(path.read_bytes())
    blob[chunk.byte_offset + chunk.size // 2] ^= 16
    path.write_bytes(blob)
    with pytest.raises(LossmapError, match=rf"mine\.h5: dataset '{split}/images' cannot be read"):
        hdf5(path)


# What the digest of a file does not cover.


def beside(path, name="parts.h5", **options):
    """Write healthy contents into another file and return its path."""
    return write(path.with_name(name), contents(), **options)


def replace_by(name, make):
    """Return what puts something else in the place of one dataset or group of a healthy file."""

    def change(path):
        beside(path)
        with h5py.File(path, "a") as file:
            del file[name]
            file[name] = make(file)

    return change


def external_storage(path, name="train/images"):
    values = contents()[name]
    path.with_name("pixels.raw").write_bytes(values.tobytes())
    with h5py.File(path, "a") as file:
        del file[name]
        stored = [("pixels.raw", 0, values.nbytes)]
        file.create_dataset(name, values.shape, values.dtype, external=stored)


def virtual(path, name="train/images", other="parts.h5"):
    """Map a dataset onto another file; what the map leaves out reads as zeros."""
    values = contents()[name]
    beside(path)
    layout = h5py.VirtualLayout(values.shape, values.dtype)
    layout[:6] = h5py.VirtualSource(other, name, values.shape)[:6]
    with h5py.File(path, "a") as file:
        file.move(name, f"kept/{name}")
        file.create_virtual_dataset(name, layout)


def half_written(path, name="train/images", **options):
    values = contents()[name]
    with h5py.File(path, "a") as file:
        del file[name]
        made = file.create_dataset(name, values.shape, values.dtype, **options)
        if options:
            made[:6] = values[:6]


def plugged(path, code=32015, word="zstd"):
    """Declare a filter that h5py does not bring along; values are stored without it."""
    values = contents()["train/images"]
    created = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    created.set_chunk(values.shape)
    created.set_filter(code, h5py.h5z.FLAG_OPTIONAL, ())
    with h5py.File(path, "a") as file:
        del file["train/images"]
        space = h5py.h5s.create_simple(values.shape)
        made = h5py.h5d.create(file.id, b"train/images", h5py.h5t.NATIVE_UINT8, space, created)
        made.write_direct_chunk((0, 0, 0, 0), values.tobytes(), filter_mask=1)


def chain(path):
    """Lead from one link to the next, and out of the file at the end."""
    beside(path)
    with h5py.File(path, "a") as file:
        del file["test"]
        file["test"] = h5py.SoftLink("/one")
        file["one"] = h5py.SoftLink("two")
        file["two"] = h5py.ExternalLink("parts.h5", "/test")


OUTSIDE = {
    "linked dataset": (
        replace_by("train/images", lambda _: h5py.ExternalLink("parts.h5", "train/images")),
        "'train/images' is an external link into 'parts.h5'",
    ),
    "linked labels": (
        replace_by("test/labels", lambda _: h5py.ExternalLink("parts.h5", "test/labels")),
        "'test/labels' is an external link into 'parts.h5'",
    ),
    "linked classes": (
        replace_by("classes", lambda _: h5py.ExternalLink("parts.h5", "classes")),
        "'classes' is an external link into 'parts.h5'",
    ),
    "linked group": (
        replace_by("train", lambda _: h5py.ExternalLink("parts.h5", "train")),
        "'train/images' is an external link into 'parts.h5'",
    ),
    "link into nothing": (
        replace_by("train", lambda _: h5py.ExternalLink("/no/such.h5", "train")),
        "'train/images' is an external link into '/no/such.h5'",
    ),
    "chain of links": (chain, "'test/images' is an external link into 'parts.h5'"),
    "external storage": (external_storage, "'train/images' is stored in 'pixels.raw'"),
    "labels in external storage": (
        partial(external_storage, name="test/labels"),
        "'test/labels' is stored in 'pixels.raw'",
    ),
    "virtual": (virtual, "'train/images' is a virtual dataset over 'parts.h5'"),
    "virtual labels": (partial(virtual, name="train/labels"), "virtual dataset over 'parts.h5'"),
    "virtual with a part missing": (partial(virtual, other="gone.h5"), "over 'gone.h5'"),
    "plugin": (plugged, r"'train/images' is compressed by filter 32015 \(.*\), a plugin"),
    "chunks never written": (
        partial(half_written, chunks=(1, 5, 4, 3)),
        r"of 'train/images', uint8 \(12, 5, 4, 3\), only 6 of its 12 chunks were written",
    ),
    "compressed chunks never written": (
        partial(half_written, chunks=(4, 5, 4, 3), compression="gzip"),
        "only 2 of its 3 chunks were written",
    ),
    "nothing written": (half_written, "only 0 of its 720 bytes were written"),
    "labels never written": (
        partial(half_written, name="test/labels"),
        "of 'test/labels', .* only 0 of its 48 bytes were written",
    ),
    "circle of links": (
        replace_by("train", lambda _: h5py.SoftLink("/train")),
        "'train/images' is missing",
    ),
    "link to nothing": (
        replace_by("train", lambda _: h5py.SoftLink("/nothing")),
        "'train/images' is missing",
    ),
}


@pytest.mark.parametrize("case", OUTSIDE)
def test_what_lies_outside_of_the_file_is_refused_by_its_name(tmp_path, case, monkeypatch):
    change, message = OUTSIDE[case]
    monkeypatch.chdir(tmp_path)  # the target would be found
    path = write(tmp_path / "mine.h5", contents())
    change(path)
    with pytest.raises(LossmapError, match=message) as caught:
        hdf5(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_links_inside_of_the_file_are_followed(tmp_path):
    path = write(tmp_path / "mine.h5", contents())
    whole = hdf5(path)
    with h5py.File(path, "a") as file:
        file.move("train", "raw/first")
        file["train"] = h5py.SoftLink("/raw/first")
        file.move("test/labels", "raw/labels")
        file["test/labels"] = h5py.SoftLink("/raw/labels")
        file["raw/names"] = file["classes"]
    assert same(hdf5(path), whole)


def test_more_than_memory_holds_is_refused_before_it_is_read(tmp_path, monkeypatch):
    path = write(tmp_path / "mine.h5", contents(), compression="gzip")
    pages = {"SC_PAGE_SIZE": 1, "SC_PHYS_PAGES": 720 + 360}
    monkeypatch.setattr("os.sysconf", pages.__getitem__)
    assert hdf5(path).classes
    pages["SC_PHYS_PAGES"] -= 1
    with pytest.raises(
        LossmapError, match=r"images up to 'test/images' take .* GiB, but this machine has"
    ):
        hdf5(path)
    assert len(hdf5(path, test=5).test_images) == 5


def test_terabytes_declared_in_a_small_file_are_one_line(tmp_path):
    path = write(tmp_path / "mine.h5", contents())
    with h5py.File(path, "a") as file:
        del file["train/images"]
        shape, chunks = (12, 40000, 40000, 3), (1, 40000, 40000, 1)
        file.create_dataset("train/images", shape, np.uint8, chunks=chunks, compression="gzip")
    with pytest.raises(LossmapError, match="only 0 of its 36 chunks were written"):
        hdf5(path)


@pytest.fixture(scope="module")
def listed_file(tmp_path_factory):
    path = write(tmp_path_factory.mktemp("listed") / "mine.h5", contents(), compression="gzip")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_name("SHA256SUMS").write_text(f"{'0' * 64}  other.h5\n{digest}  mine.h5\n")
    return path, path.read_bytes()


@settings(max_examples=60, derandomize=True, deadline=None)
@given(data=st.data())
def test_any_flipped_bit_of_a_listed_file_is_found(listed_file, data):
    path, blob = listed_file
    damaged = bytearray(blob)
    damaged[data.draw(st.integers(0, len(blob) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        path.write_bytes(damaged)
        with pytest.raises(LossmapError, match=r"mine\.h5: SHA-256 is .*SHA256SUMS says"):
            hdf5(path)
    finally:
        path.write_bytes(blob)
    assert hdf5(path).classes


@settings(max_examples=150, derandomize=True, deadline=None)
@given(data=st.data())
def test_a_damaged_unlisted_file_raises_nothing_but_our_error(listed_file, data):
    path, blob = listed_file[0].with_name("unlisted.h5"), bytearray(listed_file[1])
    blob[data.draw(st.integers(0, len(blob) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(blob)
    with suppress(LossmapError):  # damage to uncompressed pixels cannot be seen
        hdf5(path)


@pytest.mark.parametrize("line", ["{}  ./mine.h5", "{} *mine.h5", "# note\n\n{}  mine.h5\n"])
def test_checksum_lines_are_understood_as_sha256sum_writes_them(tmp_path, line):
    path = write(tmp_path / "mine.h5", contents())
    sums = tmp_path / "SHA256SUMS"
    sums.write_text(line.format(hashlib.sha256(path.read_bytes()).hexdigest().upper()))
    assert hdf5(path).classes
    sums.write_text(line.format("0" * 64))
    with pytest.raises(LossmapError, match="SHA-256"):
        hdf5(path)


@pytest.mark.parametrize("line", ["", "nothing of use", f"{'0' * 64}  my mine.h5"])
def test_files_that_the_checksums_do_not_list_are_read_unchecked(tmp_path, line):
    (tmp_path / "SHA256SUMS").write_text(line)
    assert hdf5(write(tmp_path / "mine.h5", contents())).classes


def test_reading_digits_or_hdf5_loads_no_torch(tmp_path):
    path = write(tmp_path / "mine.h5", contents())
    code = (
        "import sys; from lossmap.network.data import describe_source, load_source\n"
        "sizes = {'train': 30, 'test': 10}\n"
        "load_source({'source': 'digits', 'classes': 10, 'seed': 0, **sizes}, None, None)\n"
        "sizes = {'train': 9, 'test': 3}\n"
        f"load_source({{'source': 'hdf5', 'file': 'mine.h5', **sizes}}, {str(path)!r}, None)\n"
        "describe_source({'source': 'torchvision', 'name': 'cifar10', **sizes}, None, '.')\n"
        "assert not {'torch', 'torchvision', 'matplotlib'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT / "workflow_scripts", check=True)


@pytest.mark.parametrize(("name", "classes"), [("cifar10", 10), ("cifar100", 100)])
def test_published_files_give_their_own_statistics_and_balanced_prefixes(name, classes):
    path = SHARED / f"{name}.h5"
    if not path.is_file():
        pytest.skip(f"{path} is not on this machine")
    whole = hdf5(path)
    with h5py.File(path) as file:
        np.testing.assert_allclose(whole.mean, file.attrs["train_mean"], rtol=1e-6)
        np.testing.assert_allclose(whole.std, file.attrs["train_std"], rtol=1e-6)
    assert (whole.train_images.shape, len(whole.classes)) == ((20000, 32, 32, 3), classes)
    part = hdf5(path, train=1000, test=300)
    np.testing.assert_array_equal(part.train_images, whole.train_images[:1000])
    np.testing.assert_array_equal(part.test_labels, whole.test_labels[:300])
    assert set(np.bincount(part.train_labels)) == {1000 // classes}


# --- torchvision --------------------------------------------------------------------------

CIFAR = {
    "cifar10": ("CIFAR10", [f"data_batch_{i}" for i in range(1, 6)], "test_batch", "labels"),
    "cifar100": ("CIFAR100", ["train"], "test", "fine_labels"),
}


@pytest.fixture(params=CIFAR)
def layout(request, tmp_path, monkeypatch):
    """Write tiny files in torchvision's layout, and have its loader expect their MD5 sums."""
    return fake_layout(request.param, tmp_path / "data", monkeypatch)


def fake_layout(name, root, monkeypatch):
    from torchvision import datasets

    loader_name, trains, test, key = CIFAR[name]
    loader, classes = getattr(datasets, loader_name), int(name.removeprefix("cifar"))
    folder = root / loader.base_folder
    folder.mkdir(parents=True)
    rng, sums, splits = np.random.default_rng(0), {}, {}
    for file in (*trains, test):
        pixels = rng.integers(0, 256, (2 * classes, 3072), dtype=np.uint8)
        labels = rng.permutation(np.arange(2 * classes) % classes).tolist()
        splits[file] = (pixels, labels)
        sums[file] = put(folder / file, {"data": pixels, key: labels})
    meta = loader.meta
    names = [f"class-{label}" for label in range(classes)]
    md5 = put(folder / meta["filename"], {meta["key"]: names})
    monkeypatch.setattr(loader, "train_list", [[file, sums[file]] for file in trains])
    monkeypatch.setattr(loader, "test_list", [[test, sums[test]]])
    monkeypatch.setattr(loader, "meta", {**meta, "md5": md5})
    monkeypatch.setattr(loader, "url", "http://127.0.0.1:9/absent.tar.gz")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    pixels = np.concatenate([splits[file][0] for file in trains])
    labels = np.concatenate([splits[file][1] for file in trains])
    images = pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return name, root, loader, (images, labels, splits[test][1], names)


def put(path, value):
    path.write_bytes(pickle.dumps(value))
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def pack(loader, root, target, monkeypatch):
    """Turn the layout on disk into torchvision's archive at `target`."""
    folder = root / loader.base_folder
    with tarfile.open(target, "w:gz") as archive:
        archive.add(folder, loader.base_folder)
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    md5 = hashlib.md5(target.read_bytes(), usedforsecurity=False).hexdigest()
    monkeypatch.setattr(loader, "tgz_md5", md5)


def test_torchvisions_layout_is_read_whole(layout):
    name, root, _, (images, labels, test_labels, names) = layout
    found = cifar(root, name)
    np.testing.assert_array_equal(found.train_images, images)
    np.testing.assert_array_equal(found.train_labels, labels)
    np.testing.assert_array_equal(found.test_labels, test_labels)
    assert found.classes == names
    assert (found.train_images.dtype, found.train_labels.dtype) == (np.uint8, np.int64)


def test_subsets_of_torchvisions_layout_are_balanced(layout):
    name, root, _, (images, labels, _, names) = layout
    size = len(names)
    found = cifar(root, name, train=size, test=size)
    index = turns_by_hand(labels, size, size)
    np.testing.assert_array_equal(found.train_images, images[index])
    np.testing.assert_array_equal(found.test_labels, np.arange(size))
    with pytest.raises(LossmapError, match=f"test: 1000 images asked, but there are {2 * size}"):
        cifar(root, name, test=1000)


@pytest.mark.parametrize("part", ["train_list", "test_list", "meta"])
def test_a_damaged_file_is_named_and_left_alone(layout, part):
    name, root, loader, _ = layout
    file = loader.meta["filename"] if part == "meta" else getattr(loader, part)[0][0]
    path = root / loader.base_folder / file
    path.write_bytes(path.read_bytes()[:-3])
    before = path.read_bytes()
    with pytest.raises(LossmapError, match=f"{file}: MD5 is .*, expected .*: damaged.*move"):
        cifar(root, name)
    assert path.read_bytes() == before


def test_a_missing_file_of_the_layout_is_named(layout):
    name, root, loader, _ = layout
    (root / loader.base_folder / loader.test_list[0][0]).unlink()
    with pytest.raises(LossmapError, match=f"{loader.test_list[0][0]}: cannot be read"):
        cifar(root, name)


def test_an_archive_on_disk_is_unpacked_without_a_download(layout, monkeypatch):
    name, root, loader, (images, *_) = layout
    pack(loader, root, root / loader.filename, monkeypatch)
    np.testing.assert_array_equal(cifar(root, name).train_images, images)
    assert {path.name for path in root.iterdir()} == {loader.base_folder, loader.filename}


def test_a_damaged_archive_is_named_and_left_alone(layout, monkeypatch):
    name, root, loader, _ = layout
    pack(loader, root, root / loader.filename, monkeypatch)
    (root / loader.filename).write_bytes(b"half a download")
    with pytest.raises(LossmapError, match=r"python\.tar\.gz: MD5 is .*delete it"):
        cifar(root, name)
    assert (root / loader.filename).read_bytes() == b"half a download"


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def served(tmp_path):
    """Serve a folder over HTTP; yields the folder and its address."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = partial(QuietHandler, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_an_absent_set_is_downloaded_and_gets_its_name_when_complete(layout, served, monkeypatch):
    name, root, loader, (images, *_) = layout
    folder, address = served
    pack(loader, root, folder / loader.filename, monkeypatch)
    monkeypatch.setattr(loader, "url", f"{address}/{loader.filename}")
    fresh = root / "not" / "yet"
    np.testing.assert_array_equal(cifar(fresh, name).train_images, images)
    assert [path.name for path in fresh.iterdir()] == [loader.base_folder]


@pytest.mark.parametrize("failure", ["no server", "no file", "damaged file"])
def test_a_failing_download_says_what_to_put_where(layout, served, monkeypatch, failure):
    name, root, loader, _ = layout
    folder, address = served
    pack(loader, root, folder / loader.filename, monkeypatch)
    if failure != "no server":
        monkeypatch.setattr(loader, "url", f"{address}/{loader.filename}")
    if failure == "no file":
        (folder / loader.filename).unlink()
    if failure == "damaged file":
        (folder / loader.filename).write_bytes(b"short")
    with pytest.raises(LossmapError, match=f"put {loader.base_folder}/ or .* or {name}.h5 into"):
        cifar(root, name)
    assert list(root.iterdir()) == []


def test_unknown_names_and_absent_folders_are_refused(tmp_path):
    with pytest.raises(LossmapError, match="name is 'svhn', expected one of cifar10, cifar100"):
        cifar(tmp_path, "svhn")
    with pytest.raises(LossmapError, match=r"needs the folder of the data set.*set `data_dir`"):
        cifar(None)


# --- the door -----------------------------------------------------------------------------


def test_unknown_sources_are_refused():
    spec = {"source": "imagenet", "train": None, "test": None}
    for call in (load_source, describe_source):
        with pytest.raises(LossmapError, match="'imagenet' is unknown, expected one of digits"):
            call(spec, None, None)


def test_hdf5_without_a_path_is_refused():
    spec = {"source": "hdf5", "file": "cifar10.h5", "train": None, "test": None}
    with pytest.raises(LossmapError, match=r"needs the path of cifar10\.h5.*set `data_dir`"):
        load_source(spec, None, None)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"source": "digits", "classes": 10, "seed": 3}, "10 classes, seed 3: 30 train, all test"),
        ({"source": "hdf5", "file": "a.h5"}, "HDF5 file /x/a.h5: 30 train, all test images"),
        ({"source": "torchvision", "name": "cifar10"}, "/y/cifar-10-batches-py (to be unpacked or"),
    ],
)
def test_description_is_one_line_that_names_the_source(spec, expected):
    line = describe_source({**spec, "train": 30, "test": None}, "/x/a.h5", "/y")
    assert expected in line
    assert "\n" not in line
