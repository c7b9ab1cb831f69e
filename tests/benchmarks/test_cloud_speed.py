"""PCA and all distances of a cloud of weight vectors, beside scikit-learn's calls in memory.

1,020 vectors of 147,000 parameters; with LOSSMAP_BENCH_FULL=1 of 1.47 million, for which
scikit-learn needs 14 GB and minutes. One thread for either, or LOSSMAP_BENCH_THREADS.
"""

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import cloud_ways
import numpy as np
import pytest
from cloud_ways import COMPONENTS, EPOCHS, ROWS, open_cloud, write_cloud

FULL = os.environ.get("LOSSMAP_BENCH_FULL") == "1"
THREADS = os.environ.get("LOSSMAP_BENCH_THREADS", "1")
PARAMS, ROUNDS = (1_470_000, 1) if FULL else (147_000, 2)

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="peak memory is read as Linux tells it"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cloud")
    write_cloud(folder, PARAMS)
    yield folder
    for path in folder.iterdir():  # gigabytes, which pytest would keep
        path.unlink()


@pytest.fixture(scope="module")
def truth(folder):
    return brute_force(folder)


def choose_pairs():
    """Return pairs of rows: consecutive late epochs of all trajectories, then any two."""
    late = np.arange(ROWS)[np.arange(ROWS) % EPOCHS >= EPOCHS - 6]
    late = late[late % EPOCHS < EPOCHS - 1]
    others = np.random.default_rng(0).permutation(ROWS)[:200].reshape(100, 2)
    return np.concatenate([np.stack([late, late + 1], axis=1), others]), len(late)


def brute_force(folder):
    """Return distances of the pairs in extended precision, and PCA of the float64 matrix."""
    pairs, _ = choose_pairs()
    gram, found = np.zeros((ROWS, ROWS)), {"euclidean": [], "cosine": []}
    with ExitStack() as stack:
        sources = list(open_cloud(folder, stack).values())
        per_source = sources[0].shape[0] * sources[0].shape[1]
        for start in range(0, PARAMS, 8192):
            parts = [source[..., start : start + 8192] for source in sources]
            block = np.concatenate(parts).reshape(ROWS, -1).astype(np.float64)
            block -= block.mean(axis=0)
            gram += block @ block.T
        for pair in pairs:
            places = [
                (sources[row // per_source], *divmod(row % per_source, EPOCHS)) for row in pair
            ]
            one, two = (source[step, epoch].astype(np.longdouble) for source, step, epoch in places)
            found["euclidean"].append(np.sqrt(np.sum((one - two) ** 2)))
            units = one / np.sqrt(np.sum(one**2)) - two / np.sqrt(np.sum(two**2))
            found["cosine"].append(np.sum(units**2) / 2)
    values = np.linalg.eigvalsh(gram)[::-1]
    return {name: np.array(column, float) for name, column in found.items()} | {
        "ratios": values[:COMPONENTS] / values.sum()
    }


def run_way(way, folder):
    """Give one way a process of its own; return what it printed and what it found."""
    result = folder / f"{way}.npz"
    numbers = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    path = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [sys.executable, cloud_ways.__file__, way, str(folder), str(result)],
        env=os.environ | dict.fromkeys(numbers, THREADS) | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    with np.load(result) as found:
        return json.loads(done.stdout), dict(found)


def largest_errors(found, truth):
    """Return the largest relative errors of a way: late and other pairs, then the PCA's shares."""
    pairs, late = choose_pairs()
    errors = {"PCA": float(np.max(np.abs(found["ratios"] / truth["ratios"] - 1)))}
    for metric in ("euclidean", "cosine"):
        relative = np.abs(found[metric][pairs[:, 0], pairs[:, 1]] / truth[metric] - 1)
        errors[f"{metric}, late"] = float(relative[:late].max())
        errors[f"{metric}, any"] = float(relative[late:].max())
    return errors


def test_pca_and_all_distances_of_a_cloud(benchmark, folder, truth, capsys):
    runs = {"ours": [], "plain": []}
    benchmark.pedantic(  # in turn, so that a busy machine slows both
        lambda: runs["ours"].append(run_way("ours", folder)),
        setup=lambda: runs["plain"].append(run_way("plain", folder)),
        rounds=ROUNDS,
    )
    errors = {way: largest_errors(found[-1][1], truth) for way, found in runs.items()}
    seconds = {way: median(told["seconds"] for told, _ in found) for way, found in runs.items()}
    peaks = {way: max(told["peak_mb"] for told, _ in found) for way, found in runs.items()}
    benchmark.extra_info["ratio"] = seconds["plain"] / seconds["ours"]
    with capsys.disabled():
        print(f"\n{ROWS} x {PARAMS} parameters, {THREADS} threads")
        for way, found in runs.items():
            parts = {name: round(value, 2) for name, value in found[-1][0]["times"].items()}
            print(f"{way}: {seconds[way]:.2f} s {parts}, peak {peaks[way]:.0f} MB")
            print(
                "   relative errors", {name: f"{value:.0e}" for name, value in errors[way].items()}
            )
        print(
            f"ratio {seconds['plain'] / seconds['ours']:.2f} in time, "
            f"{peaks['plain'] / peaks['ours']:.1f} in memory"
        )
    assert max(errors["ours"].values()) < 1e-9
    assert peaks["ours"] < 1024
