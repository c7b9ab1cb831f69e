"""Two ways to the PCA and the distances of a cloud, each measured in a process of its own.

``python cloud_ways.py WAY FOLDER RESULT.npz`` goes one WAY over the jumps in a folder, saves what
it found and prints seconds and peak memory as JSON. Neither way loads torch.
"""

import json
import re
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from lossmap.artifacts.curves import CURVES
from lossmap.artifacts.distance import Origins
from lossmap.artifacts.jumps import Jumps
from lossmap.artifacts.provenance import Provenance
from lossmap.artifacts.store import save, stream

DIRECTIONS, STEPS, EPOCHS = 5, 4, 51
ROWS = DIRECTIONS * STEPS * EPOCHS
COMPONENTS = 100
Timed = tuple[dict[str, np.ndarray], dict[str, float]]


def write_cloud(folder: Path, params: int) -> None:
    """Write the jumps of five directions; what is left of a jump of 0.1 |θ| shrinks to 1e-4."""
    generator = np.random.default_rng(0)

    def draw():
        return generator.standard_normal(params, np.float32)

    optimum, left = draw(), np.geomspace(1, 1e-3, EPOCHS).astype(np.float32)
    curves = {name: np.zeros((STEPS, EPOCHS)) for name in (*CURVES, "theta_norm")}
    sizes = np.linspace(0.025, 0.1, STEPS)
    for seed in range(DIRECTIONS):
        direction = draw()
        thetas = np.lib.format.open_memmap(
            folder / "thetas.npy", "w+", np.float32, (STEPS, EPOCHS, params)
        )
        for step, size in enumerate(sizes.astype(np.float32)):
            turned = direction.copy()
            for epoch in range(EPOCHS):
                thetas[step, epoch] = optimum + size * left[epoch] * turned
                turned += np.float32(0.1) * draw()
        place = folder / f"jumps-d{seed}.h5"
        found = Jumps(thetas, sizes, np.arange(thetas.shape[1]), direction, seed, **curves)
        save(place, found, Provenance("{}", "", {}))
    (folder / "thetas.npy").unlink()


def cloud_origins() -> Origins:
    """Return the origins of a cloud whose optimum is left out."""
    blank = np.full(ROWS, np.nan)
    return Origins(
        is_optimum=np.zeros(ROWS, np.int8),
        trajectory=np.repeat(np.arange(DIRECTIONS * STEPS), EPOCHS),
        source=np.zeros(ROWS, np.int64),
        direction=np.repeat(np.arange(DIRECTIONS), STEPS * EPOCHS),
        step_size=blank,
        epoch=np.tile(np.arange(EPOCHS), DIRECTIONS * STEPS),
        **dict.fromkeys(CURVES, blank),
        sources=["minimum"],
    )


def open_cloud(folder: Path, stack: ExitStack) -> dict:
    """Return the open datasets of a cloud by name, in the order of its rows."""
    paths = sorted(folder.glob("jumps-*.h5"))
    return {path.stem: stack.enter_context(stream(path, Jumps))["thetas"] for path in paths}


def measure_ours(folder: Path) -> Timed:
    """Return what lossmap finds, from the files."""
    from lossmap.geometry.distances import center_gram, measure_cloud_geometry, measure_scores

    times: dict[str, float] = {}
    with ExitStack() as stack:
        sources = open_cloud(folder, stack)
        cloud = _timed(times, "distances", lambda: measure_cloud_geometry(sources, cloud_origins()))
    gram = center_gram(cloud.gram)
    _, ratios = _timed(times, "pca", lambda: measure_scores(gram, COMPONENTS))
    return {"euclidean": cloud.euclidean, "cosine": cloud.cosine, "ratios": ratios}, times


def measure_plain(folder: Path) -> Timed:
    """Return what scikit-learn finds, in memory; reading the files is not counted."""
    from sklearn.decomposition import PCA
    from sklearn.metrics import pairwise_distances

    with ExitStack() as stack:
        sources = open_cloud(folder, stack)
        thetas = np.empty((ROWS, next(iter(sources.values())).shape[-1]), np.float32)
        for index, source in enumerate(sources.values()):
            part = thetas[index * STEPS * EPOCHS :][: STEPS * EPOCHS]
            source.read_direct(part.reshape(source.shape))
    times: dict[str, float] = {}
    pca = PCA(n_components=COMPONENTS, random_state=0)
    _timed(times, "pca", lambda: pca.fit_transform(thetas))
    found = {"ratios": pca.explained_variance_ratio_}
    for metric in ("euclidean", "cosine"):
        found[metric] = _timed(times, metric, lambda m=metric: pairwise_distances(thetas, metric=m))
    return found, times


def _timed(times: dict[str, float], name: str, work: Callable):
    started = time.perf_counter()
    result = work()
    times[name] = time.perf_counter() - started
    return result


def peak_mb() -> float:
    """Return the peak resident memory of this process; Linux only.

    Not `ru_maxrss`, which a process inherits from the one that started it.
    """
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024


if __name__ == "__main__":
    way, folder, result = sys.argv[1:]
    found, times = {"ours": measure_ours, "plain": measure_plain}[way](Path(folder))
    assert "torch" not in sys.modules
    np.savez(result, **found)
    print(json.dumps({"times": times, "seconds": sum(times.values()), "peak_mb": peak_mb()}))
