"""Claims of horoi2021 on clouds, embeddings and runs whose statistics are known in closed form."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lossmap.artifacts.canonical import canonical_json
from lossmap.artifacts.curves import CURVES
from lossmap.artifacts.distance import Cloud, Origins
from lossmap.artifacts.embedding import CONTINUITY, Embedding
from lossmap.artifacts.layout import Layout
from lossmap.artifacts.provenance import Provenance
from lossmap.artifacts.store import load, save
from lossmap.artifacts.trajectory import History, Trajectory
from lossmap.claims.horoi2021 import (
    accuracy,
    adam_norm,
    adam_spread,
    continuity,
    measure_agreement,
    measure_gap,
    measure_outward_share,
    measure_petal_share,
    null_control,
    outward,
    picture,
    robustness,
    sgd_direction,
    sgd_straighter,
    smooth,
    star,
)
from lossmap.claims.papers import SHIPPED, measure_claims
from lossmap.errors import LossmapError
from lossmap.geometry.distances import measure_cloud_geometry
from lossmap.geometry.retraining import measure_embedded_retraining, measure_retraining
from lossmap.workflow.configuration import embedding_names, load_configuration
from lossmap.workflow.specs import claims_sources, claims_spec

CONFIG = Path(__file__).resolve().parents[2] / "config"
OURS = [name for name in SHIPPED if name.startswith("horoi-")]
PROVENANCE = Provenance("{}", "c0de", {})
EITHER_ORDER = pytest.mark.parametrize("order", [1, -1])

# Retraining as complex numbers around the optimum: the jump is 0 degrees, its length the modulus.
STRAIGHT = (4, 3, 2, 1)
OUTWARD = (2, 4, 6, 1)
WANDERING = (4, 3j, -2, 1)
MOTIONLESS = (4, 4, 4, 4)


def verdict(holds, testable=True):
    if not testable:
        return "not testable at this scale"
    return "reproduced" if holds else "not reproduced"


def make_origins(lengths, optimum=False, sources=("run",)):
    """Return the origins of trajectories of some lengths, after the optimum if there is one."""
    before = [-1] if optimum else []
    trajectory = np.array([*before, *(i for i, n in enumerate(lengths) for _ in range(n))])
    count = len(trajectory)
    return Origins(
        is_optimum=(trajectory < 0).astype(np.int8),
        trajectory=trajectory,
        source=np.maximum(trajectory, 0) if len(sources) > 1 else np.zeros(count, np.int64),
        direction=np.where(trajectory < 0, -1, 40 + trajectory),
        step_size=np.where(trajectory < 0, np.nan, 0.5),
        epoch=np.array([*before, *(epoch for n in lengths for epoch in range(n))]),
        **{name: np.full(count, np.nan) for name in CURVES},
        sources=list(sources),
    )


def make_jumps(*paths):
    """Return the cloud of jumps, each in a plane of its own through one optimum."""
    optimum = np.arange(1.0, 2 * len(paths) + 1)
    rows = [optimum]
    for index, path in enumerate(paths):
        for number in path:
            row = optimum.copy()
            row[2 * index : 2 * index + 2] += [np.real(number), np.imag(number)]
            rows.append(row)
    origins = make_origins([len(path) for path in paths], optimum=True)
    return measure_cloud_geometry({"rows": np.array(rows)}, origins)


def make_picture(paths, **continuity):
    """Return an embedding of jumps in all directions whose last points' centroid is zero.

    For that all paths must end in one number.
    """
    turns = np.exp(2j * np.pi * np.arange(len(paths)) / len(paths))
    numbers = np.concatenate(
        [np.asarray(path) * turn for path, turn in zip(paths, turns, strict=True)]
    )
    return Embedding(
        np.column_stack([numbers.real, numbers.imag]),
        np.arange(len(numbers)) + 1,
        make_origins([len(path) for path in paths]),
        dict.fromkeys(CONTINUITY, 1.0) | continuity,
        {"graph_components": np.int64(len(paths))},
    )


def phate(knn=5, space="centered", metric="cosine"):
    return {"method": "phate", "metric": metric, "cosine_space": space, "knn": knn}


def rival(method, metric="cosine"):
    return {"method": method, "metric": metric, "cosine_space": "centered"}


class Folder:
    """Artifacts in a folder, known by ``stage/name``."""

    def __init__(self, folder):
        self.folder, self.sources = folder, {}

    def path(self, name):
        self.sources[name] = self.folder / f"{name}.h5"
        return self.sources[name]

    def jumps(self, name, *paths):
        """Save a cloud of jumps and return what a claim is told of it."""
        save(self.path(f"distance/{name}"), make_jumps(*paths), PROVENANCE)
        return {"cloud": name, "of": None, "runs": [], "embeddings": {}}

    def spoilt(self, name, *paths):
        """Save a cloud of jumps that has one distance from the optimum that is no number."""
        cloud = make_jumps(*paths)
        cloud.euclidean[0, 2] = cloud.euclidean[2, 0] = np.nan
        save(self.path(f"distance/{name}"), cloud, PROVENANCE)
        return {"cloud": name, "of": None, "runs": [], "embeddings": {}}

    def picture(self, entry, suffix, technique, embedding):
        """Save an embedding of a cloud and add it to what a claim is told of that."""
        name = f"{entry['cloud']}-{suffix}"
        save(self.path(f"embedding/{name}"), embedding, PROVENANCE)
        return entry | {"embeddings": entry["embeddings"] | {name: technique}}

    def null(self, name, of, *paths, technique=None):
        entry = {"cloud": name, "of": of, "runs": [], "embeddings": {}}
        return self.picture(entry, "phate", technique or phate(), make_picture(paths))

    def runs(self, name, **groups):
        """Save a cloud of whole runs given as paths by label, the first of them from seed 0."""
        entries, paths = [], []
        for label, found in groups.items():
            title = label.replace("_", " ")
            for seed, path in enumerate(found):
                entries.append({"run": f"{label}-{seed}", "label": title, "seed": seed})
                paths.append(np.asarray(path, float))
        sources = [entry["run"] for entry in entries]
        origins = make_origins([len(path) for path in paths], sources=sources)
        cloud = measure_cloud_geometry({"rows": np.concatenate(paths)}, origins)
        save(self.path(f"distance/{name}"), cloud, PROVENANCE)
        return {"cloud": name, "of": None, "runs": entries, "embeddings": {}}

    def run(self, name, norm=1.0, test=0.5, train=1.0, label="good", seed=0):
        """Save the curves of a run, by their last values, and return what a claim is told."""
        last = {"theta_norm": norm, "test_accuracy": test, "train_accuracy": train}
        columns = {n: np.array([9.0, last.get(n, 0.25)]) for n in (*CURVES, "theta_norm")}
        history = History(
            epochs=np.arange(2), steps=np.arange(2), iteration_loss=np.zeros(1), **columns
        )
        layouts = (Layout(["weight"], ["linear"], [(1, 2)]), Layout([], [], []))
        arrays = np.zeros((2, 2), np.float32), np.zeros((2, 0), np.float32)
        tensors = (layout.to_tensors() for layout in layouts)
        save(self.path(f"trajectory/{name}"), Trajectory(*arrays, history, *tensors), PROVENANCE)
        return {"run": name, "label": label, "seed": seed}


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)


# --- what is counted ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("paths", "outward", "petals"),
    [
        ([STRAIGHT] * 3, 0, 1),
        ([OUTWARD] * 3, 1, 0),
        ([WANDERING] * 3, 0, 0),
        ([STRAIGHT, OUTWARD, WANDERING, STRAIGHT], 1 / 4, 1 / 2),
        ([(1, 1.0099, 0.9)] * 2, 0, 1),
        ([(1, 1.0099, 0.91)] * 2, 0, 0),  # a petal returns
        ([(1, 1.0101, 1)] * 2, 1, 0),
        ([(2, 2 * np.exp(0.24j * np.pi), np.exp(0.24j * np.pi))] * 2, 0, 1),
        ([(2, 2 * np.exp(0.26j * np.pi), np.exp(0.26j * np.pi))] * 2, 0, 0),
    ],
)
def test_shares_of_jumps_in_full_space_and_picture(paths, outward, petals):
    picture = make_picture(paths)
    full = measure_retraining(make_jumps(*paths))
    drawn = measure_embedded_retraining(picture.points, picture.origins)

    for found in (full, drawn):
        assert measure_outward_share(found) == outward
        assert measure_petal_share(found) == petals


def numbers_of(claim, quantity):
    """Return the numbers of a quantity by case, the mean over its seeds."""
    found = {}
    for each in claim.numbers:
        if each.quantity == quantity:
            found.setdefault(each.case, []).append(each.value)
    return {case: float(np.mean(values)) for case, values in found.items()}


@pytest.mark.parametrize("field", ["outward", "cosine", "remaining"])
def test_shares_of_jumps_that_are_no_numbers_are_none(field):
    found = measure_retraining(make_jumps(STRAIGHT, OUTWARD))
    spoilt = replace(found, **{field: np.array([1.0, np.nan])})

    assert math.isnan(measure_petal_share(spoilt))
    assert math.isnan(measure_outward_share(spoilt)) == (field == "outward")


# --- horoi-star ---------------------------------------------------------------------------------

PULLED, LOOSE = (4, 3.5, 3.0), (4, 3.9 + 0.3j, 3.8 + 0.5j)  # 3/4 and 0.95 of the jump are left


def compared_minima(folder, good, bad, memorization, crossed=((LOOSE,),)):
    """Save clouds of jumps, two directions or more, and return what horoi-star is told of them."""
    kinds = {"good": good, "bad": bad, "memorization": memorization, "crossed": crossed}
    return {
        f"{kind}_clouds": [
            folder.jumps(f"{kind}{i}", *(paths * 2 if len(paths) == 1 else paths))
            for i, paths in enumerate(clouds)
        ]
        for kind, clouds in kinds.items()
    }


@pytest.mark.parametrize(
    ("good", "bad", "memorization", "value", "holds"),
    [
        ([[PULLED]], [[LOOSE]], [[LOOSE]], 0.2, True),
        ([[PULLED], [STRAIGHT]], [[LOOSE]], [[LOOSE]], 0.45, True),
        ([[PULLED]], [[LOOSE]], [[PULLED]], 0, False),  # memorization comes back as far
        ([[PULLED]], [[PULLED]], [[LOOSE]], 0, False),
        ([[LOOSE]], [[PULLED]], [[LOOSE]], -0.2, False),
        ([[MOTIONLESS]], [[MOTIONLESS]], [[MOTIONLESS]], 0, False),
        ([[(2, 3, 1.5)]], [[(2, 3, 2)]], [[(2, 3, 2)]], 0.25, True),  # outward is another claim
        # two directions of a bad minimum come back farther than the good one's: in 30% of draws all
        ([[PULLED]], [[(4, 4, 2.96), (4, 4, 2.96), LOOSE]], [[LOOSE]], 0.18 / 3, False),
    ],
)
def test_star_needs_good_minima_to_return_further_than_either_other(
    folder, good, bad, memorization, value, holds
):
    claim = star.measure(compared_minima(folder, good, bad, memorization), folder.sources, True)

    assert claim.value == pytest.approx(value, abs=1e-9)
    assert claim.verdict == verdict(holds)
    assert numbers_of(claim, "along at the end")["crossed0"] == pytest.approx(0.95)
    assert numbers_of(claim, "across at the end")["crossed0"] == pytest.approx(0.125)


def test_crossed_minima_decide_nothing(folder):
    parts = ([[PULLED]], [[LOOSE]], [[LOOSE]])
    found = [
        star.measure(compared_minima(folder, *parts, crossed), folder.sources, True)
        for crossed in ([[STRAIGHT]], [[OUTWARD]])
    ]
    assert found[0].value == found[1].value
    assert {row.verdict for row in found} == {"reproduced"}


@pytest.mark.parametrize(("rate", "testable"), [(0.001, True), (0.01, True), (0.08, False)])
def test_star_is_not_judged_by_retraining_hotter_than_the_end_of_training(folder, rate, testable):
    spec = compared_minima(folder, [[PULLED]], [[LOOSE]], [[LOOSE]])
    spec["bad_clouds"][0]["rates"] = [rate, 0.01]

    for claim, holds in ((star, True), (outward, False)):
        given = {key: spec[key] for key in claim.on}
        wanted = verdict(holds, testable)
        assert claim.measure(given, folder.sources, True).verdict == wanted


@pytest.mark.parametrize(("loss", "testable"), [(0.15, True), (0.25, False)])
def test_star_is_not_judged_where_the_loss_is_not_back(folder, loss, testable):
    spec = compared_minima(folder, [[PULLED]], [[LOOSE]], [[LOOSE]])
    cloud = make_jumps(PULLED, PULLED)
    cloud.origins.train_loss[:] = [0.1, 3, 1, loss, 3, 1, loss]
    save(folder.path("distance/good0"), cloud, PROVENANCE)

    found = star.measure(spec, folder.sources, True)
    assert found.verdict == verdict(True, testable)


@EITHER_ORDER
@pytest.mark.parametrize("spoilt", ["good", "bad", "memorization"])
def test_star_of_distances_that_are_no_numbers_is_not_reproduced(folder, spoilt, order):
    spec = compared_minima(folder, [[PULLED]], [[LOOSE]], [[LOOSE]])
    spec[f"{spoilt}_clouds"].insert(order, folder.spoilt("lost", (4, 3)))
    claim = star.measure(spec, folder.sources, True)

    assert math.isnan(claim.value)
    assert math.isnan(claim.low)
    assert claim.verdict == "not reproduced"


def test_star_of_one_direction_is_not_reproduced(folder):
    spec = compared_minima(folder, [[PULLED]], [[LOOSE]], [[LOOSE]])
    spec["good_clouds"] = [folder.jumps("alone", PULLED)]

    assert star.measure(spec, folder.sources, True).verdict == "not reproduced"


def test_interval_of_the_star_is_wider_the_more_directions_differ(folder):
    spreads = []
    for spread in (0.0, 0.1, 0.2):
        paths = [(4, 4 * (0.9 + shift)) for shift in (-spread, 0, spread)]
        claim = star.measure(
            compared_minima(folder, [[PULLED]], [paths], [paths]), folder.sources, True
        )
        spreads.append(claim.high - claim.low)
    assert spreads[0] == pytest.approx(0, abs=1e-9)
    assert spreads[0] < spreads[1] < spreads[2]


def test_star_of_random_walks_is_not_reproduced(folder):
    """Walks of equal lengths return equally, whatever their minimum is called."""
    generator = np.random.default_rng(0)

    def walks():
        steps = generator.standard_normal((20, 9)) + 1j * generator.standard_normal((20, 9))
        return [(4, *(4 + np.cumsum(path))) for path in steps]

    spec = compared_minima(folder, [walks()], [walks()], [walks()])
    assert star.measure(spec, folder.sources, True).verdict == "not reproduced"


# --- horoi-outward ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("good", "bad", "memorization", "holds"),
    [
        (STRAIGHT, OUTWARD, OUTWARD, True),
        (STRAIGHT, OUTWARD, STRAIGHT, False),
        (STRAIGHT, (1, 1.009, 1), OUTWARD, False),
        (STRAIGHT, (1, 1 + 2j, 1), OUTWARD, False),  # farther away, but not along the jump
        (OUTWARD, OUTWARD, OUTWARD, False),
        ((1, 1.009, 1), (1, 1.011, 1), OUTWARD, True),
        (STRAIGHT, STRAIGHT, STRAIGHT, False),
    ],
)
def test_outward_is_what_bad_and_memorization_do_and_good_do_not(
    folder, good, bad, memorization, holds
):
    spec = compared_minima(folder, [[good]], [[bad]], [[memorization]])
    del spec["crossed_clouds"]
    claim = outward.measure(spec, folder.sources, True)

    assert claim.verdict == verdict(holds)
    assert set(numbers_of(claim, "largest along")) == {"good0", "bad0", "memorization0"}


def test_one_jump_that_goes_outward_by_chance_does_not_decide(folder):
    spec = compared_minima(folder, [[STRAIGHT] * 4 + [OUTWARD]], [[OUTWARD]], [[OUTWARD]])
    del spec["crossed_clouds"]

    assert outward.measure(spec, folder.sources, True).verdict == "reproduced"


# --- horoi-picture ------------------------------------------------------------------------------

LOOP = (4, 5 + 3j, 3 + 4j, 1)
"""A path that encloses an area in the picture."""


def drawn(folder, kind, paths, nulls):
    """Save a cloud, its picture and those of its null models by model."""
    entry = folder.picture(folder.jumps(kind, *paths), "phate", phate(), make_picture(paths))
    made = []
    for model, seeds in nulls.items():
        for seed, shapes in enumerate(seeds):
            null = folder.null(f"{kind}-{model}{seed}", kind, *shapes)
            made.append(null | {"model": model, "seed": seed})
    return entry, made


def pictured(folder, good, bad, good_nulls, bad_nulls):
    calm, calm_nulls = drawn(folder, "good", good, good_nulls)
    open_, open_nulls = drawn(folder, "bad", bad, bad_nulls)
    return {
        "good_clouds": [calm],
        "bad_clouds": [open_],
        "null_clouds": [*calm_nulls, *open_nulls],
    }


RAYS, LOOPS = [STRAIGHT] * 4, [LOOP] * 4
SAME = {"walks": [RAYS, RAYS], "straight": [RAYS, RAYS]}


@pytest.mark.parametrize(
    ("good", "bad", "bad_nulls", "found"),
    [
        (RAYS, LOOPS, SAME, "reproduced"),
        (RAYS, RAYS, SAME, "not reproduced"),
        (LOOPS, RAYS, SAME, "not reproduced"),
        (RAYS, LOOPS, SAME | {"straight": [LOOPS] * 2}, "reproduced"),
        # the step lengths alone draw the same two pictures
        (RAYS, LOOPS, SAME | {"walks": [LOOPS] * 2}, "the picture carries no information"),
    ],
)
def test_picture_needs_open_paths_that_walks_do_not_draw(folder, good, bad, bad_nulls, found):
    claim = picture.measure(pictured(folder, good, bad, SAME, bad_nulls), folder.sources, True)

    assert claim.verdict == found
    areas = numbers_of(claim, "enclosed area")
    assert [areas[kind] == pytest.approx(0, abs=1e-9) for kind in ("good", "bad")] == [
        paths is RAYS for paths in (good, bad)
    ]
    swaps = numbers_of(claim, "bad minus good")
    assert swaps.keys() == {"walks", "straight"}
    ranks = numbers_of(claim, "rank correlation of drawn distance and along")
    assert ranks["good"] == pytest.approx(1.0) if good is RAYS else ranks["good"] <= 1


def test_picture_says_what_swapped_step_lengths_draw(folder):
    """Steps of good with lengths of bad are drawn as loops: the sign turns with the lengths."""
    nulls = (SAME | {"swapped": [LOOPS]}, SAME | {"swapped": [RAYS]})
    claim = picture.measure(pictured(folder, RAYS, LOOPS, *nulls), folder.sources, True)

    assert numbers_of(claim, "bad minus good")["swapped"] < 0


# --- horoi-phate-continuity ---------------------------------------------------------------------

WHOLE = {"long_steps": 0.0, "longest_gap": 0.15, "components": 1.0, "order": 0.9}
TORN = {"long_steps": 0.01, "longest_gap": 0.4, "components": 6.0, "order": 0.8}


def compared(folder, name="c", metric="cosine", **continuity):
    """Save embeddings of a cloud by three methods with these statistics."""
    seed = int(name.partition("-")[2] or 0)
    entry = {"cloud": name, "of": None, "runs": [], "embeddings": {}, "seed": seed}
    for method in ("phate", "tsne", "umap"):
        technique = phate(metric=metric) if method == "phate" else rival(method, metric)
        found = make_picture([STRAIGHT] * 2, **continuity[method])
        entry = folder.picture(entry, f"{method}-{metric}", technique, found)
    return entry


def five_trees(folder, **continuity):
    trees = [compared(folder, f"tree-{seed}", "euclidean", **continuity) for seed in range(5)]
    return {"trees": trees, "clouds": []}


@pytest.mark.parametrize(
    ("ours", "theirs", "share", "holds"),
    [
        (WHOLE, TORN, 1, True),
        (WHOLE, WHOLE | {"components": 2.0}, 1, True),
        (WHOLE, WHOLE, 1, False),  # nothing is shattered
        (WHOLE, WHOLE | {"order": 0.1}, 1, False),  # disordered, but whole
        (WHOLE | {"order": 0.79}, TORN, 3 / 4, False),
        (WHOLE | {"long_steps": 0.02}, TORN, 3 / 4, False),
        (WHOLE | {"components": 7.0, "longest_gap": 0.41}, TORN, 2 / 4, False),
        (TORN, WHOLE, 0, False),
        (WHOLE | {"order": math.nan}, TORN, 3 / 4, False),
        (WHOLE, TORN | {"order": math.nan}, 3 / 4, False),
        (WHOLE, TORN | {"longest_gap": math.nan}, 3 / 4, False),
    ],
)
def test_continuity_needs_phate_whole_and_the_rivals_torn(folder, ours, theirs, share, holds):
    spec = five_trees(folder, phate=ours, tsne=theirs, umap=theirs)
    claim = continuity.measure(spec, folder.sources, True)

    assert claim.value == share
    assert claim.verdict == verdict(holds)


@pytest.mark.parametrize("whole", ["tsne", "umap"])
def test_continuity_needs_both_rivals_torn(folder, whole):
    found = {"phate": WHOLE, "tsne": TORN, "umap": TORN} | {whole: WHOLE}
    claim = continuity.measure(five_trees(folder, **found), folder.sources, True)

    assert claim.value == 1
    assert claim.verdict == "not reproduced"


def test_continuity_is_of_the_mean_over_trees_and_needs_five(folder):
    found = {"phate": WHOLE, "tsne": TORN, "umap": TORN}
    spec = five_trees(folder, **found)
    unlucky = compared(folder, "tree-4", "euclidean", **found | {"phate": WHOLE | {"order": 0.7}})
    claim = continuity.measure(
        spec | {"trees": [*spec["trees"][:4], unlucky]}, folder.sources, True
    )
    few = continuity.measure(spec | {"trees": spec["trees"][1:]}, folder.sources, True)

    assert claim.verdict == "reproduced"
    assert numbers_of(claim, "order") == pytest.approx({"phate": 0.86, "tsne": 0.8, "umap": 0.8})
    assert few.verdict == "not testable at this scale"


def spiral(length, scattered=False):
    """Return trajectories side by side, in their order or with their points strewn about."""
    time = np.arange(length)
    paths = np.stack([time + 0.0j, time + 100j])
    rows = paths.ravel()
    return np.random.default_rng(0).permutation(rows) if scattered else rows


def laid_out(folder, length, torn):
    entry = {"cloud": "jumps", "of": None, "runs": [], "embeddings": {}}
    for method in ("phate", "tsne", "umap"):
        technique = phate() if method == "phate" else rival(method)
        found = make_picture([np.arange(length, 0, -1.0)] * 2, **WHOLE)
        rows = spiral(length, method in torn)
        found = replace(found, points=np.column_stack([rows.real, rows.imag]))
        entry = folder.picture(entry, f"{method}-cosine", technique, found)
    return entry


@pytest.mark.parametrize(
    ("length", "torn", "counted", "holds"),
    [
        (30, ("tsne", "umap"), True, True),
        (30, (), True, True),  # separate directions are not shattering, and a tie is none
        (30, ("phate",), True, False),
        (9, ("phate",), False, True),  # ten nearest neighbors exceed a trajectory
    ],
)
def test_long_trajectories_must_keep_their_temporal_neighbors(folder, length, torn, counted, holds):
    spec = five_trees(folder, phate=WHOLE, tsne=TORN, umap=TORN)
    spec["clouds"] = [laid_out(folder, length, torn)]
    claim = continuity.measure(spec, folder.sources, True)

    assert claim.verdict == verdict(holds)
    shares = numbers_of(claim, "temporal neighbors among the nearest")
    assert set(shares) == {f"jumps cosine {m}" for m in ("phate", "tsne", "umap") if counted}
    if counted and "phate" not in torn:
        assert shares["jumps cosine phate"] == 1.0


@EITHER_ORDER
def test_continuity_is_that_of_the_embedding_that_is_shown(folder, order):
    """Of PHATE's settings: centered cosines and the smallest knn, in whichever order they stand."""
    spec = five_trees(folder, phate=WHOLE, tsne=TORN, umap=TORN)
    bad = make_picture([STRAIGHT] * 2, **TORN | {"order": 0.0})
    for index in range(5):
        wide = phate(30, metric="euclidean")
        entry = folder.picture(spec["trees"][index], "a-knn30", wide, bad)
        entry["embeddings"] = dict([*entry["embeddings"].items()][::order])
        spec["trees"][index] = entry

    assert continuity.measure(spec, folder.sources, True).verdict == "reproduced"


@pytest.mark.parametrize("left_out", ["phate", "tsne", "umap"])
def test_continuity_without_a_method_names_the_cloud(folder, left_out):
    spec = five_trees(folder, phate=WHOLE, tsne=TORN, umap=TORN)
    del spec["trees"][0]["embeddings"][f"tree-0-{left_out}-euclidean"]

    with pytest.raises(LossmapError, match="cloud 'tree-0': expected embeddings by phate, tsne"):
        continuity.measure(spec, folder.sources, True)


# --- horoi-adam-norm ----------------------------------------------------------------------------


def norms(folder, **groups):
    runs = [
        folder.run(f"{label}-{seed}", norm=norm, label=label.replace("_", " "), seed=seed)
        for label, found in groups.items()
        for seed, norm in enumerate(found)
    ]
    return {"runs": runs}


@pytest.mark.parametrize(
    ("adam", "value", "low", "high", "holds"),
    [
        ((60, 80, 100), 2, 1.5, 2.5, True),
        ((60, 80, 99.9), 239.9 / 120, 1.5, 99.9 / 40, False),
        ((10, 10), 0.25, 0.25, 0.25, False),
        ((90,), 2.25, 2.25, 2.25, True),
    ],
)
def test_adam_must_reach_twice_the_larger_mean_norm(folder, adam, value, low, high, holds):
    spec = norms(folder, SGD=(10, 20), SGD_with_momentum=(30, 50), Adam=adam)
    claim = adam_norm.measure(spec, folder.sources, True)

    assert (claim.value, claim.low, claim.high) == pytest.approx((value, low, high))
    assert claim.verdict == verdict(holds)
    assert numbers_of(claim, "norm of the final weights") == pytest.approx(
        {"Adam": np.mean(adam), "SGD": 15, "SGD with momentum": 40}
    )


@EITHER_ORDER
@pytest.mark.parametrize("lost", ["SGD", "SGD_with_momentum", "Adam"])
def test_norm_that_is_no_number_is_not_reproduced(folder, lost, order):
    found = {"SGD": (10, 20), "SGD_with_momentum": (10, 20), "Adam": (90, 90)}
    found[lost] = (90, math.nan)[::order]
    claim = adam_norm.measure(norms(folder, **found), folder.sources, True)

    assert math.isnan(claim.value)
    assert claim.verdict == "not reproduced"


@pytest.mark.parametrize("lost", ["SGD", "SGD with momentum", "Adam"])
def test_norms_without_an_optimizer_are_named(folder, lost):
    spec = norms(folder, SGD=(1,), SGD_with_momentum=(1,), Adam=(9,))
    spec["runs"] = [entry for entry in spec["runs"] if entry["label"] != lost]

    with pytest.raises(LossmapError, match=f"no run is trained by {lost}, only by "):
        adam_norm.measure(spec, folder.sources, True)


# --- horoi-sgd-direction ------------------------------------------------------------------------


def tracks(angle, seeds=2, detour=1.0, tilt=0.0, adam=np.pi / 2):
    """Return runs of all optimizers, net displacements at an angle from SGD's for each seed.

    Each seed has two dimensions of its own and all share a third, along which `tilt` of a run goes.
    Without momentum the way leads over a point `detour` aside.
    """
    turns = {"SGD": 0.0, "SGD_with_momentum": angle, "Adam": adam}
    found = {label: [] for label in turns}
    for seed in range(seeds):
        for label, turn in turns.items():
            start, net = np.ones(2 * seeds + 1), np.zeros(2 * seeds + 1)
            start[2 * seed] = 5.0
            net[2 * seed : 2 * seed + 2] = 2 * np.cos(turn), 2 * np.sin(turn)
            net[-1] = 2 * tilt
            aside = np.zeros_like(net)
            aside[2 * seed : 2 * seed + 2] = -net[2 * seed + 1], net[2 * seed]
            aside *= (detour if label == "SGD" else 0.5) / 2
            found[label].append([start, start + net / 2 + aside, start + net])
    return found


@pytest.mark.parametrize(
    ("angle", "tilt", "adam", "value", "holds"),
    [
        (0.0, 0.0, np.pi / 2, 1, True),
        (np.deg2rad(60), 0.0, np.pi / 2, 1 / 2, True),  # similar is more than by chance
        (np.deg2rad(60), 0.0, np.deg2rad(61), 1 / 2 - math.cos(np.deg2rad(61)), True),
        (np.deg2rad(60), 0.0, np.deg2rad(59), 1 / 2 - math.cos(np.deg2rad(59)), False),
        (0.0, 2.0, np.pi, 1 - 4 / 5, True),
        (np.pi, 2.0, np.pi / 2, 3 / 5 - 4 / 5, False),  # not so near as other seeds
    ],
)
def test_sgd_and_momentum_of_one_seed_must_go_together(folder, angle, tilt, adam, value, holds):
    entry = folder.runs("both", **tracks(angle, tilt=tilt, adam=adam))
    claim = sgd_direction.measure({"clouds": [entry]}, folder.sources, True)

    assert claim.value == pytest.approx(value, abs=1e-9)
    assert claim.verdict == verdict(holds)
    cases = set(numbers_of(claim, "cosine"))
    assert cases == {"one seed", "different seeds", "SGD and Adam"}
    assert numbers_of(claim, "standard deviations above")["one seed"] > 0 or not holds


def test_directions_of_random_walks_are_not_similar(folder):
    """Walks without a landscape share no direction, from whatever seed they start."""
    generator = np.random.default_rng(0)
    walks = {
        label: [np.cumsum(generator.standard_normal((9, 40)), axis=0) + 9 for _ in range(4)]
        for label in ("SGD", "SGD_with_momentum", "Adam")
    }
    entry = folder.runs("walks", **walks)
    claim = sgd_direction.measure({"clouds": [entry]}, folder.sources, True)

    assert claim.verdict == "not reproduced"


@pytest.mark.parametrize(("noise", "holds"), [(0.05, True), (0.5, False)])
def test_directions_must_lie_five_deviations_above_those_of_other_seeds(folder, noise, holds):
    """Above all of them; by how much tells, not whether."""
    signs = np.array([[1, -1, 1], [-1, 1, 1], [1, 1, -1]])
    runs = {"SGD": [], "SGD_with_momentum": [], "Adam": []}
    for seed in range(3):
        for label, other in (("SGD", 0.0), ("SGD_with_momentum", noise), ("Adam", None)):
            net = np.zeros(4)
            net[3 if other is None else seed] = 1.0
            if other:
                net[:3] += other * signs[seed] * (np.arange(3) != seed)
            runs[label].append([np.ones(4), np.ones(4) + net])
    claim = sgd_direction.measure({"clouds": [folder.runs("c", **runs)]}, folder.sources, True)

    assert claim.value > 0
    assert claim.verdict == verdict(holds)


def test_directions_are_paired_by_seed(folder):
    found = tracks(0.0, seeds=3)
    entry = folder.runs("both", **found | {"SGD_with_momentum": found["SGD_with_momentum"][1:]})
    shifted = folder.runs("shifted", **found)
    for number, run in enumerate(shifted["runs"][3:6]):
        run["seed"] = (number + 1) % 3

    for each in (entry, shifted):  # in both, momentum's seed 0 is SGD's seed 1
        claim = sgd_direction.measure({"clouds": [each]}, folder.sources, True)
        assert claim.low == pytest.approx(0, abs=1e-9)
        assert claim.verdict == "not reproduced"


@pytest.mark.parametrize("lost", [0, 3])
def test_direction_of_a_run_that_is_back_where_it_began_is_not_reproduced(folder, lost):
    found = tracks(0.0)
    runs = [run for group in found.values() for run in group]
    runs[lost][2] = runs[lost][0]
    entry = folder.runs("c", **found)
    claim = sgd_direction.measure({"clouds": [entry]}, folder.sources, True)

    assert math.isnan(claim.value)
    assert claim.verdict == "not reproduced"


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (tracks(0.0, seeds=1), "cloud 'c': expected runs of SGD and SGD with momentum"),
        ({"SGD": tracks(0.0)["SGD"]}, "no run is trained by SGD with momentum, only by SGD;"),
        (
            {n: tracks(0.0)[n] for n in ("SGD", "SGD_with_momentum")},
            "no run is trained by Adam, only by SGD, SGD with momentum;",
        ),
    ],
)
def test_direction_of_too_few_runs_is_refused(folder, groups, message):
    spec = {"clouds": [folder.runs("c", **groups)]}
    with pytest.raises(LossmapError, match=message):
        sgd_direction.measure(spec, folder.sources, True)


# --- horoi-sgd-straighter -----------------------------------------------------------------------


@pytest.mark.parametrize(("detour", "holds"), [(1.0, True), (0.51, True), (0.49, False)])
def test_momentum_must_go_straighter(folder, detour, holds):
    entry = folder.runs("both", **tracks(0.3, detour=detour))
    claim = sgd_straighter.measure({"clouds": [entry]}, folder.sources, True)

    plain, momentum = math.hypot(1, detour), math.hypot(1, 0.5)
    assert claim.value == pytest.approx(plain / momentum)
    assert claim.verdict == verdict(holds)
    assert numbers_of(claim, "path over net displacement") == pytest.approx(
        {"SGD": plain, "SGD with momentum": momentum}
    )


def test_momentum_that_is_straighter_from_one_seed_alone_is_not_reproduced(folder):
    found = tracks(0.0, seeds=3)
    found["SGD"][1:] = [[path[0], path[-1], path[-1]] for path in found["SGD"][1:]]
    claim = sgd_straighter.measure({"clouds": [folder.runs("c", **found)]}, folder.sources, True)

    assert claim.low < 1 < claim.high
    assert claim.verdict == "not reproduced"


def test_straightness_is_paired_by_seed(folder):
    entry = folder.runs("c", **tracks(0.0))
    for run in entry["runs"]:
        run["seed"] += 10 * (run["label"] == "SGD")
    with pytest.raises(LossmapError, match="cloud 'c': no seed has runs of both SGD and SGD with"):
        sgd_straighter.measure({"clouds": [entry]}, folder.sources, True)


# --- horoi-adam-spread --------------------------------------------------------------------------


def ending(*distances, out=1.0):
    """Return runs from one point to points at some distances from the first along a line.

    The farther out the line lies, the smaller are the angles between its points.
    """
    return [[[0.0, 1.0], [out, distance]] for distance in distances]


@pytest.mark.parametrize(
    ("adam", "out", "holds"),
    [
        ((0, 3.1), 1, True),
        ((0, 2.9), 1, False),
        ((-6, 0, 6), 1, True),
        ((0, 90), 100, False),  # far apart, for they are long: the angle is not larger
    ],
)
def test_adam_must_end_farther_apart_than_both_others(folder, adam, out, holds):
    groups = {"SGD": ending(0, 1), "SGD_with_momentum": ending(0, 3)}
    groups["Adam"] = ending(*adam, out=out)
    claim = adam_spread.measure({"clouds": [folder.runs("c", **groups)]}, folder.sources, True)
    angles = 1 - np.cos(np.arctan2(adam, out)[:, None] - np.arctan2(adam, out))
    pairs = np.triu_indices(len(adam), 1)
    apart = np.abs(np.subtract.outer(adam, adam))[pairs].mean() / 3
    turned = angles[pairs].mean() / (1 - np.cos(np.arctan2(3, 1)))

    assert (claim.low, claim.high) == pytest.approx(sorted([apart, turned]))
    assert claim.value == claim.low
    assert claim.verdict == verdict(holds)
    found = numbers_of(claim, "mean euclidean distance")
    assert (found["SGD"], found["SGD with momentum"]) == pytest.approx((1, 3))


@pytest.mark.parametrize("lost", [1, 3, 5])
def test_spread_that_is_no_number_is_not_reproduced(folder, lost):
    groups = {n: ending(0, d) for n, d in (("SGD", 1), ("SGD_with_momentum", 3), ("Adam", 9))}
    entry = folder.runs("c", **groups)
    cloud = load(folder.sources["distance/c"], Cloud)
    row = 2 * lost + 1
    cloud.euclidean[row] = cloud.euclidean[:, row] = np.nan
    save(folder.sources["distance/c"], cloud, PROVENANCE)
    claim = adam_spread.measure({"clouds": [entry]}, folder.sources, True)

    assert math.isnan(claim.value)
    assert claim.verdict == "not reproduced"


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"SGD": ending(0, 1), "Adam": ending(0, 9)}, "no run is trained by SGD with momentum"),
        (
            {"SGD": ending(0), "SGD_with_momentum": ending(0, 1), "Adam": ending(0, 9)},
            "group 'SGD': expected two or more",
        ),
    ],
)
def test_spread_of_too_few_runs_is_refused(folder, groups, message):
    spec = {"clouds": [folder.runs("c", **groups)]}
    with pytest.raises(LossmapError, match=message):
        adam_spread.measure(spec, folder.sources, True)


# --- horoi-smooth -------------------------------------------------------------------------------

ZIGZAG = [[1, 1], [2, 2], [3, 1], [4, 2], [5, 1]]
LINE = [[1, 1], [2, 1], [3, 1], [4, 1], [5, 1]]


def smoothness(folder, plain, adam, drawn):
    """Save runs, and pictures of one of each by both solvers."""
    many = folder.runs("many", SGD=[plain] * 3, SGD_with_momentum=[plain], Adam=[adam] * 3)
    singles = []
    for label in ("SGD", "Adam"):
        entry = folder.runs(f"{label}-single", **{label: [LINE]})
        for solver, paths in drawn.items():
            found = replace(make_picture([np.arange(5)]), points=np.array(paths[label], float))
            technique = phate() | {"mds_solver": solver}
            entry = folder.picture(entry, solver, technique, found)
        singles.append(entry)
    return {"clouds": [many], "single_clouds": singles}


AS_PRINTED, REVERSED = {"SGD": ZIGZAG, "Adam": LINE}, {"SGD": LINE, "Adam": ZIGZAG}


@pytest.mark.parametrize(
    ("plain", "adam", "by_sgd", "by_smacof", "found"),
    [
        (ZIGZAG, LINE, AS_PRINTED, AS_PRINTED, (True, True)),
        (ZIGZAG, LINE, AS_PRINTED, REVERSED, (True, False)),  # the scatter is the solver's
        (ZIGZAG, LINE, REVERSED, AS_PRINTED, (False, True)),
        (LINE, ZIGZAG, AS_PRINTED, AS_PRINTED, (False, False)),  # not so in the full space
        (ZIGZAG, ZIGZAG, AS_PRINTED, AS_PRINTED, (False, False)),
    ],
)
def test_smooth_needs_full_space_and_picture(folder, plain, adam, by_sgd, by_smacof, found):
    spec = smoothness(folder, plain, adam, {"sgd": by_sgd, "smacof": by_smacof})
    claim = smooth.measure(spec, folder.sources, True)

    assert (claim.verdict, claim.other_verdict) == tuple(map(verdict, found))
    turns = numbers_of(claim, "mean turn, radians")
    assert turns["SGD"] == pytest.approx(np.pi / 2 if plain is ZIGZAG else 0, abs=1e-6)


def test_smooth_without_a_solver_names_the_cloud(folder):
    spec = smoothness(folder, ZIGZAG, LINE, {"smacof": AS_PRINTED})
    with pytest.raises(LossmapError, match="'SGD-single': expected an embedding by phate with mds"):
        smooth.measure(spec, folder.sources, True)


# --- horoi-null-control -------------------------------------------------------------------------

STARS, WALKS = [STRAIGHT] * 4, [OUTWARD] * 4
HALF = [STRAIGHT, STRAIGHT, OUTWARD, OUTWARD]
QUARTER = [STRAIGHT, OUTWARD, OUTWARD, OUTWARD]
APART = {"walks": [WALKS] * 2, "straight": [STARS] * 2}


@pytest.mark.parametrize(
    ("good", "bad", "nulls", "value", "found"),
    [
        (STARS, WALKS, APART, 1, "reproduced"),  # a perfect star can pass
        (STARS, HALF, APART, 1 / 2, "reproduced"),
        (STARS, [STRAIGHT, STRAIGHT, STRAIGHT, OUTWARD], APART, 1 / 4, "reproduced"),
        (STARS, STARS, APART, 0, "not reproduced"),
        (WALKS, WALKS, APART, 0, "not reproduced"),
        # what cannot tell walks from straight returns tells nothing
        (STARS, WALKS, {"walks": [STARS], "straight": [STARS]}, 0, "no information"),
        (STARS, WALKS, {"walks": [WALKS], "straight": [WALKS]}, 0, "no information"),
        (STARS, WALKS, {"walks": [STARS, WALKS], "straight": [STARS, STARS]}, 1 / 2, "reproduced"),
    ],
)
def test_pictures_must_tell_the_nulls_apart_and_differ_from_their_own(
    folder, good, bad, nulls, value, found
):
    spec = pictured(folder, good, bad, nulls, nulls)
    claim = null_control.measure(spec, folder.sources, True)

    assert claim.value == value
    assert claim.verdict.endswith(found)
    assert claim.verdict == "reproduced" or found != "reproduced"


def test_seeds_of_a_null_are_averaged(folder):
    nulls = {"walks": [WALKS, QUARTER], "straight": [STARS, STARS]}
    claim = null_control.measure(pictured(folder, STARS, WALKS, nulls, nulls), folder.sources, True)

    shares = numbers_of(claim, "share of outward first")
    assert shares["good walks"] == (1 + 3 / 4) / 2
    assert claim.value == (1 + 3 / 4) / 2


def test_differences_are_of_the_shares_that_are_meant():
    """7/20 - 2/20 is less than 0.25 in floating point."""
    own, null = np.array([7 / 20, 0]), np.array([2 / 20, 0])
    assert own[0] - null[0] < 1 / 4
    assert measure_gap(own, null) == 1 / 4
    assert math.isnan(measure_gap(own, np.array([1.0, np.nan])))


def test_picture_is_the_paper_s_in_cloud_and_nulls(folder):
    """Centered cosines with the smallest knn; other settings play no part."""
    spec = pictured(folder, STARS, WALKS, APART, APART)
    misleading = make_picture(HALF)
    for suffix, technique in {
        "knn15": phate(15),
        "raw": phate(2, "raw"),
        "euclidean": phate(2, metric="euclidean"),
        "pca": {"method": "pca", "metric": "euclidean"},
    }.items():
        (entry,) = spec["good_clouds"]
        spec["good_clouds"] = [folder.picture(entry, suffix, technique, misleading)]

    assert null_control.measure(spec, folder.sources, True).value == 1


@pytest.mark.parametrize("who", ["good_clouds", "null_clouds"])
def test_picture_that_is_no_number_is_not_reproduced(folder, who):
    spec = pictured(folder, STARS, WALKS, APART, APART)
    lost = make_picture(WALKS)
    lost.points[1] = np.nan
    folder.picture(spec[who][0], "phate", phate(), lost)
    claim = null_control.measure(spec, folder.sources, True)

    assert math.isnan(claim.value)
    assert claim.verdict == "not reproduced"


@pytest.mark.parametrize("technique", [phate(space="raw"), phate(metric="euclidean"), rival("t")])
def test_null_control_without_the_paper_s_picture_names_the_cloud(folder, technique):
    spec = pictured(folder, STARS, WALKS, APART, APART)
    spec["null_clouds"][0]["embeddings"] = {"other": technique}

    with pytest.raises(LossmapError, match="cloud 'good-walks0': expected an embedding by phate"):
        null_control.measure(spec, folder.sources, True)


def test_null_control_without_a_model_names_the_cloud(folder):
    spec = pictured(folder, STARS, WALKS, APART, {"walks": [WALKS]})

    with pytest.raises(LossmapError, match="cloud 'bad': expected a null model of 'straight'"):
        null_control.measure(spec, folder.sources, True)


# --- horoi-robustness ---------------------------------------------------------------------------

NEAR, FAR = (4, 2, 1.0), (4, 3, 2.0)
"""In the picture a quarter of the jump is left, or half."""


def settled(folder, name, full, drawn):
    """Save a cloud and a picture of it for each setting."""
    entry = folder.jumps(name, *[full] * 3)
    for index, path in enumerate(drawn):
        found = make_picture([path] * 3)
        entry = folder.picture(entry, f"phate{index}", phate(index + 2), found)
    return entry


def robust(folder, good, bad, full=(PULLED, LOOSE)):
    clouds = [
        settled(folder, name, truth, drawn)
        for name, truth, drawn in (("good", full[0], good), ("bad", full[1], bad))
    ]
    return {
        "good_clouds": clouds[:1],
        "bad_clouds": clouds[1:],
        "crossed_clouds": [folder.jumps("decay", PULLED)],
    }


@pytest.mark.parametrize(
    ("good", "bad", "value", "holds"),
    [
        ([NEAR] * 9, [FAR] * 9, 1, True),
        ([NEAR] * 9, [FAR] * 8 + [NEAR], 8 / 9, True),  # no difference is no agreement
        ([NEAR] * 7 + [FAR] * 2, [FAR] * 7 + [NEAR] * 2, 7 / 9, False),
        ([FAR] * 9, [NEAR] * 9, 0, False),
        ([NEAR], [FAR], 1, True),
    ],
)
def test_settings_must_have_the_sign_of_the_full_space(folder, good, bad, value, holds):
    claim = robustness.measure(robust(folder, good, bad), folder.sources, True)

    assert claim.value == pytest.approx(value)
    assert claim.verdict == verdict(holds)
    assert len(numbers_of(claim, "drawn along, bad minus good")) == len(good)
    assert numbers_of(claim, "along at the end")["decay"] == pytest.approx(0.75)


def test_sign_is_that_of_the_full_space_and_must_be_one(folder):
    other = robust(folder, [FAR] * 3, [NEAR] * 3, full=(LOOSE, PULLED))
    assert robustness.measure(other, folder.sources, True).verdict == "reproduced"
    none = robust(folder, [NEAR] * 3, [FAR] * 3, full=(PULLED, PULLED))
    assert robustness.measure(none, folder.sources, True).verdict == "not testable at this scale"


@pytest.mark.parametrize(
    "double",
    [
        phate(2),
        phate(4, "raw", "euclidean"),  # Euclidean distances know no space of cosines
    ],
)
def test_settings_that_are_the_same_count_once(folder, double):
    spec = robust(folder, [NEAR] * 2, [FAR] * 2)
    known = phate(4, "centered", "euclidean")
    for key, path in (("good_clouds", NEAR), ("bad_clouds", FAR)):
        (entry,) = spec[key]
        entry = folder.picture(entry, "plain", known, make_picture([path] * 3))
        spec[key] = [entry]
    before = robustness.measure(spec, folder.sources, True)
    for key, path in (("good_clouds", FAR), ("bad_clouds", NEAR)):
        (entry,) = spec[key]
        spec[key] = [folder.picture(entry, "zz-twice", double, make_picture([path] * 3))]
    after = robustness.measure(spec, folder.sources, True)

    assert before.value == after.value == 1
    assert before.numbers == after.numbers


def test_only_phate_counts_among_settings(folder):
    spec = robust(folder, [NEAR], [FAR])
    for key in ("good_clouds", "bad_clouds"):
        for method in ("tsne", "umap", "pca", "random"):
            (entry,) = spec[key]
            spec[key] = [folder.picture(entry, method, rival(method), make_picture([NEAR] * 3))]

    assert robustness.measure(spec, folder.sources, True).value == 1


@pytest.mark.parametrize("who", ["good", "bad"])
def test_robustness_of_what_is_no_number_is_not_reproduced(folder, who):
    spec = robust(folder, [NEAR] * 9, [FAR] * 9)
    folder.spoilt(who, (4, 3), (4, 3))
    claim = robustness.measure(spec, folder.sources, True)

    assert math.isnan(claim.value)
    assert claim.verdict == "not reproduced"


@pytest.mark.parametrize(
    ("drawn", "truth"), [([0.0, math.nan], 0.0), ([0.0], math.nan), ([1.0, math.nan], 1.0)]
)
def test_agreement_with_what_is_no_number_is_none(drawn, truth):
    assert math.isnan(measure_agreement(drawn, truth))


def test_robustness_without_phate_names_the_clouds(folder):
    spec = robust(folder, [], [NEAR])
    with pytest.raises(LossmapError, match="'good' and 'bad': expected embeddings by phate of the"):
        robustness.measure(spec, folder.sources, True)


# --- horoi-accuracy -----------------------------------------------------------------------------


def fits(folder, good, bad, random):
    return {
        "good_runs": [folder.run(f"good{i}", test=a) for i, a in enumerate(good)],
        "bad_runs": [folder.run(f"bad{i}", test=a) for i, a in enumerate(bad)],
        "memorization_runs": [folder.run(f"random{i}", train=a) for i, a in enumerate(random)],
    }


@pytest.mark.parametrize(
    ("good", "bad", "random", "low", "high", "holds"),
    [
        ((0.95, 0.70), (0.85, 0.60), (1.0,), 0.1, 0.1, True),
        ((0.95, 0.70), (0.85, 0.51), (0.99, 1.0), 0.1, 0.19, True),
        ((0.95, 0.70), (0.85, 0.66), (1.0,), 0.04, 0.1, False),
        ((0.551,), (0.5,), (1.0,), 0.051, 0.051, True),
        ((0.549,), (0.5,), (1.0,), 0.049, 0.049, False),
        ((0.85,), (0.95,), (1.0,), -0.1, -0.1, False),
        ((0.95,), (0.85,), (0.989,), 0.1, 0.1, False),
        ((0.95,), (0.85,), (1.0, 0.9), 0.1, 0.1, False),
    ],
)
def test_good_must_beat_bad_everywhere_and_random_labels_be_fitted(
    folder, good, bad, random, low, high, holds
):
    spec = fits(folder, good, bad, random)
    claim = accuracy.measure(spec, folder.sources, True)

    assert (claim.value, claim.low, claim.high) == pytest.approx((low, low, high))
    assert claim.verdict == verdict(holds)
    runs = {entry["run"] for entries in spec.values() for entry in entries}
    assert set(numbers_of(claim, "training accuracy")) == runs
    assert numbers_of(claim, "test accuracy")["good0"] == good[0]


@pytest.mark.parametrize(
    ("good", "bad", "whole", "holds"),
    [
        (0.94, 0.86, "cifar10", True),
        (0.92, 0.85, "cifar10", False),  # three points below the printed
        (0.92, 0.85, "", True),
        (0.71, 0.61, "cifar100", True),
        (0.71, 0.61, "cifar10", False),
    ],
)
def test_accuracy_must_be_the_printed_one_where_training_is_as_printed(
    folder, good, bad, whole, holds
):
    spec = fits(folder, (good,), (bad,), (1.0,))
    for key in ("good_runs", "bad_runs"):
        spec[key][0]["whole"] = whole

    assert accuracy.measure(spec, folder.sources, True).verdict == verdict(holds)


@EITHER_ORDER
@pytest.mark.parametrize("lost", ["good", "bad", "random"])
def test_accuracy_that_is_no_number_is_not_reproduced(folder, lost, order):
    found = {"good": (0.95, 0.95), "bad": (0.85, 0.85), "random": (1.0, 1.0)}
    found[lost] = (found[lost][0], math.nan)[::order]
    claim = accuracy.measure(fits(folder, **found), folder.sources, True)

    assert claim.verdict == "not reproduced"
    assert any(math.isnan(number.value) for number in claim.numbers)


# --- the ledger ---------------------------------------------------------------------------------


class Reads(dict):
    """Artifacts by ``stage/name`` that remember which were asked for."""

    def __init__(self, sources):
        super().__init__(sources)
        self.read = set()

    def __getitem__(self, name):
        self.read.add(name)
        return super().__getitem__(name)


@pytest.fixture(scope="module")
def configured(tmp_path_factory):
    """Return what the shipped configuration measures, on artifacts made up for it.

    Good minima pull straight back, all others let go outward, and pictures say so; walks do not
    open.
    """
    config = load_configuration(CONFIG, {"scale": "paper"})
    folder = Folder(tmp_path_factory.mktemp("ledger"))
    for source in claims_sources(config, "horoi2021"):
        stage, name = source.split("/")
        if stage == "trajectory":
            adam = name.startswith("adam")
            best = 0.70 if name.startswith("c100") else 0.95
            test = best if "good" in name else best - 0.1
            folder.run(name, norm=9 if adam else 1, test=test)
        elif stage == "distance":
            make_up_cloud(folder, config["clouds"], name)
        else:
            cloud, technique = embedding_names(config)[name]
            method = config["techniques"][technique]["method"]
            paths = next(found for word, found in DRAWN.items() if word in cloud)
            continuity = WHOLE if method == "phate" else TORN
            entry = {"cloud": cloud, "embeddings": {}}
            folder.picture(entry, technique, {}, make_picture(paths, **continuity))
    return config, folder.sources


DRAWN = {
    "walks": WALKS,
    "straight": STARS,
    "good": STARS,
    "adam-single": STARS,
    "sgd-single": [WANDERING],
    "": [(2, 4 + 2j, 6, 1)] * 4,  # outward, and open
}


def make_up_cloud(folder, clouds, name):
    runs = clouds[name].get("runs")
    if runs is None:
        folder.jumps(name, *(STARS if "good" in name else WALKS))
        return
    titles = {"sgd": "SGD", "momentum": "SGD_with_momentum", "adam": "Adam"}
    lengths = {"SGD": 1, "SGD_with_momentum": 1, "Adam": 9}
    seeds = max(sum(run.startswith(kind) for run in runs) for kind in titles)
    straight = tracks(0.0, seeds=seeds)
    straight["Adam"] = [[s, m, s + 10 * (end - s)] for s, m, end in straight["Adam"]]
    chosen = {title: straight[title] for kind, title in titles.items() if f"{kind}-seed0" in runs}
    scaled = {title: np.array(paths) * lengths[title] for title, paths in chosen.items()}
    entry = folder.runs(name, **scaled)
    assert len(entry["runs"]) == len(runs)
    cloud = load(folder.sources[f"distance/{name}"], Cloud)
    renamed = replace(cloud, origins=replace(cloud.origins, sources=list(runs)))
    save(folder.sources[f"distance/{name}"], renamed, PROVENANCE)


@pytest.mark.parametrize("testable", [True, False])
def test_shipped_claims_are_rows_in_the_order_of_the_paper(configured, testable):
    config, sources = configured
    spec = claims_spec(config, "horoi2021") | {"judge": testable}
    found = measure_claims(spec, sources)

    assert [claim.id for claim in found] == OURS
    assert {claim.id: claim.verdict for claim in found} == {
        name: verdict(True, testable) for name in OURS
    }
    for claim in found:
        assert claim.claim
        assert claim.statistic
        assert claim.rule
        assert claim.numbers


def test_every_source_that_a_claim_declares_is_read_or_belongs_to_its_cloud(configured):
    config, sources = configured
    reads = Reads(sources)
    measure_claims(claims_spec(config, "horoi2021"), reads)

    unread = {name for name in sources if name not in reads.read}
    clouds = {name.split("/")[1] for name in sources if name.startswith("distance/")}
    assert {n for n in unread if n.startswith("trajectory/")} == set()
    assert {n for n in unread if n.startswith("distance/")} <= {f"distance/{c}" for c in clouds}


@pytest.mark.parametrize("name", OURS)
def test_only_what_is_configured_is_measured(configured, name):
    config, sources = configured
    spec = claims_spec(config, "horoi2021")
    own = {"judge": True, "claims": {name: spec["claims"][name]}}

    assert [claim.id for claim in measure_claims(own, sources)] == [name]


def test_rows_do_not_depend_on_the_order_of_keys(configured):
    """The ledger's job reads its specification from sorted JSON."""
    config, sources = configured
    spec = claims_spec(config, "horoi2021")
    as_read = json.loads(canonical_json(spec))

    for found, wanted in zip(
        measure_claims(as_read, sources), measure_claims(spec, sources), strict=True
    ):
        assert (found.id, found.value, found.verdict) == (wanted.id, wanted.value, wanted.verdict)
