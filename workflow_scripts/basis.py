"""Fit or draw the planes of one basis (rule basis)."""

from lossmap import logs
from lossmap.artifacts.basis import save_basis
from lossmap.artifacts.store import begin_job
from lossmap.artifacts.trajectory import find_snapshot, load_layouts, open_trajectory
from lossmap.geometry.plane import fit_basis

logs.start(snakemake.log[0])
provenance = begin_job(snakemake.params, snakemake.input, snakemake.output)
spec = provenance.parameters()
layout, _ = load_layouts(snakemake.input.trajectory)

with open_trajectory(snakemake.input.trajectory) as run:
    epochs = run["epochs"][()]
    center = find_snapshot(epochs, spec["center_epoch"], snakemake.input.trajectory)
    basis = fit_basis(run["thetas"], epochs, center, layout, spec)
save_basis(snakemake.output[0], basis, provenance)
