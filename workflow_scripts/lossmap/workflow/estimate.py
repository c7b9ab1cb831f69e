"""What a scale will need, as a table that a person reads before starting it."""

from collections.abc import Mapping

from lossmap.workflow.costs import measure_cost
from lossmap.workflow.specs import embedding_packs, jump_packs, names_of, network_spec

STAGES = ("dataset", "trajectory", "basis", "grid", "projection", "jumps", "distance", "embedding")
TRAINING = ("trajectory", "jumps")


def estimate_spec(config: dict) -> dict:
    """Return the cost of every stage of a scale, and the network that throughput is measured with.

    Each stage has ``jobs``, ``flop`` (two per multiply-add), ``memory_mb`` of its largest job and
    ``disk_mb`` of all its artifacts.
    """
    stages = {stage: _stage_cost(config, stage) for stage in STAGES}
    run = next(iter(config["runs"]))
    network = network_spec(config, run) | {"classes": 10, "channels": 3}
    recipe = config["recipes"][config["runs"][run]["recipe"]]
    return {
        "scale": config["scale"],
        "stages": stages,
        "network": network,
        "batch": recipe["batch_size"],
        "gpu_gflops": config["resources"]["gpu_gflops"],
    }


def _stage_cost(config: dict, stage: str) -> dict:
    costs = [measure_cost(config, stage, name) for name in names_of(config, stage)]
    jobs = {"jumps": len(jump_packs(config)), "embedding": len(embedding_packs(config))}
    return {
        "jobs": jobs.get(stage, len(costs)),
        "flop": 2.0 * sum(cost.macs for cost in costs),
        "memory_mb": max((cost.memory_mb for cost in costs), default=0),
        "disk_mb": sum(cost.disk_mb for cost in costs),
    }


def describe_estimate(spec: dict, measured: Mapping[str, float], device: str, threads: int) -> str:
    """Return the table.

    Parameters
    ----------
    spec : of `estimate_spec`
    measured : operations per second of ``training`` and ``evaluation`` on this device
    device, threads : on which they were measured
    """
    lines = [
        f"scale {spec['scale']}: an estimate, not a measurement",
        f"{'stage':<11}{'jobs':>5}{'PFLOP':>11}{'hours here':>12}{'GPU-hours':>11}"
        f"{'memory':>10}{'disk':>10}",
    ]
    here = gpu = 0.0
    for stage in STAGES:
        cost = spec["stages"][stage]
        rate = measured["training" if stage in TRAINING else "evaluation"]
        hours = cost["flop"] / rate / 3600
        gpu_hours = cost["flop"] / (1e9 * spec["gpu_gflops"]) / 3600
        here, gpu = here + hours, gpu + gpu_hours
        lines.append(
            f"{stage:<11}{cost['jobs']:>5}{cost['flop'] / 1e15:>11.4f}{hours:>12.2f}"
            f"{gpu_hours:>11.2f}{cost['memory_mb'] / 1024:>8.1f} G{cost['disk_mb'] / 1024:>8.2f} G"
        )
    disk = sum(cost["disk_mb"] for cost in spec["stages"].values()) / 1024
    memory = max(cost["memory_mb"] for cost in spec["stages"].values()) / 1024
    lines += [
        f"{'total':<16}{'':>11}{here:>12.2f}{gpu:>11.2f}{memory:>8.1f} G{disk:>8.2f} G",
        f"hours here: one job at a time on this {device} ({threads} threads), at the measured "
        f"{measured['training'] / 1e9:.1f} GFLOP/s training and "
        f"{measured['evaluation'] / 1e9:.1f} GFLOP/s evaluating {spec['network']['factory']}",
        f"GPU-hours: assume resources.gpu_gflops = {spec['gpu_gflops']:g} GFLOP/s sustained on one "
        "GPU; networks narrower than the paper's reach less",
    ]
    return "\n".join(lines)
