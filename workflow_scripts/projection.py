"""See one run in the planes of a basis and measure the Fitting Error (rule projection)."""

from lossmap import logs
from lossmap.artifacts.basis import load_basis
from lossmap.artifacts.dataset import load_dataset
from lossmap.artifacts.projection import save_projection
from lossmap.artifacts.store import begin_job
from lossmap.artifacts.trajectory import open_trajectory
from lossmap.devices import lease_device
from lossmap.network.arithmetic import fix_arithmetic
from lossmap.network.surface import open_surface, project_trajectory

log = logs.start(snakemake.log[0])
provenance = begin_job(snakemake.params, snakemake.input, snakemake.output)
spec = provenance.parameters()
basis = load_basis(snakemake.input.basis)

with lease_device(snakemake.resources.device, snakemake.resources.jobs_per_gpu) as device:
    fix_arithmetic(snakemake.threads, device, snakemake.resources.cuda_graphs)
    images = load_dataset(snakemake.input.dataset)
    surface = open_surface(snakemake.input.trajectory, images, basis, spec, device)
    with open_trajectory(snakemake.input.trajectory) as run:
        projection = project_trajectory(surface, basis, run["thetas"], run["buffers"], log)
save_projection(snakemake.output[0], projection, provenance)
