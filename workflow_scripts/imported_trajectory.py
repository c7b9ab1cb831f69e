"""Import one run from checkpoints of somebody's own training (rule imported_trajectory)."""

from functools import partial
from pathlib import Path

from lossmap import logs
from lossmap.artifacts.checkpoints import label_of
from lossmap.artifacts.store import begin_job, check_inputs
from lossmap.devices import lease_device
from lossmap.network.arithmetic import fix_arithmetic
from lossmap.network.importing import import_run
from lossmap.network.own_task import load_data

log = logs.start(snakemake.log[0])
provenance = begin_job(snakemake.params, snakemake.input, snakemake.output)
files = {label_of(path): Path(path) for path in snakemake.input.checkpoints}

with lease_device(snakemake.resources.device, snakemake.resources.jobs_per_gpu) as device:
    fix_arithmetic(snakemake.threads, device, snakemake.resources.cuda_graphs)
    data = load_data(snakemake.input.dataset, provenance.parameters())
    check = partial(check_inputs, snakemake.input, snakemake.output, provenance)
    import_run(data, files, device, snakemake.output[0], provenance, log, check)
