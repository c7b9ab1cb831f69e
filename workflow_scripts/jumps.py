"""Jump away from one minimum and retrain, in one or more directions (rule jumps)."""

from lossmap import logs
from lossmap.artifacts.dataset import Dataset
from lossmap.artifacts.store import begin_job, load
from lossmap.devices import lease_device
from lossmap.network.arithmetic import fix_arithmetic
from lossmap.network.jumps import jump_and_retrain, load_minimum

log = logs.start(snakemake.log[0])
provenance = begin_job(snakemake.params, snakemake.input, snakemake.output)
made = provenance.split(snakemake.output)
images, minimum = load(snakemake.input.dataset, Dataset), load_minimum(snakemake.input.trajectory)

with lease_device(snakemake.resources.device, snakemake.resources.jobs_per_gpu) as device:
    fix_arithmetic(snakemake.threads, device, snakemake.resources.cuda_graphs)
    log.info("on %s, %d threads", device, snakemake.threads)
    jump_and_retrain(images, minimum, made, device, log)
