"""Measure the curvature of the loss at one snapshot (rule curvature)."""

from lossmap import logs
from lossmap.artifacts.store import begin_job, read_provenance, save
from lossmap.devices import lease_device
from lossmap.network.arithmetic import fix_arithmetic
from lossmap.network.curvature import measure_curvature
from lossmap.network.own_task import load_data
from lossmap.network.surface import open_surface_at

log = logs.start(snakemake.log[0])
provenance = begin_job(snakemake.params, snakemake.input, snakemake.output)
spec = provenance.parameters()
epoch = spec["center_epoch"]
made = read_provenance(snakemake.input.trajectory).parameters()

with lease_device(snakemake.resources.device, snakemake.resources.jobs_per_gpu) as device:
    fix_arithmetic(snakemake.threads, device, snakemake.resources.cuda_graphs)
    data = load_data(snakemake.input.dataset, made)
    surface = open_surface_at(snakemake.input.trajectory, data, epoch, spec, device)
    curvature = measure_curvature(surface, epoch, spec, log)
save(snakemake.output[0], curvature, provenance)
