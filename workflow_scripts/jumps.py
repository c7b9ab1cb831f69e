"""Jump away from one minimum and retrain, in one or more directions (rule jumps)."""

from lossmap import logs
from lossmap.artifacts.store import begin_job
from lossmap.devices import lease_device
from lossmap.network.arithmetic import fix_arithmetic
from lossmap.network.jumps import jump_and_retrain, load_minimum
from lossmap.network.own_task import load_data

log = logs.start(snakemake.log[0])
provenance = begin_job(snakemake.params, snakemake.input, snakemake.output)
made = provenance.split(snakemake.output)
minimum = load_minimum(snakemake.input.trajectory)
spec = next(iter(made.values())).parameters()

with lease_device(snakemake.resources.device, snakemake.resources.jobs_per_gpu) as device:
    fix_arithmetic(snakemake.threads, device, snakemake.resources.cuda_graphs)
    log.info("on %s, %d threads", device, snakemake.threads)
    data = load_data(snakemake.input.dataset, spec)
    jump_and_retrain(data, minimum, made, device, log)
