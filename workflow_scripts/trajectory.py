"""Train one run and keep its snapshots (rule trajectory)."""

from lossmap import logs
from lossmap.artifacts.store import begin_job
from lossmap.devices import lease_device
from lossmap.network.arithmetic import fix_arithmetic
from lossmap.network.own_task import load_data
from lossmap.network.training import train_run

log = logs.start(snakemake.log[0])
provenance = begin_job(snakemake.params, snakemake.input, snakemake.output)
spec = provenance.parameters()

with lease_device(snakemake.resources.device, snakemake.resources.jobs_per_gpu) as device:
    fix_arithmetic(snakemake.threads, device, snakemake.resources.cuda_graphs)
    log.info("on %s, %d threads", device, snakemake.threads)
    data = load_data(snakemake.input.dataset, spec)
    train_run(data, spec, device, snakemake.output[0], provenance, log)
