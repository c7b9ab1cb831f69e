"""What a scale will need, as a table that a person reads before starting it."""

from collections.abc import Mapping

from lossmap.workflow.configuration import task_of, trained_runs
from lossmap.workflow.costs import START_SECONDS
from lossmap.workflow.schedule import CPU_JOBS, Job, collect_jobs, longest_chain, simulate
from lossmap.workflow.specs import network_spec
from lossmap.workflow.stages import STAGES, cost_of
from lossmap.workflow.targets import all_targets


def estimate_spec(config: dict) -> dict:
    """Return the cost of every stage of a scale, and the network that throughput is measured with.

    Each stage has ``jobs``, ``flop`` (two per multiply-add), ``other_seconds`` (starting its jobs,
    and what is no multiply-add), ``gpu_seconds`` of all its jobs, ``memory_mb`` of its largest job
    and ``disk_mb`` of all its artifacts. ``wall_seconds`` are of the whole scale, by the number of
    GPUs.
    """
    jobs = collect_jobs(config)
    stages = {stage: _stage_cost(config, stage, jobs) for stage in STAGES}
    path = longest_chain(jobs)
    run = next(run for run in trained_runs(config) if not task_of(config, run))
    network = network_spec(config, run) | {"classes": 10, "channels": 3}
    recipe = config["recipes"][config["runs"][run]["recipe"]]
    return {
        "scale": config["scale"],
        "order": list(stages),
        "stages": stages,
        "network": network,
        "batch": recipe["batch_size"],
        "gpu": config["resources"]["gpu"],
        "gpu_gflops": config["resources"]["gpu_gflops"],
        "gpu_call_ms": config["resources"]["gpu_call_ms"],
        "wall_seconds": {n: simulate(jobs, n) for n in (1, config["resources"]["gpus"])},
        "chain": path,
        "chain_seconds": sum(jobs[key].seconds for key in path),
    }


def _stage_cost(config: dict, stage: str, jobs: Mapping[str, Job]) -> dict:
    targets = [target.split("/", 1) for target in all_targets(config)]
    names = [name for other, name in targets if other == stage]
    costs = [cost_of(config, stage, name) for name in names]
    found = [job for key, job in jobs.items() if key.startswith(f"{stage}/")]
    return {
        "jobs": len(found),
        "trains": any(maker.resume_spec for maker in STAGES[stage].makers),
        "flop": 2.0 * sum(cost.macs for cost in costs),
        "other_seconds": START_SECONDS * len(found) + sum(cost.seconds for cost in costs),
        "gpu_seconds": sum(job.seconds for job in found if job.gpu),
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
    for stage in spec["order"]:
        cost = spec["stages"][stage]
        rate = measured["training" if cost["trains"] else "evaluation"]
        hours = (cost["flop"] / rate + cost["other_seconds"]) / 3600
        gpu_hours = cost["gpu_seconds"] / 3600
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
        *_describe_rates(spec),
        *_describe_walls(spec),
    ]
    return "\n".join(lines)


def _describe_rates(spec: dict) -> list[str]:
    """Return what the GPU-hours rest on: measured rates, and what is assumed besides."""
    found = []
    for kind, rates in spec["gpu_gflops"].items():
        known = ", ".join(f"{name} {rate:g}" for name, rate in rates.items() if name != "other")
        found.append(
            f"GPU-hours, {kind}: GFLOP/s measured on one {spec['gpu']} in float32: {known}; "
            f"assumed of other networks: {rates['other']:g} (resources.gpu_gflops)"
        )
    return [*found, f"and {spec['gpu_call_ms']:g} ms at least for each pass of a batch"]


def _describe_walls(spec: dict) -> list[str]:
    gpu = sum(cost["gpu_seconds"] for cost in spec["stages"].values())
    found = [
        f"{int(count):>3} GPU{'s' if int(count) > 1 else ' '}: {seconds / 3600:.1f} hours, "
        f"{100 * gpu / (int(count) * seconds):.0f} % of the GPUs' time in use"
        for count, seconds in spec["wall_seconds"].items()
    ]
    return [
        *found,
        f"no number of GPUs takes less than {spec['chain_seconds'] / 3600:.1f} hours: "
        + " > ".join(spec["chain"]),
        f"one job per GPU and {CPU_JOBS} others beside it, long chains first; no waiting in queues",
    ]
