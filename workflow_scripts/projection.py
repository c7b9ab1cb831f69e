"""See one run in the planes of a basis and measure the Fitting Error (rule projection)."""

from lossmap import logs
from lossmap.artifacts.basis import Basis
from lossmap.artifacts.store import begin_job, load, read_provenance, save, stream
from lossmap.artifacts.trajectory import Trajectory
from lossmap.devices import lease_device
from lossmap.network.arithmetic import fix_arithmetic
from lossmap.network.own_task import load_data
from lossmap.network.surface import open_surface, project_trajectory

log = logs.start(snakemake.log[0])
provenance = begin_job(snakemake.params, snakemake.input, snakemake.output)
spec = provenance.parameters()
made = read_provenance(snakemake.input.trajectory).parameters()
basis = load(snakemake.input.basis, Basis)

with lease_device(snakemake.resources.device, snakemake.resources.jobs_per_gpu) as device:
    fix_arithmetic(snakemake.threads, device, snakemake.resources.cuda_graphs)
    data = load_data(snakemake.input.dataset, made)
    surface = open_surface(snakemake.input.trajectory, data, basis, spec, device)
    with stream(snakemake.input.trajectory, Trajectory) as run:
        snapshots = run["thetas"], run["buffers"]
        projection = project_trajectory(surface, basis, *snapshots, log, run.get("other_buffers"))
save(snakemake.output[0], projection, provenance)
