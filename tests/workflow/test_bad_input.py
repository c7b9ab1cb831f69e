"""Each kind of bad input ends in one line that names the culprit and the remedy; nothing is left.

Four lists: configurations refused in process, broken scale files, what the real Snakemake refuses
before any job starts, and jobs that fail. The jobs run in one Snakemake with --keep-going, each on
a damaged copy of a healthy artifact or image file under a name of its own.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml

from lossmap.artifacts.basis import Basis
from lossmap.artifacts.dataset import Dataset
from lossmap.artifacts.distance import Cloud
from lossmap.artifacts.embedding import Embedding
from lossmap.artifacts.grid import Grid
from lossmap.artifacts.projection import Projection
from lossmap.artifacts.provenance import Provenance
from lossmap.artifacts.seal import seal
from lossmap.artifacts.store import digest_of, load, write_attributes
from lossmap.artifacts.trajectory import Trajectory
from lossmap.errors import LossmapError
from lossmap.workflow.configuration import load_configuration
from lossmap.workflow.expected import Expected

ROOT = Path(__file__).resolve().parents[2]
RUN, FN, PCA = "c10-resnet20", "c10-resnet20-fn-start", "c10-resnet20-pca-last"
START, PROJECTION = "c10-resnet20-pca-start", "c10-resnet20-pca-batch"
OWN_RUN = {"dataset": "c10", "network": "resnet20", "recipe": "ding2023"}
RINGS = load_configuration(ROOT / "config", {"scale": "demo"})["rings"]
BATCH = {name: {"bn_statistics": "batch"} for name in RINGS}
GOOD, RANDOM = "c10-wresnet-good", "c10-wresnet-memorization"
CURVE = {"draw": "curve", "run": RUN}
SURFACE = {"draw": "surface", "grid": PCA}
SERIES = [{"label": "SGD", "runs": ["sgd-seed0"]}]
NORM = {"draw": "norm", "series": SERIES}
EMBEDDED = {"draw": "embedding", "embedding": "c10-good-phate-cosine", "color": "epoch"}
TREE = {"dimensions": 5, "branches": 2, "length": 12, "sigma": 1, "seed": 0}


def panel(**keys: object) -> dict:
    """Return a configuration with one figure of one panel."""
    return {"figures": {"mine_fig1": {"columns": 1, "panels": [keys]}}}


def embedding(**keys: object) -> dict:
    """Return a configuration with one figure of one embedding."""
    return panel(**EMBEDDED | keys)


def norm(**keys: object) -> dict:
    return panel(**NORM | keys)


def animation(options: dict | None = None, **keys: object) -> dict:
    entry = {"columns": 1, "panels": [EMBEDDED | keys], "options": options or {}}
    return {"animations": {"mine_animation": entry}}


def line(first: object = ("c10-wresnet-good", "last"), last: object = None, **keys: object) -> dict:
    """Return a configuration with one line between two snapshots, or through a center."""
    ends = {"from": first, "to": last} if last else {}
    entry = {end: {"run": run, "epoch": epoch} for end, (run, epoch) in ends.items()}
    return {"lines": {"mine": entry | keys}}


def through(*points: tuple) -> dict:
    """Return a configuration with a plane through the end of a run and two points."""
    found = [{"run": run, "epoch": epoch} for run, epoch in points]
    return {
        "bases": {"mine": {"run": GOOD, "method": "points", "center": "last", "through": found}}
    }


def minimum(**keys: object) -> dict:
    return {"minima": {"mine": keys}}


def cloud(**keys: object) -> dict:
    return {"clouds": {"mine": {"embeddings": {}} | keys}}


def technique(name: str, **leaves: object) -> dict:
    return {"techniques": {name: leaves}}


def augmentation(**leaves: object) -> dict:
    return {"recipes": {"horoi2021": {"augmentation": leaves}}}


def claim(name: str, **keys: object) -> dict:
    return {"claims": {"horoi2021": {name: keys}}}


def recipe(**leaves: object) -> dict:
    return {"recipes": {"ding2023": leaves}}


def run(**keys: object) -> dict:
    return {"runs": {"mine": OWN_RUN | keys}}


def basis(name: str, **keys: object) -> dict:
    return {"bases": {name: keys}}


def dataset(**keys: object) -> dict:
    return {"datasets": {"mine": keys}}


def cell(**keys: str) -> dict:
    """Return a table whose first column names the given projections under ``batch``."""
    pair = {"fn": "c10-resnet20-fn-center", "pca": "c10-resnet20-pca-center"}
    batch = {"fn": "c10-resnet20-fn-batch", "pca": PROJECTION} | keys
    column = {"dataset": "d", "network": "n", "projections": {"center": pair, "batch": batch}}
    return {"tables": {"mine_table1": {"columns": [column]}}}


PANEL = "figures.mine_fig1.panels.0"
FOREIGN_KEYS = {  # what a panel of each family has no use for
    "curve": (CURVE, {"color": "epoch", "series": SERIES, "marks": ["jumps"], "hue": "ascending"}),
    "surface": (SURFACE, {"color": "epoch", "hue": "ascending", "series": SERIES}),
    "contour": (SURFACE | {"draw": "contour"}, {"embedding": "c10-good-pca", "color": "loss"}),
    "embedding": (EMBEDDED, {"grid": PCA, "run": RUN, "epochs": ["last"], "series": SERIES}),
    "norm": (
        NORM,
        {"color": "epoch", "hue": "descending", "embedding": "c10-good-pca", "share": "a"}
        | {"marks": ["starts"], "run": RUN, "grid": PCA, "epochs": ["last"]},
    ),
}
NULLS = {  # YAML's null, given or left over behind a colon: what is emptied, what is expected
    "clouds": "keys and values",
    "clouds.c10-good": "keys and values",
    "clouds.c10-good.embeddings": "keys and values",
    "clouds.c10-good.embeddings.pca": "keys and values",
    "minima": "keys and values",
    "minima.c10-good": "keys and values",
    "techniques.pca": "keys and values",
    "techniques.phate-cosine.knn": "integer",
    "jumps": "keys and values",
    "jumps.step_sizes": "a list",
    "jumps.lr": "number",
    "animations": "keys and values",
    "claims.horoi2021.horoi-star": "keys and values",
    "runs.sgd-seed0.optimizer": "keys and values",
}


def nested(key: str, value: object) -> dict:
    """Return the configuration that gives a value to a key like ``a.b.c``."""
    for part in reversed(key.split(".")):
        value = {part: value}
    return value


# kind: (what the user gives, the culprit, the remedy), at the scale `tiny`.
CONFIGURATIONS = {
    **{
        f"a name of {registry} that ends in a line end": (
            {registry: {f"{name}\n": given}},
            rf"'{name}\n'",
            "lower-case letters and digits joined by",
        )
        for registry, name, given in (
            ("runs", "mine", OWN_RUN),
            ("figures", "mine_fig1", {"columns": 1, "panels": [CURVE]}),
            ("clouds", "mine", {"minimum": "c10-good", "embeddings": {}}),
            ("datasets", "mine", {}),
        )
    },
    "a factory that ends in a line end": (
        run(network="mynet:make\n"),
        r"'mynet:make\n'",
        "expected",
    ),
    "a file of images whose name has a line end": (
        dataset(source="hdf5", file="my\nimages.h5"),
        r"'my\nimages.h5'",
        "correct the path",
    ),
    **{f"{key} is null": (nested(key, None), f"{key} is ", want) for key, want in NULLS.items()},
    **{
        f"{key} of a {draw}": (
            panel(**entry | {key: value}),
            f"{PANEL}.{key} means nothing with draw '{draw}'",
            "remove it",
        )
        for draw, (entry, keys) in FOREIGN_KEYS.items()
        for key, value in keys.items()
    },
    **{
        f"name under {registry} that YAML reads as {name}": (
            {registry: {name: {}}},
            f"{registry}: the name",
            "string",
        )
        for registry in ("clouds", "minima", "techniques", "animations", "runs")
        for name in (None, True, 7)
    },
    **{
        f"{key} as the text {value!r}": (
            nested(key, value),
            f"{key} is {value!r}",
            "write it into a file and give it by --configfile",
        )
        for key, value in {
            "grid.resolution": "5",
            "style.lines": "true",
            "datasets.c10.train": "null",
            "datasets.c10.classes": "10",
            "techniques.phate-cosine.t": "500",
            "jumps.lr": "0.1",
        }.items()
    },
    "step sizes as text": (
        nested("jumps.step_sizes", ["0.1"]),
        "jumps.step_sizes.0 is '0.1'",
        "in a file take it out of its quotes",
    ),
    "a rate that YAML reads as text": (nested("jumps.lr", "1e-3"), "'1e-3'", "write 1.0e-3"),
    "a key of the grid at top level": ({"resolution": 5}, "resolution", "'grid.resolution'?"),
    "a key of the style at top level": ({"dpi": 5}, "dpi", "did you mean 'style.dpi'?"),
    "a key in capitals": ({"GRID": {}}, "GRID is an unknown key", "did you mean 'grid'?"),
    "a deep key mistyped": (
        nested("resources.gpu_gflop", {}),
        "resources.gpu_gflop",
        "did you mean 'gpu_gflops'?",
    ),
    "run of a minimum": (minimum(run="c10-wresnet-god"), "minima.mine.run", "c10-wresnet-good'?"),
    "minimum without a run": (minimum(epochs=3), "minima.mine", "'run' is missing; add it"),
    "key of a minimum": (
        minimum(run=RUN, step_size=[1]),
        "mine.step_size",
        "did you mean 'step_sizes'?",
    ),
    "directions of a minimum": (
        {"minima": {"c10-good": {"directions": [2, 2]}}},
        "minima.c10-good.directions",
        "different ones",
    ),
    "minimum of a cloud": (cloud(minimum="c10-god"), "clouds.mine.minimum", "'c10-good'?"),
    "run of a cloud": (cloud(runs=["sgd-seed9"]), "clouds.mine.runs names 'sgd-seed9'", "'sgd-"),
    "no runs of a cloud": (cloud(runs=[]), "clouds.mine.runs", "at least 1"),
    "run that is no list": (cloud(runs="sgd-seed0"), "runs is 'sgd-seed0'", "a list"),
    "technique of a cloud": (
        cloud(runs=["sgd-seed0"], embeddings={"phate-cosin": {}}),
        "clouds.mine.embeddings names 'phate-cosin'",
        "did you mean 'phate-cosine'?",
    ),
    "techniques as a list": (
        cloud(runs=["sgd-seed0"], embeddings=["pca"]),
        "clouds.mine.embeddings is ['pca']",
        "keys and values",
    ),
    "cloud without embeddings": (
        {"clouds": {"mine": {"runs": ["sgd-seed0"]}}},
        "clouds.mine",
        "'embeddings' is missing; add it",
    ),
    "lengths of a walk": (
        cloud(model="walks", of="c10-good", lengths="c10-bad"),
        "clouds.mine is of model 'walks'",
        "'lengths', a cloud, with model 'swapped' and with no other",
    ),
    "swapped without lengths": (
        cloud(model="swapped", of="c10-good"),
        "clouds.mine is of model 'swapped'",
        "expected 'lengths'",
    ),
    "lengths of runs": (
        cloud(model="swapped", of="c10-good", lengths="adam"),
        "clouds.mine.lengths is 'adam'",
        "name one that has 'minimum'",
    ),
    "cloud of nothing": (cloud(), "clouds.mine ", "exactly one"),
    "cloud of two things": (
        cloud(minimum="c10-good", runs=["sgd-seed0"]),
        "minimum and runs",
        "exactly one",
    ),
    "cloud of three things": (
        cloud(minimum="c10-good", tree=TREE, model="walks", of="c10-good"),
        "minimum and tree and model",
        "exactly one",
    ),
    "of without a model": (
        cloud(minimum="c10-good", of="c10-good"),
        "clouds.mine.of",
        "remove it",
    ),
    "seed without a model": (cloud(runs=["sgd-seed0"], seed=3), "clouds.mine.seed", "remove it"),
    "model of nothing": (cloud(model="walks"), "clouds.mine", "of"),
    "model of nobody": (cloud(model="walks", of="c10-god"), "clouds.mine.of", "'c10-good'?"),
    **{
        f"model of the cloud {of}": (
            cloud(model="straight", of=of),
            f"clouds.mine.of is '{of}'",
            "name one that has 'minimum'",
        )
        for of in ("adam", "tree", "c10-good-walks", "mine")
    },
    "unknown model": (cloud(model="walk", of="c10-good"), "model is 'walk'", "walks, straight"),
    "key of a tree": (cloud(tree=TREE | {"lenght": 3}), "clouds.mine.tree.lenght", "'length'?"),
    "incomplete tree": (cloud(tree={"branches": 3}), "clouds.mine.tree", "is missing; add it"),
    "branches of one point": (cloud(tree=TREE | {"length": 1}), "length is 1", "at least 2"),
    "embeddings of one name": (
        {
            "clouds": {
                "adam": {"embeddings": {"x-pca": {}}},
                "adam-x": {"runs": ["adam-seed0"], "embeddings": {"pca": {}}},
            },
        }
        | technique("x-pca", method="pca", metric="euclidean", include_optimum=False),
        "two embeddings have one name",
        "rename a cloud",
    ),
    "key of a technique": (technique("pca", nn=3), "techniques.pca.nn", "'knn'?"),
    "key of an override": (
        {"clouds": {"c10-good": {"embeddings": {"pca": {"nn": 3}}}}},
        "clouds.c10-good.embeddings.pca.nn",
        "did you mean 'knn'?",
    ),
    "technique without a method": (technique("mine", metric="cosine"), "mine", "'method' is"),
    "name of a technique": (
        technique("Phate_2", method="pca", metric="euclidean", include_optimum=False),
        "'Phate_2'",
        "lower-case letters",
    ),
    "no neighbors": (technique("phate-cosine", knn=0), "phate-cosine.knn is 0", "at least 1"),
    "half a neighbor": (technique("phate-cosine", knn=2.5), "knn is 2.5", "integer"),
    "decay of 0": (technique("phate-cosine", decay=0), "decay is 0", "more than 0"),
    "time that is neither": (technique("phate-cosine", t="x"), "techniques.phate-cosine.t", "'x'"),
    "time of 0": (technique("phate-cosine", t=0), "techniques.phate-cosine.t", "0"),
    "unknown solver": (technique("phate-cosine", mds_solver="a"), "mds_solver is 'a'", "smacof"),
    "unknown method": (
        technique("pca", method="pac"),
        "pca.method is 'pac'",
        "allowed: pca, phate",
    ),
    "unknown metric": (
        technique("umap-cosine", metric="l1"),
        "metric is 'l1'",
        "cosine, euclidean",
    ),
    "unknown space": (
        technique("phate-raw-knn5", cosine_space="a"),
        "cosine_space is 'a'",
        "centered",
    ),
    "negative perplexity": (technique("tsne-cosine", perplexity=-1), "is -1", "more than 0"),
    "negative rate of t-SNE": (
        technique("tsne-cosine", learning_rate=-1),
        "techniques.tsne-cosine.learning_rate",
        "-1",
    ),
    "few iterations": (technique("tsne-cosine", iterations=9), "iterations is 9", "at least 250"),
    "one neighbor of UMAP": (technique("umap-cosine", neighbors=1), "is 1", "at least 2"),
    "optimum that is no boolean": (
        technique("pca", include_optimum="no"),
        "techniques.pca.include_optimum is 'no'",
        "boolean",
    ),
    "embedding of a figure": (
        embedding(embedding="c10-memorization-pca"),
        f"{PANEL}.embedding names 'c10-memorization-pca'",
        "did you mean 'c10-memorization-phate-cosine'?",
    ),
    "cloud for an embedding": (
        embedding(embedding="c10-good"),
        f"{PANEL}.embedding names 'c10-good'",
        "did you mean 'c10-good-",
    ),
    "embedding without a color": (
        panel(draw="embedding", embedding="c10-good-pca"),
        PANEL,
        "'color' is missing; add it",
    ),
    "unknown color": (embedding(color="time"), "color is 'time'", "allowed: epoch, direction"),
    "unknown hue": (embedding(hue="up"), "hue is 'up'", "ascending, descending"),
    "mark of a landscape": (embedding(marks=["center"]), "marks.0 is 'center'", "jumps, starts"),
    "mark of an embedding": (panel(**SURFACE, marks=["ends"]), "marks.0 is 'ends'", "converged"),
    "letter too long": (embedding(letter="A12"), "letter is 'A12'", "a letter and at most one"),
    "labels of a panel": (embedding(labels={"a": "b"}), f"{PANEL}.labels", "unknown key"),
    "norm of nothing": (panel(draw="norm"), PANEL, "'series' is missing; add it"),
    "no series": (norm(series=[]), f"{PANEL}.series", "at least 1"),
    "series without runs": (norm(series=[{"label": "a", "runs": []}]), "0.runs", "at least 1"),
    "series without a label": (
        norm(series=[{"runs": ["sgd-seed0"]}]),
        f"{PANEL}.series.0",
        "'label' is missing; add it",
    ),
    "run of a series": (
        norm(series=[{"label": "a", "runs": ["sgd-seed0", "sgd-seed9"]}]),
        f"{PANEL}.series",
        "names 'sgd-seed9'",
    ),
    "embedding of an animation": (
        animation(embedding="c10-good-pac"),
        "animations.mine_animation.panels.0.embedding names 'c10-good-pac'",
        "did you mean 'c10-good-pca'?",
    ),
    "grid of an animation": (
        animation(grid=PCA),
        "animations.mine_animation.panels.0.grid means nothing with draw 'embedding'",
        "remove it",
    ),
    "animation of nothing": (
        {"animations": {"mine_animation": {"columns": 1, "panels": []}}},
        "animations.mine_animation.panels",
        "at least 1",
    ),
    "no frames": (animation({"fps": 0}), "mine_animation.options.fps is 0", "more than 0"),
    "endless animation": (animation({"seconds": float("inf")}), "seconds is inf", "number"),
    "option of an animation": (animation({"fbs": 9}), "options.fbs", "did you mean 'fps'?"),
    "frames of a figure": (
        {"figures": {"horoi2021_fig2": {"options": {"fps": 3}}}},
        "figures.horoi2021_fig2.options.fps",
        "unknown key",
    ),
    "name of a figure and an animation": (
        {"animations": {"horoi2021_fig2": {"columns": 1, "panels": [EMBEDDED]}}},
        "'horoi2021_fig2' is a figure and an animation",
        "rename one",
    ),
    "animation without a paper": (
        {"animations": {"mine": {"columns": 1, "panels": [EMBEDDED]}}},
        "'mine'",
        "paper_figure",
    ),
    "animation's paper named like a rule": (
        {"animations": {"jumps_animation": {"columns": 1, "panels": [EMBEDDED]}}},
        "'jumps'",
        "choose another word",
    ),
    "curve of an animation": (
        {"animations": {"mine_animation": {"columns": 1, "panels": [CURVE]}}},
        "animations.mine_animation.panels.0.draw is 'curve'",
        "allowed: embedding",
    ),
    **{
        f"unknown {key}": (
            {"style": {key: "viridiss"}},
            f"style.{key} names 'viridiss'",
            "matplotlib's colormaps (did you mean 'viridis'?)",
        )
        for key in ("colormap", "trajectory_colormap", "epoch_colormap")
    },
    "unknown colormap of a figure": (
        {"figures": {"ding2023_fig2": {"options": {"colormap": "Viridis"}}}},
        "figures.ding2023_fig2.options.colormap names 'Viridis'",
        "did you mean 'viridis'?",
    ),
    "unknown scale of a curve": (
        panel(**CURVE, y_scale="sqrt"),
        "y_scale is 'sqrt'",
        "linear, log",
    ),
    "empty window of a curve": (panel(**CURVE, window=0), f"{PANEL}.window is 0", "at least 1"),
    "elevation of a contour map": (
        panel(draw="contour", grid=PCA, elevation=20),
        f"{PANEL}.elevation means nothing with draw 'contour'",
        "remove it",
    ),
    "camera below the floor": (panel(**SURFACE, elevation=-91), "elevation is -91", "at least -90"),
    "unknown heights": ({"style": {"heights": "drawn"}}, "heights is 'drawn'", "true, projected"),
    "lines that are no boolean": ({"style": {"lines": "no"}}, "style.lines is 'no'", "boolean"),
    "points without a size": ({"style": {"point_size": 0}}, "point_size is 0", "more than 0"),
    "negative random labels": (
        {"datasets": {"horoi-c10-random": {"random_labels": -1}}},
        "datasets.horoi-c10-random.random_labels is -1",
        "at least 0",
    ),
    "random labels that are true": (
        {"datasets": {"horoi-c10-random": {"random_labels": True}}},
        "random_labels is True",
        "integer",
    ),
    "rotation beyond half a turn": (augmentation(rotation=200), "rotation is 200", "at most 180"),
    "negative rotation": (augmentation(rotation=-1), "rotation is -1", "at least 0"),
    "jitter of three numbers": (
        augmentation(color_jitter=[0.4, 0.4, 0.4]),
        "recipes.horoi2021.augmentation.color_jitter",
        "4",
    ),
    "jitter of five numbers": (augmentation(color_jitter=[0.1] * 5), "color_jitter", "4"),
    "jitter of one number": (augmentation(color_jitter=0.4), "color_jitter is 0.4", "a list"),
    "jitter above 1": (augmentation(color_jitter=[2, 0, 0, 0]), "jitter.0 is 2", "at most 1"),
    "no steps": ({"jumps": {"step_sizes": []}}, "jumps.step_sizes", "at least 1"),
    "negative step": (
        {"jumps": {"step_sizes": [1, -0.5]}},
        "jumps.step_sizes.1 is -0.5",
        "more than 0",
    ),
    "step of 0": ({"jumps": {"step_sizes": [0]}}, "jumps.step_sizes.0 is 0", "more than 0"),
    "a step twice": ({"jumps": {"step_sizes": [1, 0.5, 1.0]}}, "jumps.step_sizes", "different"),
    "step that is no list": ({"jumps": {"step_sizes": 0.5}}, "jumps.step_sizes is 0.5", "a list"),
    "step that is text": (
        {"jumps": {"step_sizes": ["1e-3"]}},
        "step_sizes.0 is '1e-3'",
        "write 1.0e-3",
    ),
    "no directions": ({"jumps": {"directions": []}}, "jumps.directions", "at least 1"),
    "a direction twice": ({"jumps": {"directions": [1, 0, 1]}}, "jumps.directions", "different"),
    "number of directions": ({"jumps": {"directions": 5}}, "jumps.directions is 5", "a list"),
    "negative direction": ({"jumps": {"directions": [-1]}}, "directions.0 is -1", "at least 0"),
    "jobs of no direction": ({"jumps": {"per_job": 0}}, "jumps.per_job is 0", "at least 1"),
    "no retraining": ({"jumps": {"epochs": 0}}, "jumps.epochs is 0", "at least 1"),
    "retraining at no rate": ({"jumps": {"lr": 0}}, "jumps.lr is 0", "more than 0"),
    "momentum 1 of retraining": ({"jumps": {"momentum": 1}}, "momentum is 1", "less than 1"),
    "what a jump ignores": ({"jumps": {"ignore": "bn"}}, "jumps.ignore is 'bn'", "bias_bn, none"),
    "key of jumps": ({"jumps": {"steps": [1]}}, "jumps.steps", "did you mean 'step_sizes'?"),
    "more measured in a recipe": (
        {"recipes": {"horoi2021": {"metrics": {"images": 50}}}},
        "metrics.images is 50",
        "horoi-c10 has 40 training images",
    ),
    "more measured in a run": (
        {"runs": {"c100-wresnet-bad": {"metrics": {"images": 101}}}},
        "metrics.images is 101",
        "horoi-c100 has 100 training images",
    ),
    "threads of no number": (
        {"resources": {"threads": {"embedding": 0}}},
        "resources.threads.embedding is 0",
        "at least 1",
    ),
    "cloud of a claim": (
        claim("horoi-star", good_clouds=["c10-god"]),
        "claims.horoi2021.horoi-star.good_clouds names 'c10-god'",
        "did you mean 'c10-good'?",
    ),
    "run of a claim": (
        claim("horoi-accuracy", memorization_runs=["nobody"]),
        "claims.horoi2021.horoi-accuracy.memorization_runs names 'nobody'",
        "defined: adam-seed0",
    ),
    "key of a claim": (
        claim("horoi-star", clouds=["c10-good"]),
        "claims.horoi2021.horoi-star.clouds",
        "allowed: good_clouds, bad_clouds",
    ),
    "claim that nobody measures": (
        claim("horoi-stars", clouds=["c10-good"]),
        "claims.horoi2021.horoi-stars",
        "did you mean 'horoi-star'?",
    ),
    "two clouds of a claim on one": (
        claim("horoi-sgd-direction", clouds=["adam", "optimizers"]),
        "claims.horoi2021.horoi-sgd-direction.clouds is ['adam', 'optimizers']",
        "exactly 1 entry",
    ),
    "unknown key": ({"gird": {}}, "gird", "did you mean 'grid'?"),
    "unknown nested key": ({"grid": {"resolutions": 5}}, "grid.resolutions", "'resolution'?"),
    "unknown key of a run": (run(epoch=3), "runs.mine.epoch", "'epochs'?"),
    "key that is no text": ({3: 4}, "3 is an unknown key", "allowed: scale"),
    "text for a number": ({"grid": {"extent": "wide"}}, "grid.extent is 'wide'", "number"),
    "YAML's 1e-3": (recipe(optimizer={"lr": "1e-3"}), "lr is '1e-3'", "write 1.0e-3"),
    "number not finite": ({"grid": {"extent": float("nan")}}, "grid.extent is nan", "number"),
    "registry emptied": ({"runs": None}, "runs is None", "keys and values"),
    "registry as a list": ({"runs": [1]}, "runs is [1]", "keys and values"),
    "negative rate": (recipe(optimizer={"lr": -0.1}), "lr is -0.1", "more than 0"),
    "momentum of 1": (recipe(optimizer={"momentum": 1}), "momentum is 1", "less than 1"),
    "unknown optimizer": (recipe(optimizer={"name": "sdg"}), "name is 'sdg'", "sgd, adam"),
    "no epochs": (recipe(epochs=0), "epochs is 0", "at least 1"),
    "negative seed": (recipe(seed=-1), "seed is -1", "at least 0"),
    "batches of 1": (recipe(batch_size=1), "batch_size is 1", "at least 2"),
    "last batch of 1": (recipe(batch_size=39), "batch_size is 39", "another batch_size"),
    "rare snapshots": (recipe(snapshot_every=9), "snapshot_every is 9", "4 epochs"),
    "incomplete recipe": (
        {"recipes": {"mine": {"seed": 0, "epochs": 1}}},
        "recipes.mine",
        "'batch_size' is missing",
    ),
    "late milestone": (
        recipe(schedule={"name": "steps", "milestones": [4]}),
        "milestones is [4]",
        "from 1 to 3",
    ),
    "steps without milestones": (
        recipe(schedule={"name": "steps"}),
        "milestones is []",
        "from 1 to 3",
    ),
    "nesterov without momentum": (
        recipe(optimizer={"nesterov": True, "momentum": 0}),
        "optimizer.nesterov",
        "momentum above 0",
    ),
    "even resolution": ({"grid": {"resolution": 4}}, "grid.resolution is 4", "an odd number"),
    "even resolution of a grid": (
        {"grids": {FN: {"resolution": 10}}},
        f"grids.{FN}.resolution is 10",
        "an odd number",
    ),
    "resolution of 1": ({"grid": {"resolution": 1}}, "grid.resolution is 1", "at least 3"),
    "unknown scale": ({"scale": "dekstop"}, "scale: 'dekstop'", "choose one of demo, desk"),
    "scale outside its folder": ({"scale": "../defaults"}, "../defaults", "choose one of"),
    "unknown data set": (run(dataset="c11"), "runs.mine.dataset", "did you mean 'c10'?"),
    "unknown network": (run(network="resnet2"), "runs.mine.network", "did you mean 'resnet"),
    "unknown recipe": (run(recipe="ding"), "runs.mine.recipe", "did you mean 'ding2023'?"),
    "unknown run of a basis": (basis(PCA, run="c10"), f"bases.{PCA}.run", "defined: "),
    "unknown basis of a grid": ({"grids": {FN: {"basis": "b"}}}, f"grids.{FN}.basis", "defined:"),
    "unknown basis of a projection": (
        {"projections": {PROJECTION: {"basis": "b"}}},
        f"projections.{PROJECTION}.basis",
        "defined:",
    ),
    "unknown run of a figure": (
        panel(draw="curve", run="c10-resnet2"),
        "mine_fig1.panels.0.run",
        "did you mean 'c10-resnet",
    ),
    "unknown grid of a figure": (panel(draw="surface", grid="g"), "panels.0.grid", "defined:"),
    "unknown projection of a figure": (
        panel(draw="surface", grid=PCA, trajectory=True, projection="p"),
        "panels.0.projection",
        "defined:",
    ),
    "unknown projection of a table": (cell(fn="p"), "projections.batch.fn", "defined:"),
    "projection in the wrong cell": (
        cell(fn=PROJECTION),
        f"projections.batch.fn is '{PROJECTION}'",
        "expected 'fn' and 'batch'",
    ),
    "table of other statistics": (
        {"bn_statistics": "recalibrate", "rings": BATCH},
        "bn_statistics 'recalibrate'",
        "set projections.",
    ),
    "unknown claim": (
        {"claims": {"ding2023": {"ding-pca-decent": {"grids": [FN]}}}},
        "claims.ding2023.ding-pca-decent",
        "did you mean 'ding-pca-descent'?",
    ),
    "unknown grid of a claim": (
        {"claims": {"ding2023": {"ding-pca-descent": {"first_rings": ["g"]}}}},
        "claims.ding2023.ding-pca-descent.first_rings",
        "defined:",
    ),
    "claim on what it cannot read": (
        {"claims": {"ding2023": {"ding-pca-descent": {"tables": ["ding2023_table1"]}}}},
        "claims.ding2023.ding-pca-descent.tables",
        "allowed: first_rings",
    ),
    "unknown name of an epoch": (
        basis(PCA, center="end"),
        f"bases.{PCA}.center names 'end'",
        "last",
    ),
    "unknown epoch of a curve": (panel(**CURVE, epochs=["end"]), "0.epochs", "defined: early"),
    "name beyond the run": (
        {"epoch_names": {"late": 1.5}},
        "epoch_names.late is 1.5",
        "at most 1",
    ),
    "epoch beyond the run": (basis(PCA, center=400), "center is epoch 400", "from 0 to 4"),
    "epoch without a snapshot": (
        recipe(snapshot_every=2) | basis(PCA, center=1),
        "center is epoch 1",
        "every 2 epochs",
    ),
    "window reversed": (basis(PCA, window=[3, 1]), "epoch 3 to 1", "at least 3 within 0 to 4"),
    "window too small": (basis(PCA, window=[1, 2]), "holds 2 snapshots", "at least 3"),
    "window beyond the run": (basis(PCA, window=[0, 9]), "epoch 0 to 9", "within 0 to 4"),
    "run with too few snapshots": (recipe(snapshot_every=4), "holds 2 snapshots", "at least 3"),
    "seeds of a PCA": (basis(PCA, seeds=[1]), f"bases.{PCA}.seeds", "remove it"),
    "ignore of a PCA": (basis(PCA, ignore="none"), f"bases.{PCA}.ignore", "remove it"),
    "window of an FN": (basis(FN, window=[0, 4]), f"bases.{FN}.window", "remove it"),
    "a seed twice": (basis(FN, seeds=[1, 1]), f"bases.{FN}.seeds", "different ones"),
    "statistics of an untrained center": (
        {"grids": {START: {"bn_statistics": "center"}}},
        f"grids.{START}.bn_statistics is 'center'",
        "use 'batch' or 'recalibrate'",
    ),
    "ring of a recalibrated network": (
        {"bn_statistics": "recalibrate"} | {"tables": {}},
        "bn_statistics is 'recalibrate', but rings.",
        "batch, center or initial",
    ),
    "line between different data": (
        line((GOOD, "last"), (RANDOM, "last")),
        f"lines.mine joins run '{GOOD}' of dataset 'horoi-c10' and run '{RANDOM}' of",
        "one network on one data set",
    ),
    "line between different networks": (
        line((RUN, "last"), ("c10-resnet32", "last")),
        "of network 'resnet20' and run 'c10-resnet32' of 'resnet32'",
        "name other runs",
    ),
    "line from a snapshot to itself": (
        line((GOOD, "last"), (GOOD, 8)),
        f"lines.mine names epoch 8 of run '{GOOD}' twice",
        "different snapshots",
    ),
    "line to an epoch without a snapshot": (
        line((GOOD, "last"), (GOOD, 9)),
        "lines.mine is epoch 9",
        "from 0 to 8",
    ),
    "line by the statistics of one end": (
        line((GOOD, "last"), (GOOD, 1), bn_statistics="center"),
        "lines.mine.bn_statistics is 'center'",
        "batch, recalibrate",
    ),
    "line by given statistics by default": (
        {"bn_statistics": "initial"} | line((GOOD, "last"), (GOOD, 1)),
        "bn_statistics is 'initial', but no running statistics belong to both ends of lines.",
        "to batch or recalibrate",
    ),
    "line through an untrained center by its statistics": (
        line(basis=FN, bn_statistics="center"),
        "lines.mine.bn_statistics is 'center'",
        "use 'batch' or 'recalibrate'",
    ),
    "line with a beginning alone": (
        {"lines": {"mine": {"from": {"run": GOOD, "epoch": "last"}}}},
        "lines.mine: key 'to' is missing",
        "add it",
    ),
    "line of no kind": (line(), "lines.mine has none", "expected exactly one of from, basis"),
    "extent of a line between snapshots": (
        line((GOOD, "last"), (GOOD, 1), extent=2),
        "lines.mine.extent means nothing beside 'from'",
        "remove it",
    ),
    "direction that a plane lacks": (
        line(basis=PCA, direction=2),
        "lines.mine.direction is 2",
        "directions 0 to 1",
    ),
    "unknown line of a figure": (panel(draw="line", lines=["l"]), "panels.0.lines", "defined:"),
    "plane through two points": (through((GOOD, 1)), "bases.mine.through", "at least 2 entries"),
    "plane through a point twice": (
        through((GOOD, 1), (GOOD, "last")),
        f"bases.mine names epoch 8 of run '{GOOD}' twice",
        "different snapshots",
    ),
    "plane through different data": (
        through((GOOD, 1), (RANDOM, 1)),
        "bases.mine joins run",
        "one network on one data set",
    ),
    "points of a plane through none": (
        panel(**SURFACE, marks=["points"]),
        f"marks has 'points', but basis '{PCA}' is of method 'pca'",
        "remove it",
    ),
    "curvature of an untrained network": (
        {"curvatures": {"c10-good": {"center": "start"}}},
        "curvature.bn_statistics is 'center', but the center of curvatures.c10-good",
        "'initial' where",
    ),
    "curvature of a recalibrated network": (
        {"curvatures": {"c10-good": {"bn_statistics": "recalibrate"}}},
        "curvatures.c10-good.bn_statistics is 'recalibrate'",
        "batch, center",
    ),
    "unknown curvature of a plane": (
        {"bases": {"c10-good-hessian": {"curvature": "c"}}},
        "bases.c10-good-hessian.curvature names 'c'",
        "defined:",
    ),
    "center of a plane of a curvature": (
        {"bases": {"c10-good-hessian": {"center": "last"}}},
        "bases.c10-good-hessian.center",
        "remove it",
    ),
    "topology of a tree": (
        {"topologies": {"mine": {"cloud": "tree"}}},
        "topologies.mine.cloud is 'tree', a cloud of 'tree'",
        "of a minimum or of runs",
    ),
    "neighbors on a grid": (
        {"topologies": {"mine": {"grid": PCA, "neighbors": 3}}},
        "topologies.mine.neighbors",
        "remove it",
    ),
    "evaluation batch too large": (
        {"evaluation": {"batch": 30}},
        "evaluation.batch is 30",
        "divides evaluation.images",
    ),
    "evaluation batch of 1": (
        {"evaluation": {"images": 21}},
        "evaluation.batch is 10",
        "divides evaluation.images",
    ),
    "more evaluated than there are": (
        {"evaluation": {"images": 50}},
        "evaluation.images is 50",
        "has 40 training images",
    ),
    "more measured than there are": (
        {"metrics": {"images": 50}},
        "metrics.images is 50",
        "has 40 training images",
    ),
    "malformed factory": (
        {"networks": {"mine": {"factory": "my.module"}}},
        "networks.mine.factory is 'my.module'",
        "module.path:function",
    ),
    "malformed factory of a run": (
        run(network="my.module:"),
        "runs.mine.network is 'my.module:'",
        "module.path:function",
    ),
    "name of a figure and a table": (
        {"figures": {"ding2023_table1": {"columns": 1, "panels": [CURVE]}}},
        "'ding2023_table1' is a figure and a table",
        "rename one",
    ),
    "figure without a paper": (
        {"figures": {"mine": {"columns": 1, "panels": [CURVE]}}},
        "'mine'",
        "paper_figure",
    ),
    "paper named like a rule": (
        {"figures": {"grid_fig1": {"columns": 1, "panels": [CURVE]}}},
        "'grid'",
        "choose another word",
    ),
    "upper-case name": ({"runs": {"Mine": OWN_RUN}}, "'Mine'", "lower-case letters"),
    "number in a name": ({"runs": {"lr0.1": OWN_RUN}}, "'lr0.1'", "joined by hyphens"),
    "unknown draw": (panel(draw="heatmap", grid=PCA), "draw is 'heatmap'", "contour, curve"),
    "no panels": ({"figures": {"mine_fig1": {"columns": 1, "panels": []}}}, "panels", "at least 1"),
    "more panels than letters": (
        {"figures": {"mine_fig1": {"columns": 9, "panels": [CURVE] * 27}}},
        "figures.mine_fig1.panels",
        "at most 26",
    ),
    "panel without a grid": (panel(draw="surface"), "panels.0", "'grid' is missing; add it"),
    "curve without a run": (panel(draw="curve"), "panels.0", "'run' is missing; add it"),
    "curve of a grid": (panel(**CURVE, grid=PCA), "panels.0.grid", "remove it"),
    "epochs on a surface": (
        panel(draw="surface", grid=PCA, epochs=["last"]),
        "panels.0.epochs",
        "remove it",
    ),
    "trajectory without a projection": (
        panel(draw="surface", grid=PCA, trajectory=True),
        "panels.0",
        "'projection' is missing; add it",
    ),
    "heights without a trajectory": (
        panel(draw="surface", grid=PCA, heights="true"),
        "panels.0",
        "'trajectory' is missing; add it",
    ),
    "projection that is not drawn": (
        panel(draw="surface", grid=PCA, projection=PROJECTION),
        f"projection is '{PROJECTION}'",
        "add 'trajectory: true'",
    ),
    "projection on another basis": (
        panel(draw="surface", grid=FN, trajectory=True, projection=PROJECTION),
        f"grid '{FN}'",
        "both must have one basis",
    ),
    "unknown mark": (panel(draw="surface", grid=PCA, marks=["end"]), "marks.0", "converged"),
    "unknown option": (
        {"figures": {"ding2023_fig2": {"options": {"color_map": "magma"}}}},
        "ding2023_fig2.options.color_map",
        "did you mean 'colormap'?",
    ),
    "resolution of print too low": ({"style": {"dpi": 5}}, "style.dpi is 5", "at least 30"),
    "unknown device": ({"device": "gpu"}, "device is 'gpu'", "auto, cpu, cuda"),
    "no jobs on a GPU": ({"jobs_per_gpu": 0}, "jobs_per_gpu is 0", "at least 1"),
    "unknown word for SLURM": (
        {"cluster": {"gpu-partition": "gpus"}},
        "cluster.gpu-partition",
        "did you mean 'gpu_partition'?",
    ),
    "account that is a number": (
        {"cluster": {"account": 17}},
        "cluster.account is 17",
        "expected string or null",
    ),
    "threads of an unknown stage": (
        {"resources": {"threads": {"figure": 2}}},
        "resources.threads.figure",
        "allowed: trajectory",
    ),
    "digits with 7 classes": (dataset(source="digits", classes=7), "classes is 7", "10, 100"),
    "digits without classes": (dataset(source="digits"), "datasets.mine", "'classes' is missing"),
    "unknown source": (dataset(source="imagenet"), "'imagenet'", "digits, cifar10"),
    "no source": (dataset(title="mine"), "datasets.mine", "'source' is missing"),
    "file of digits": (
        dataset(source="digits", classes=10, file="x.h5"),
        "datasets.mine.file means nothing with source 'digits'",
        "remove it",
    ),
    "classes of CIFAR": (
        dataset(source="cifar10", classes=10),
        "datasets.mine.classes means nothing with source 'cifar10'",
        "remove it",
    ),
    "image file not named": (dataset(source="hdf5"), "datasets.mine", "'file' is missing"),
    "image file missing": (dataset(source="hdf5", file="no/x.h5"), "'no/x.h5'", "correct the path"),
    "data folder missing": (
        dataset(source="cifar10") | {"data_dir": "no/data"},
        "data_dir: no such folder 'no/data'",
        "null to download",
    ),
    "a run twice in a cloud": (cloud(runs=["sgd-seed0"] * 2), "clouds.mine.runs is", "different"),
    "key of another method": (
        technique("phate-cosine", perplexity=3),
        "techniques.phate-cosine.perplexity means nothing with method 'phate'",
        "remove it",
    ),
    "key that a method lacks": (
        technique("mine", method="random", metric="euclidean", include_optimum=False),
        "techniques.mine",
        "'seed' is missing; add it",
    ),
    "other method in a cloud": (
        {"clouds": {"c10-good": {"embeddings": {"phate-cosine": {"method": "tsne"}}}}},
        "clouds.c10-good.embeddings.phate-cosine",
        "'perplexity' is missing; add it",
    ),
    "PCA of cosines": (technique("pca", metric="cosine"), "pca.metric is 'cosine'", "euclidean"),
    "distance beyond UMAP's spread": (technique("umap-cosine", min_dist=2), "is 2", "at most 1"),
    "time that is a word": (
        technique("phate-cosine", t="x"),
        "techniques.phate-cosine.t is 'x'",
        "expected auto or an integer of at least 1",
    ),
    "series of other epochs": (
        norm(series=[{"label": "a", "runs": ["sgd-seed0", RUN]}]),
        f"{PANEL}.series.0.runs: '{RUN}' and 'sgd-seed0' keep other epochs",
        "make them two series",
    ),
    "trajectory of an embedding": (
        embedding(trajectory=True),
        f"{PANEL}.trajectory means nothing with draw 'embedding'",
        "remove it",
    ),
    "cloud of a claim on jumps": (
        claim("horoi-star", good_clouds=["tree"]),
        "horoi-star.good_clouds names 'tree', a cloud of 'tree'",
        "expected one of minimum",
    ),
    "plane of a claim by another method": (
        {"claims": {"ding2023": {"ding-low-dimensional": {"bases": ["c10-resnet20-fn-last"]}}}},
        "ding-low-dimensional.bases names 'c10-resnet20-fn-last', a plane of 'fn'",
        "expected one of pca",
    ),
    "claim of one's own that lacks a key": (
        {"claims": {"mine": {"ding-low-dimensional": {"bases": [PCA]}}}},
        "claims.mine.ding-low-dimensional: key 'fn_bases' is missing",
        "add it",
    ),
    "claim of a module that is missing": (
        {"claims": {"mine": {"no_such_module:flat": {"runs": [RUN]}}}},
        "claims.mine.no_such_module:flat: expected an importable module 'no_such_module'",
        "put the module's folder on PYTHONPATH",
    ),
    "claim that its module lacks": (
        {"claims": {"mine": {"math:flat": {"runs": [RUN]}}}},
        "claims.mine.math:flat: expected 'flat' in 'math' to be a function under the decorator",
        "got nothing; decorate it",
    ),
    "claim without a decorator": (
        {"claims": {"mine": {"math:cos": {"runs": [RUN]}}}},
        "claims.mine.math:cos: expected 'cos' in 'math' to be a function under the decorator",
        "decorate it",
    ),
    "claim of one's own without its function": (
        {"claims": {"mine": {"math:": {"runs": [RUN]}}}},
        "claims.mine.math:: expected a shipped claim or 'module:function'",
        "got 'math:'",
    ),
    "null model of another cloud": (
        claim("horoi-null-control", bad_clouds=["c10-bad-seed1"]),
        "null_clouds names 'c10-bad-walks', a model of 'c10-bad'",
        "remove it",
    ),
    "cloud without its null model": (
        claim("horoi-null-control", null_clouds=["c10-bad-walks"]),
        "null_clouds has no model of 'c10-good'",
        "add one",
    ),
    "good runs without bad ones": (
        claim("horoi-accuracy", good_runs=["c10-wresnet-good"]),
        "1 good_runs and 4 bad_runs",
        "as many of each",
    ),
}

# kind: (bytes of the scale's file, the culprit, the remedy)
SCALE_FILES = {
    "broken YAML": (b"grid: {resolution: [5}", "line 1, column 22", "correct the file"),
    "a list": (b"- grid\n", "got a list", "write 'key: value'"),
    "not UTF-8": (b"grid: {resolution: 5} # \xff", "can't decode byte 0xff", "correct the file"),
    "impossible date": (b"grid: 2020-13-45", "month must be in 1..12", "correct the file"),
    "a name twice": (b"runs:\n  a: {}\n  a: {}\n", "key 'a' is given twice", "line 3, column 3"),
}

# kind: (arguments, what the user gives in a file, the culprit, the remedy)
REFUSED = {
    "a key mistyped on the command line": (["--config", "gird=5"], {}, "gird", "'grid'?"),
    "an undefined run of a figure": (
        ["mine_fig1"],
        panel(draw="curve", run="nobody"),
        "mine_fig1.panels.0.run names 'nobody'",
        "defined: ",
    ),
    "a factory whose module is missing": (
        ["trajectory/mine"],
        run(network="my.module:net"),
        "'my.module:net'",
        "correct the factory's name",
    ),
    "an image file that is missing": (
        ["dataset/mine"],
        dataset(source="hdf5", file="none.h5"),
        "datasets.mine.file: no such file 'none.h5'",
        "correct the path",
    ),
    "a key twice in one's own file": (
        [],
        "grid: {resolution: 5}\nstyle:\n  dpi: 50\n  dpi: 60\n",
        "refused.yaml: not valid YAML: key 'dpi' is given twice",
        "line 4, column 3",
    ),
    "a registry twice in one's own file": (
        [],
        "runs: {}\nruns: {}\n",
        "refused.yaml: not valid YAML: key 'runs' is given twice",
        "line 2, column 1",
    ),
    "a file of configuration that is a list": ([], "- 1", "Config file", "keys at top level"),
    "an unknown target": (["ding2023_fig33"], {}, "ding2023_fig33", "No rule to produce"),
    "an artifact that nobody defined": (["grid/nobody"], {}, "grid/nobody.h5", "No rule to"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Give a copy of ``config/`` with the scale ``tiny``."""
    copy = Path(shutil.copytree(ROOT / "config", tmp_path_factory.mktemp("bad") / "config"))
    shutil.copy2(ROOT / "tests" / "scales" / "tiny.yaml", copy / "scales")
    return copy


def refuse(folder: Path, given: dict) -> str:
    """Return the one line with which a configuration is refused."""
    with pytest.raises(LossmapError) as caught:
        load_configuration(folder, {"scale": "tiny"} | given)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("kind", CONFIGURATIONS)
def test_a_bad_configuration_names_culprit_and_remedy(folder, kind):
    given, culprit, remedy = CONFIGURATIONS[kind]
    message = refuse(folder, given)
    assert culprit in message
    assert remedy in message


@pytest.mark.parametrize("kind", SCALE_FILES)
def test_a_bad_scale_file_names_culprit_and_remedy(folder, kind):
    content, culprit, remedy = SCALE_FILES[kind]
    path = folder / "scales" / "bad.yaml"
    path.write_bytes(content)
    message = refuse(folder, {"scale": "bad"})
    path.unlink()
    assert message.startswith(f"{path}: ")
    assert culprit in message
    assert remedy in message


def test_an_unreadable_scale_file_is_named(folder):
    path = folder / "scales" / "bad.yaml"
    path.mkdir()
    message = refuse(folder, {"scale": "bad"})
    path.rmdir()
    assert message == f"{path}: cannot be read (Is a directory); restore it"


def give(project, name: str, given: dict | str) -> list[str]:
    """Write a file of configuration and return the arguments that name it."""
    text = given if isinstance(given, str) else yaml.safe_dump(given)
    (project.folder / name).write_text(text)
    return ["--configfile", name]


def targets(project, *names: str) -> list[str]:
    """Return the paths of artifacts given as stage/name, and every other name as it is."""
    return [str(project.path(*n.split("/")).relative_to(project.folder)) for n in names]


def results(project) -> set[Path]:
    return set((project.folder / "results").rglob("*"))


@pytest.mark.parametrize("kind", REFUSED)
def test_snakemake_refuses_before_any_job(shared_project, kind):
    arguments, given, culprit, remedy = REFUSED[kind]
    wanted = [t for a in arguments for t in (targets(shared_project, a) if "/" in a else [a])]
    config = dict(pair.split("=") for pair in wanted if "=" in pair)
    wanted = [a for a in wanted if "=" not in a and a != "--config"]
    before = results(shared_project)
    named = give(shared_project, "refused.yaml", given)
    done = shared_project.snakemake(*wanted, *named, check=False, **config)
    lines = [line for line in (done.stdout + done.stderr).splitlines() if culprit in line]
    assert done.returncode != 0
    assert any(remedy in line for line in lines), done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert results(shared_project) == before


# --- jobs that fail -----------------------------------------------------------------------------


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def make_text(path: Path) -> None:
    path.write_text("<!doctype html>\n")


def strip(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["images"] = np.zeros(3)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@contextmanager
def editing(path: Path) -> Iterator[h5py.File]:
    """Open an artifact for a change that its seal does not tell."""
    with h5py.File(path, "r+") as file:
        yield file
        size = file.userblock_size
    with path.open("r+b") as stream:
        stream.write(bytes(size))


def relabel(path: Path) -> None:
    with editing(path) as file:
        file.attrs["kind"] = "jumps"


def age(path: Path) -> None:
    with editing(path) as file:
        file.attrs["format_version"] = 99


def numbers_of(file: h5py.File) -> h5py.Dataset:
    """Return the first dataset of numbers with an axis."""
    found: list[h5py.Dataset] = []
    file.visititems(lambda _, item: found.append(item) if hasattr(item, "dtype") else None)
    return next(item for item in found if item.dtype.kind in "iuf" and item.ndim)


def alter(path: Path) -> None:
    with editing(path) as file:
        numbers_of(file)[0] = numbers_of(file)[0] + 1


def remove(path: Path) -> None:
    with editing(path) as file:
        del file[numbers_of(file).name]


DAMAGES = {
    "truncated": (truncate, "damaged"),
    "emptied": (empty, "(0 bytes; truncated or damaged)"),
    "flipped": (flip, "damaged or edited"),
    "foreign": (strip, "attribute 'kind' is absent"),
    "other-kind": (relabel, "got 'jumps'"),
    "other-version": (age, "format version 99"),
    "altered": (alter, "content does not match its digest"),
    "incomplete": (remove, "' is missing from this"),
}
HEALTHY = {
    "dataset": "c10",
    "trajectory": RUN,
    "basis": PCA,
    "grid": PCA,
    "projection": PROJECTION,
    "distance": "bush",
    "embedding": "bush-pca",
}
BUSH = {"bush": {"tree": TREE, "embeddings": {"pca": {}}}}
BUSH_GIVEN = {"clouds": BUSH}
DECLARED = {
    "dataset": Dataset,
    "trajectory": Trajectory,
    "basis": Basis,
    "grid": Grid,
    "projection": Projection,
    "distance": Cloud,
    "embedding": Embedding,
}
DAMAGED = {  # stage: kinds of damage that the next job is given
    "trajectory": tuple(DAMAGES),
    "basis": ("truncated",),
    "grid": ("other-kind",),
    "projection": ("foreign",),
    "dataset": ("altered",),
    "distance": ("altered",),
    "embedding": ("truncated",),
}


@dataclass
class Job:
    """One job that must fail: its target, what its one line says, and what leads to it."""

    target: str
    says: tuple[str, ...]
    config: dict = field(default_factory=dict)


def damaged_artifact(project, stage: str, damage: str) -> Job:
    """Damage a copy of an artifact and return the job that reads it."""
    if stage in ("distance", "embedding"):
        return damaged_cloud(project, stage, damage)
    name, (hurt, message) = f"{stage}-{damage}", DAMAGES[damage]
    path = project.path(stage, name)
    shutil.copy2(project.path(stage, HEALTHY[stage]), path)
    figure = f"bad_{stage}_{damage}".replace("-", "_")
    drawn = {"draw": "contour", "grid": PCA}
    if stage == "trajectory":
        given = {"runs": {name: OWN_RUN}}
        given |= basis(name, run=name, method="pca", center="last")
        target = f"basis/{name}"
    elif stage == "dataset":
        given = {"runs": {name: OWN_RUN | {"dataset": name}}}
        given |= {"datasets": {name: {"source": "digits", "classes": 10, "train": 40, "test": 20}}}
        target = f"trajectory/{name}"
    else:
        target = f"figure/{figure}"
        given = {f"{stage}s": {name: {"basis": PCA}}}
        drawn |= {"grid": name} if stage == "grid" else {"projection": name, "trajectory": True}
        if stage == "basis":
            shutil.copy(project.path("grid", PCA), project.path("grid", name))
            given = basis(name, run=RUN, method="pca", center="last")
            given |= {"grids": {name: {"basis": name}}}
            drawn = {"draw": "contour", "grid": name, "marks": ["converged"]}
        given |= {"figures": {figure: {"columns": 1, "panels": [drawn]}}}
    pass_for_made(project, given, stage, name)
    if stage == "basis":
        pass_for_made(project, given, "grid", name)
    hurt(path)
    return Job(target, (f"{stage}/{name}.h5: ", message, "run again"), given)


def pass_for_made(project, given: dict, stage: str, name: str) -> None:
    """Stamp a copy of an artifact as what its name asks for: else it would be made again."""
    config = load_configuration(project.folder / "config", {"scale": "tiny"} | given)
    scripts = project.folder / "workflow_scripts"
    expected = Expected(config, [scripts], project.folder / "results" / "tiny")
    inputs = {
        source: digest_of(expected.path(*source.split("/", 1)))
        for source in expected.sources(stage, name)
    }
    made = Provenance(expected.spec(stage, name), expected.code(stage, name), inputs)
    path = expected.path(stage, name)
    with h5py.File(path, "r+") as file:
        content = write_attributes(file, file.attrs["kind"], file.attrs["format_version"], made)
    seal(path, made.mark(content))


def damaged_cloud(project, stage: str, damage: str) -> Job:
    """Damage a copy of a cloud or of its embedding and return the job that reads it."""
    name, (hurt, message) = f"{stage}-{damage}", DAMAGES[damage]
    path = project.path("distance", name)
    shutil.copy2(project.path("distance", "bush"), path)
    given = {"clouds": {name: BUSH["bush"]}}
    says = (f"{stage}/{name}", message, "run again")
    if stage == "distance":
        hurt(path)
        return Job(f"embedding/{name}-pca", says, given)
    path, figure = project.path("embedding", f"{name}-pca"), f"bad_embedding_{damage}"
    shutil.copy2(project.path("embedding", "bush-pca"), path)
    pass_for_made(project, given, "embedding", f"{name}-pca")
    hurt(path)
    drawn = {"draw": "embedding", "embedding": f"{name}-pca", "color": "trajectory"}
    return Job(f"figure/{figure}", says, given | panel_of(figure, **drawn))


def damaged_jumps(project) -> Job:
    """Put something else in the place of a jump and return the job that reads it."""
    path = project.path("jumps", "jumps-foreign-d0")
    path.parent.mkdir(exist_ok=True)
    strip(path)
    given = {"minima": {"jumps-foreign": {"run": RUN, "directions": [0]}}}
    given |= {"clouds": {"jumps-foreign": {"minimum": "jumps-foreign", "embeddings": {}}}}
    says = ("jumps/jumps-foreign-d0.h5: ", DAMAGES["foreign"][1], "run again")
    return Job("distance/jumps-foreign", says, given)


def panel_of(figure: str, **keys: object) -> dict:
    return {"figures": {figure: {"columns": 1, "panels": [keys]}}}


def write_images(path: Path) -> None:
    """Write ten images of two classes for training and four for testing."""
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        file["classes"] = ["cat", "dog"]
        for split, count in (("train", 40), ("test", 4)):
            file[f"{split}/images"] = rng.integers(0, 256, (count, 32, 32, 3), np.uint8)
            file[f"{split}/labels"] = np.arange(count) % 2


def replace(path: Path, name: str, values: np.ndarray) -> None:
    with h5py.File(path, "r+") as file:
        del file[name]
        file[name] = values


def list_digest(path: Path) -> None:
    path.with_name("SHA256SUMS").write_text(f"{'0' * 64}  {path.name}\n")


IMAGE_FILES = {  # kind: (how the file is spoilt, the culprit, the remedy)
    "truncated": (truncate, "truncated or damaged", "fetch the file again"),
    "text": (make_text, "not a readable HDF5 file", "fetch the file again"),
    "flipped": (list_digest, "SHA-256 is", "fetch the file again"),
    "floats": (
        lambda path: replace(path, "train/images", np.zeros((40, 32, 32, 3))),
        "'train/images' is float64 (40, 32, 32, 3), expected uint8",
        "convert the file",
    ),
    "out-of-range": (
        lambda path: replace(path, "train/labels", np.full(40, 2)),
        "'train/labels'[0] is 2, expected 0 to 1",
        "correct the labels or the classes",
    ),
    "no-dogs": (
        lambda path: replace(path, "train/labels", np.zeros(40, np.int64)),
        "but there are 0",
        "ask for fewer",
    ),
    "too-few": (lambda path: None, "60 images asked, but there are 40", "ask for 1 to 40"),
}


def spoilt_images(project, kind: str) -> Job:
    """Spoil an image file and return the job that reads it."""
    name, (spoil, *says) = f"images-{kind}", IMAGE_FILES[kind]
    path = project.folder / "data" / kind / "images.h5"
    path.parent.mkdir(parents=True)
    write_images(path)
    spoil(path)
    source = {"source": "hdf5", "file": str(path), "train": 60 if kind == "too-few" else 40}
    return Job(f"dataset/{name}", (f"{path}: ", *says), {"datasets": {name: source}})


def other_jobs(project) -> dict[str, Job]:
    """Return the jobs whose configuration only they can judge, and a CIFAR file cut short."""
    cifar = project.folder / "data" / "cifar10.h5"
    write_images(cifar)
    truncate(cifar)
    factory = "lossmap.network.models.resnet:resnet21"
    crowd = {"tree": TREE, "embeddings": {"phate-euclidean": {"knn": 50}}}
    jumps = EMBEDDED | {"embedding": "bush-pca", "marks": ["jumps"]}
    return {
        "jumps foreign": damaged_jumps(project),
        "too many neighbors": Job(
            "embedding/crowd-phate-euclidean",
            ("embedding/crowd-phate-euclidean.h5: ", "knn is 50", "24 points", "set 'knn'"),
            {"clouds": {"crowd": crowd}},
        ),
        "jumps of a tree": Job(
            "figure/bad_jumps",
            ("'bush-pca'", "choose another color or mark"),
            BUSH_GIVEN | panel_of("bad_jumps", **jumps),
        ),
        "cifar10.h5 truncated": Job(
            "dataset/cifar",
            (f"{cifar}: ", "truncated or damaged", "fetch the file again"),
            {"datasets": {"cifar": {"source": "cifar10", "train": 40}}},
        ),
        "factory without its function": Job(
            "trajectory/no-function",
            (f"network factory '{factory}'", "correct the name"),
            {"runs": {"no-function": OWN_RUN | {"network": factory}}},
        ),
    }


JOBS = [
    *(f"{stage} {damage}" for stage, damages in DAMAGED.items() for damage in damages),
    *(f"images {kind}" for kind in IMAGE_FILES),
    "cifar10.h5 truncated",
    "factory without its function",
    "jumps foreign",
    "too many neighbors",
    "jumps of a tree",
]


@pytest.fixture(scope="module")
def failed(shared_project):
    """Run every job that must fail, and one that must not, in one Snakemake."""
    project = shared_project
    healthy = (f"grid/{PCA}", f"projection/{PROJECTION}", "embedding/bush-pca")
    project.snakemake(*targets(project, *healthy), *give(project, "healthy.yaml", BUSH_GIVEN))
    (project.folder / "data").mkdir()
    jobs = {f"images {kind}": spoilt_images(project, kind) for kind in IMAGE_FILES}
    jobs |= other_jobs(project)
    for stage, damages in DAMAGED.items():
        jobs |= {f"{stage} {d}": damaged_artifact(project, stage, d) for d in damages}
    given = panel(draw="contour", grid=PCA, trajectory=True, projection=PROJECTION)
    given["data_dir"] = str(project.folder / "data")
    for job in jobs.values():
        for registry, entries in job.config.items():
            given.setdefault(registry, {}).update(entries)
    named = give(project, "failing.yaml", given)
    wanted = targets(project, "figure/mine_fig1", *(job.target for job in jobs.values()))
    done = project.snakemake(*wanted, *named, "--keep-going", check=False)
    return jobs, done


@pytest.mark.parametrize("kind", JOBS)
def test_a_failing_job_names_culprit_and_remedy_and_leaves_nothing(shared_project, failed, kind):
    jobs, done = failed
    job, output = jobs[kind], shared_project.path(*jobs[kind].target.split("/"))
    log = shared_project.path(f"log/{output.parent.name}", output.stem, "log").read_text()
    errors = [line for line in log.splitlines() if " error: " in line]
    assert len(errors) == 1, log
    assert [part for part in job.says if part not in errors[0]] == []
    assert errors[0] in done.stdout + done.stderr
    assert not list(output.parent.glob(f"{output.stem}.*"))
    assert not list(output.parent.glob(f".{output.stem}.*"))


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("stage", DECLARED)
@pytest.mark.usefixtures("failed")
def test_a_damaged_artifact_is_not_read(shared_project, tmp_path, stage, damage):
    path, (hurt, says) = tmp_path / f"{stage}.h5", DAMAGES[damage]
    shutil.copy2(shared_project.path(stage, HEALTHY[stage]), path)
    hurt(path)
    with pytest.raises(LossmapError) as caught:
        load(path, DECLARED[stage])
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert says in message
    assert "run again" in message
    assert "\n" not in message


def test_the_failures_are_reported_without_a_traceback(shared_project, failed):
    _, done = failed
    assert done.returncode != 0
    assert "Traceback" not in done.stdout + done.stderr
    assert shared_project.path("figure", "mine_fig1").exists(), "the healthy job was not run"


def test_a_gpu_that_is_not_there_is_one_line(shared_project, failed):
    target = targets(shared_project, "trajectory/c10-resnet32")
    done = shared_project.snakemake(*target, check=False, device="cuda")
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "error: device: cuda was asked for, but no GPU is visible" in said
    assert "set device=cpu" in said
    assert "Traceback" not in said
    assert not shared_project.path("trajectory", "c10-resnet32").exists()
