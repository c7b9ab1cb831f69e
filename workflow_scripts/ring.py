"""Evaluate one ring around a center, and the gradient there (rule ring)."""

from lossmap import logs
from lossmap.artifacts.basis import Basis
from lossmap.artifacts.store import begin_job, load, read_provenance, save
from lossmap.devices import lease_device
from lossmap.network.arithmetic import fix_arithmetic
from lossmap.network.own_task import load_data
from lossmap.network.ring import measure_ring
from lossmap.network.surface import open_surface

log = logs.start(snakemake.log[0])
provenance = begin_job(snakemake.params, snakemake.input, snakemake.output)
spec = provenance.parameters()
made = read_provenance(snakemake.input.trajectory).parameters()
basis = load(snakemake.input.basis, Basis)

with lease_device(snakemake.resources.device, snakemake.resources.jobs_per_gpu) as device:
    fix_arithmetic(snakemake.threads, device, snakemake.resources.cuda_graphs)
    data = load_data(snakemake.input.dataset, made)
    surface = open_surface(snakemake.input.trajectory, data, basis, spec, device)
    ring = measure_ring(surface, basis, spec["radius"], spec["points"], log)
save(snakemake.output[0], ring, provenance)
