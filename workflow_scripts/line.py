"""Evaluate loss and accuracy along one line (rule line)."""

from pathlib import Path

from lossmap import logs
from lossmap.artifacts.store import begin_job, name_of, save
from lossmap.devices import lease_device
from lossmap.network.arithmetic import fix_arithmetic
from lossmap.network.line import evaluate_line, open_line

log = logs.start(snakemake.log[0])
provenance = begin_job(snakemake.params, snakemake.input, snakemake.output)
sources = {name_of(path): Path(path) for path in snakemake.input}

with lease_device(snakemake.resources.device, snakemake.resources.jobs_per_gpu) as device:
    fix_arithmetic(snakemake.threads, device, snakemake.resources.cuda_graphs)
    line = evaluate_line(*open_line(sources, provenance.parameters(), device))
log.info("%d points, barrier %.4g", len(line.positions), line.barrier)
save(snakemake.output[0], line, provenance)
