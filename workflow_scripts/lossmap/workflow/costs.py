"""What each job needs: multiply-adds, memory, disk and time, from its specification alone.

Numbers for limits and for `estimate`, not measurements: parameters and multiply-adds per image are
those of the full-width network in the configuration, scaled by the square of the width.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil

from lossmap.workflow.configuration import (
    cloud_kind,
    curvature_of,
    embedding_names,
    is_imported,
    jump_names,
    kept_epochs,
    metrics_of,
    minimum_of,
    minimum_recipe,
    run_recipe,
    statistics_of,
    task_of,
)
from lossmap.workflow.specs import (
    network_spec,
    run_of_grid,
    run_of_line,
    run_of_projection,
    run_of_ring,
)

UNKNOWN = {"parameters": 10_000_000, "macs": 500_000_000}
"""Assumed for a network that declares no size."""
DIGITS_PER_CLASS, CIFAR_SIZES = (130, 44), (50000, 10000)
"""Training and test images where all are used; a user's own file counts as CIFAR."""
BASE_MB, TORCH_MB, EMBEDDING_MB = 500, 1500, 700
STREAM_MB = 300
"""For weight vectors that are streamed, however many and long they are: see geometry/columns.py."""
TRAINING_PASSES = 3
"""A training step costs about three forward passes: forward, and twice as much backward."""
PRODUCT_PASSES = 7
"""Of a product with the Hessian: a training step, and the gradient of its gradient."""
EIGENPAIR_PRODUCTS, LANCZOS_VECTORS = 40, 20
"""Products until the largest eigenvalues have converged, about, and vectors that ARPACK keeps."""
START_SECONDS = 2.0
"""Of every job: Python, its libraries, reading what it needs. Measured without a GPU."""
DRAWING_SECONDS = 2.0
MEASURED_IMAGES = 500
"""Images in one pass when a snapshot is measured."""
EMBEDDING_SECONDS = 1e-9
"""Times the cube of the number of points: PHATE without landmarks took 1.5 s for 1,020 points and
24 s for 3,000 on one core, beside which t-SNE and UMAP are short."""
METHOD_SECONDS = 1.0
"""Of every embedding, however few its points: UMAP compiles itself, PHATE loads its libraries."""


@dataclass(frozen=True)
class Cost:
    """What one artifact takes.

    Attributes
    ----------
    macs : multiply-adds
    memory_mb : peak resident memory
    disk_mb : size of the artifact
    calls : passes of a batch through the network; a training step counts as `TRAINING_PASSES`
    seconds : all other work, on one core
    """

    macs: float
    memory_mb: int
    disk_mb: float
    calls: float = 0.0
    seconds: float = 0.0


def network_size(config: dict, run: str) -> tuple[int, float]:
    """Return the parameters and the multiply-adds per image of a run's network."""
    entry = config["runs"][run]
    known = UNKNOWN | config["networks"].get(entry.get("network"), {})
    dataset = config["datasets"].get(entry.get("dataset"), {})
    pixels = (dataset.get("side", 32) / 32) ** 2
    area = network_spec(config, run).get("width", 1.0) ** 2
    return int(known["parameters"] * area), known["macs"] * area * pixels


def image_counts(config: dict, dataset: str) -> tuple[int, int]:
    """Return how many training and test images a data set has, at most."""
    entry = config["datasets"][dataset]
    full = CIFAR_SIZES
    if entry["source"] == "digits":
        full = tuple(entry["classes"] * count for count in DIGITS_PER_CLASS)
    return entry.get("train") or full[0], entry.get("test") or full[1]


def sample_counts(config: dict, run: str) -> tuple[int, int]:
    """Return how many training and test samples a run has; assumed where a task has them."""
    if task_of(config, run):
        return CIFAR_SIZES
    return image_counts(config, config["runs"][run]["dataset"])


def _measured_samples(config: dict, run: str) -> int:
    """Return how many samples are measured at each snapshot."""
    (train, test), metrics = sample_counts(config, run), metrics_of(config, run)
    return test + (metrics["images"] if metrics else train)


def dataset_cost(config: dict, name: str) -> Cost:
    """Return the cost of a data set."""
    size = sum(image_counts(config, name)) * 3072 / 2**20
    return Cost(0.0, int(BASE_MB + TORCH_MB + 3 * size), size)


def embedding_cost(config: dict, name: str) -> Cost:
    """Return the cost of an embedding."""
    rows = cloud_size(config, embedding_names(config)[name][0])[0]
    matrix_mb, seconds = 8 * rows**2 / 2**20, METHOD_SECONDS + EMBEDDING_SECONDS * rows**3
    memory = int(BASE_MB + EMBEDDING_MB + 12 * matrix_mb)
    return Cost(0.0, memory, 1.0 + matrix_mb, seconds=seconds)


def topology_cost(config: dict, name: str) -> Cost:
    """Return the cost of a topology: of a cloud, its distances are sorted."""
    entry = config["topologies"][name]
    rows = cloud_size(config, entry["cloud"])[0] if "cloud" in entry else 0
    memory = int(BASE_MB + 6 * 8 * rows**2 / 2**20)
    return Cost(0.0, memory, 1.0, seconds=DRAWING_SECONDS)


def drawing_cost(config: dict, name: str) -> Cost:
    """Return the cost of a figure, a table or a ledger."""
    return Cost(0.0, BASE_MB, 1.0, seconds=DRAWING_SECONDS)


def jumps_cost(config: dict, name: str) -> Cost:
    """Return the cost of one direction: its runs share the images, one trains at a time."""
    minimum = minimum_of(config, jump_names(config)[name][0])
    run = minimum["run"]
    parameters, macs = network_size(config, run)
    train, _ = sample_counts(config, run)
    steps, epochs = len(minimum["step_sizes"]), minimum["epochs"]
    measured = (epochs + 1) * _measured_samples(config, run)
    batch = minimum_recipe(config, jump_names(config)[name][0])["batch_size"]
    size = _sizes(config, run, batch)
    disk = steps * (epochs + 1) * 4 * parameters / 2**20
    return Cost(
        steps * (epochs * train * TRAINING_PASSES + measured) * macs,
        _memory(size),
        disk,
        steps * _training_calls(epochs, train, batch, measured),
    )


def _training_calls(epochs: int, images: int, batch: int, measured: float) -> float:
    return TRAINING_PASSES * epochs * ceil(images / batch) + measured / MEASURED_IMAGES


def cloud_size(config: dict, name: str) -> tuple[int, int]:
    """Return how many weight vectors a cloud has, and how many parameters each."""
    cloud = config["clouds"][name]
    kind = cloud_kind(cloud)
    if kind == "tree":
        return cloud["tree"]["branches"] * cloud["tree"]["length"], cloud["tree"]["dimensions"]
    if kind == "model":
        return cloud_size(config, cloud["of"])
    if kind == "runs":
        rows = sum(len(kept_epochs(config, run)) for run in cloud["runs"])
        return rows, network_size(config, cloud["runs"][0])[0]
    minimum = minimum_of(config, cloud["minimum"])
    jumps = len(minimum["directions"]) * len(minimum["step_sizes"])
    return 1 + jumps * (minimum["epochs"] + 1), network_size(config, minimum["run"])[0]


def distance_cost(config: dict, name: str) -> Cost:
    """Return the cost of the distances of a cloud."""
    rows, parameters = cloud_size(config, name)
    matrix_mb = 8 * rows**2 / 2**20
    return Cost(rows**2 * parameters, int(BASE_MB + STREAM_MB + 8 * matrix_mb), 1.0 + 3 * matrix_mb)


@dataclass(frozen=True)
class _Sizes:
    """What the costs of a run's artifacts follow from."""

    parameters: int
    macs: float
    theta_mb: float
    data_mb: float
    batch_mb: float
    snapshots: int


def _sizes(config: dict, run: str, batch: int | None = None) -> _Sizes:
    parameters, macs = network_size(config, run)
    train, test = sample_counts(config, run)
    theta_mb, data_mb = 4 * parameters / 2**20, 4 * 3072 * (train + test) / 2**20
    if batch is None:
        imported = is_imported(config, run)
        batch = MEASURED_IMAGES if imported else run_recipe(config, run)["batch_size"]
    batch_mb = 64 * macs / 1e6 * batch / 1000
    return _Sizes(parameters, macs, theta_mb, data_mb, batch_mb, len(kept_epochs(config, run)))


def trajectory_cost(config: dict, run: str) -> Cost:
    """Return the cost of a training run."""
    size, recipe = _sizes(config, run), run_recipe(config, run)
    train, _ = sample_counts(config, run)
    measured = size.snapshots * _measured_samples(config, run)
    images = recipe["epochs"] * train * TRAINING_PASSES + measured
    calls = _training_calls(recipe["epochs"], train, recipe["batch_size"], measured)
    return Cost(images * size.macs, _memory(size), size.snapshots * size.theta_mb, calls)


def _memory(size: _Sizes) -> int:
    """Return the memory of a job that trains or measures snapshots."""
    return int(BASE_MB + TORCH_MB + 6 * size.theta_mb + size.data_mb + size.batch_mb)


def import_cost(config: dict, run: str) -> Cost:
    """Return the cost of importing a run: its snapshots are measured, one after the other."""
    size = _sizes(config, run)
    images = size.snapshots * _measured_samples(config, run)
    disk = size.snapshots * size.theta_mb
    return Cost(images * size.macs, _memory(size), disk, images / MEASURED_IMAGES)


def basis_cost(config: dict, name: str) -> Cost:
    """Return the cost of a plane."""
    entry = config["bases"][name]
    size, axes = _sizes(config, entry["run"]), 2 * len(entry.get("seeds", [0]))
    points = 8 * ("through" in entry)  # two displacements in float64, and the points
    memory = BASE_MB + STREAM_MB + (4 * axes + 2 + points) * size.theta_mb
    return Cost(2.0 * size.snapshots**2 * size.parameters, int(memory), (axes + 1) * size.theta_mb)


def grid_cost(config: dict, name: str) -> Cost:
    """Return the cost of a landscape."""
    entry = config["grids"][name]
    points = entry.get("resolution", config["grid"]["resolution"]) ** 2
    return _evaluation_cost(config, entry, run_of_grid(config, name), lambda snapshots: points)


def projection_cost(config: dict, name: str) -> Cost:
    """Return the cost of a projection."""
    entry = config["projections"][name]
    planes = len(config["bases"][entry["basis"]].get("seeds", [0]))
    run = run_of_projection(config, name)
    return _evaluation_cost(config, entry, run, lambda snapshots: snapshots * (1 + 2 * planes))


def ring_cost(config: dict, name: str) -> Cost:
    """Return the cost of a ring: its points, the center, the last snapshot, the gradient."""
    entry = config["rings"][name]
    planes = len(config["bases"][entry["basis"]].get("seeds", [0]))
    points = planes * (config["ring"]["points"] + 1) + 1 + TRAINING_PASSES
    return _evaluation_cost(config, entry, run_of_ring(config, name), lambda snapshots: points)


def line_cost(config: dict, name: str) -> Cost:
    """Return the cost of a line: its points, over training and over at most as many test images."""
    entry = config["lines"][name]
    points = 2 * entry.get("resolution", config["line"]["resolution"])
    return _evaluation_cost(config, entry, run_of_line(config, name), lambda snapshots: points)


def curvature_cost(config: dict, name: str) -> Cost:
    """Return the cost of a curvature: products with the Hessian, and Lanczos vectors in float64."""
    entry = curvature_of(config, name)
    products = EIGENPAIR_PRODUCTS + entry["eigenvalues"]
    products += 2 * entry["probes"] + entry["quadratures"] * entry["steps"]
    size = _sizes(config, entry["run"])
    found = _passes_cost(config, size, PRODUCT_PASSES * products + TRAINING_PASSES + 1)
    vectors = 2 * (max(entry["steps"], 2 * entry["eigenvalues"] + 1, LANCZOS_VECTORS) + 4)
    memory = int(found.memory_mb + vectors * size.theta_mb + size.batch_mb)
    return replace(found, memory_mb=memory, disk_mb=1.0 + entry["eigenvalues"] * size.theta_mb)


def _evaluation_cost(config: dict, entry: dict, run: str, count: Callable[[int], int]) -> Cost:
    size = _sizes(config, run)
    passes = 2 if statistics_of(config, entry) == "recalibrate" else 1
    return _passes_cost(config, size, passes * count(size.snapshots))


def _passes_cost(config: dict, size: _Sizes, passes: int) -> Cost:
    """Return the cost of so many passes of the evaluation subset."""
    memory = BASE_MB + TORCH_MB + 12 * size.theta_mb + size.data_mb + size.batch_mb / 4
    images, batch = config["evaluation"]["images"], config["evaluation"]["batch"]
    return Cost(passes * images * size.macs, int(memory), 1.0, passes * ceil(images / batch))
