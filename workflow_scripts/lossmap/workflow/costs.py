"""What each job needs: multiply-adds, memory, disk and time, from its specification alone.

Numbers for limits and for `estimate`, not measurements: parameters and multiply-adds per image are
those of the full-width network in the configuration, scaled by the square of the width.
"""

from dataclasses import dataclass

from lossmap.workflow.configuration import kept_epochs, run_recipe, statistics_of
from lossmap.workflow.specs import network_spec, run_of

UNKNOWN = {"parameters": 10_000_000, "macs": 500_000_000}
"""Assumed of a network that says nothing of its size."""
DIGITS_PER_CLASS, CIFAR_SIZES = (130, 44), (50000, 10000)
"""Training and test images where all are used; a user's own file counts as CIFAR."""
BASE_MB, TORCH_MB = 500, 1500
TRAINING_PASSES = 3
"""A training step costs about three forward passes: forward, and twice as much backward."""
MARGIN = 4
"""Time limits are this many times the estimate."""


@dataclass(frozen=True)
class Cost:
    """What one artifact takes.

    Attributes
    ----------
    macs : multiply-adds
    memory_mb : peak resident memory
    disk_mb : size of the artifact
    """

    macs: float
    memory_mb: int
    disk_mb: float


def network_size(config: dict, run: str) -> tuple[int, float]:
    """Return the parameters and the multiply-adds per 32 x 32 image of a run's network."""
    known = UNKNOWN | config["networks"].get(config["runs"][run]["network"], {})
    area = network_spec(config, run)["width"] ** 2
    return int(known["parameters"] * area), known["macs"] * area


def image_counts(config: dict, dataset: str) -> tuple[int, int]:
    """Return how many training and test images a data set has, at most."""
    entry = config["datasets"][dataset]
    full = CIFAR_SIZES
    if entry["source"] == "digits":
        full = tuple(entry["classes"] * count for count in DIGITS_PER_CLASS)
    return entry.get("train") or full[0], entry.get("test") or full[1]


def measure_cost(config: dict, stage: str, name: str) -> Cost:
    """Return what one artifact takes; figures and tables count as nothing."""
    if stage == "dataset":
        size = sum(image_counts(config, name)) * 3072 / 2**20
        return Cost(0.0, int(BASE_MB + TORCH_MB + 3 * size), size)
    if stage not in ("trajectory", "basis", "grid", "projection"):
        return Cost(0.0, BASE_MB, 1.0)
    return _network_cost(config, stage, name)


def _network_cost(config: dict, stage: str, name: str) -> Cost:
    run = run_of(config, stage, name)
    recipe = run_recipe(config, run)
    parameters, macs = network_size(config, run)
    train, test = image_counts(config, config["runs"][run]["dataset"])
    snapshots = len(kept_epochs(recipe))
    theta_mb, images_mb = 4 * parameters / 2**20, 4 * 3072 * (train + test) / 2**20
    batch_mb = 64 * macs / 1e6 * recipe["batch_size"] / 1000
    if stage == "trajectory":
        images = recipe["epochs"] * train * TRAINING_PASSES
        images += snapshots * (test + config["metrics"]["images"])
        memory = BASE_MB + TORCH_MB + 6 * theta_mb + images_mb + batch_mb
        return Cost(images * macs, int(memory), snapshots * theta_mb)
    if stage == "basis":
        axes = 2 * len(config["bases"][name].get("seeds", [0]))
        block_mb = 3 * 8 * 65536 * snapshots / 2**20
        memory = BASE_MB + block_mb + (4 * axes + 2) * theta_mb
        return Cost(2.0 * snapshots**2 * parameters, int(memory), (axes + 1) * theta_mb)
    points = _evaluated_points(config, stage, name, snapshots)
    memory = BASE_MB + TORCH_MB + 12 * theta_mb + images_mb + batch_mb / 4
    return Cost(points * config["evaluation"]["images"] * macs, int(memory), 1.0)


def _evaluated_points(config: dict, stage: str, name: str, snapshots: int) -> int:
    entry = config[f"{stage}s"][name]
    passes = 2 if statistics_of(config, entry) == "recalibrate" else 1
    if stage == "grid":
        return passes * entry.get("resolution", config["grid"]["resolution"]) ** 2
    planes = len(config["bases"][entry["basis"]].get("seeds", [0]))
    return passes * snapshots * (1 + 2 * planes)


def time_limit(config: dict, stage: str, name: str, gpu: bool) -> int:
    """Return a time limit in minutes, generous by `MARGIN`."""
    threads = config["resources"]["threads"].get(stage, 1)
    rate = config["resources"]["gpu_gflops"] if gpu else config["resources"]["gflops"] * threads
    seconds = 2 * measure_cost(config, stage, name).macs / (rate * 1e9)
    return 10 + int(MARGIN * seconds / 60)
