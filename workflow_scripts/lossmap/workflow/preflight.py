"""What every run of the user's own is, in one line each, before any job: no silent surprise.

Tells it from the configuration and from the heads of files; nothing of the user's is executed.
"""

from lossmap.artifacts.dataset import shape_of_images
from lossmap.workflow.configuration import (
    CIFAR_FILES,
    is_imported,
    kept_epochs,
    run_recipe,
    task_of,
)
from lossmap.workflow.costs import network_size
from lossmap.workflow.specs import dataset_file, network_spec


def describe_run(config: dict, run: str) -> str:
    """Return network, data, training and what its landscapes are evaluated on."""
    task = task_of(config, run)
    what = _describe_task(config, run, task) if task else _describe_images(config, run)
    return f"own run {run}: " + ", ".join(what)


def _describe_task(config: dict, run: str, task: dict) -> list[str]:
    count = task.get("batches")
    shown = f"{count} of its training batches" if count else "all its training batches"
    return [f"task {task['factory']}", _describe_origin(config, run), f"landscape on {shown}"]


def _describe_images(config: dict, run: str) -> list[str]:
    images = _describe_data(config, config["runs"][run]["dataset"])
    trained = [] if is_imported(config, run) else [_describe_augmentation(config, run)]
    return [
        _describe_network(config, run),
        _describe_origin(config, run),
        images,
        *trained,
        f"landscape on {config['evaluation']['images']:,} of them",
    ]


def _describe_origin(config: dict, run: str) -> str:
    if is_imported(config, run):
        return f"{len(kept_epochs(config, run))} checkpoints"
    return f"{run_recipe(config, run)['epochs']} epochs of recipe {config['runs'][run]['recipe']}"


def _describe_network(config: dict, run: str) -> str:
    spec, known = network_spec(config, run), config["networks"]
    size = known.get(config["runs"][run]["network"], {}).get("parameters")
    factory, width = spec["factory"], spec.get("width", 1.0)
    narrowed = f" at width {width:g}" if width != 1.0 else ""
    if size is None or "arguments" in spec:
        return f"network {factory}{narrowed}"
    return f"network about {network_size(config, run)[0]:,} parameters ({factory}{narrowed})"


def _describe_data(config: dict, name: str) -> str:
    entry, file = config["datasets"][name], dataset_file(config, name)
    shape = shape_of_images(file) if file else None
    if shape is None and entry["source"] in CIFAR_FILES:
        shape = (50000, 32, 32, 3)
    count = entry.get("train") or (shape and shape[0])
    many = f"{count:,} " if count else ""
    pixels = f" {'x'.join(map(str, shape[1:]))}" if shape else ""
    alone = ", no test images" if shape and file and shape_of_images(file, "test") is None else ""
    return f"{many}training images{pixels} of {name}{alone}"


def _describe_augmentation(config: dict, run: str) -> str:
    said = run_recipe(config, run)["augmentation"]
    words = {
        "flip": "flips",
        "crop_padding": f"crops of {said['crop_padding']} pixels",
        "rotation": f"rotations to {said['rotation']:g} degrees",
        "color_jitter": "color jitter",
    }
    return " and ".join(words[kind] for kind in words if said[kind]) or "no augmentation"
