"""Train one run and keep its snapshots (rule trajectory)."""

from lossmap import logs
from lossmap.artifacts.dataset import Dataset
from lossmap.artifacts.store import begin_job, load
from lossmap.devices import lease_device
from lossmap.network.arithmetic import fix_arithmetic
from lossmap.network.training import train_run

log = logs.start(snakemake.log[0])
provenance = begin_job(snakemake.params, snakemake.input, snakemake.output)
images = load(snakemake.input.dataset, Dataset)

with lease_device(snakemake.resources.device, snakemake.resources.jobs_per_gpu) as device:
    fix_arithmetic(snakemake.threads, device, snakemake.resources.cuda_graphs)
    log.info("on %s, %d threads", device, snakemake.threads)
    train_run(images, provenance.parameters(), device, snakemake.output[0], provenance, log)
