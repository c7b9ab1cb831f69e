"""Span a plane by the leading eigenvectors of a Hessian (rule hessian_basis)."""

from lossmap import logs
from lossmap.artifacts.curvature import Curvature
from lossmap.artifacts.store import begin_job, load_part, save, stream
from lossmap.artifacts.trajectory import Trajectory, find_snapshot, load_layouts
from lossmap.geometry.plane import fit_basis

logs.start(snakemake.log[0])
provenance = begin_job(snakemake.params, snakemake.input, snakemake.output)
spec = provenance.parameters()
layout, _ = load_layouts(snakemake.input.trajectory)
spec["eigenvectors"] = load_part(snakemake.input.curvature, Curvature, "eigenvectors")

with stream(snakemake.input.trajectory, Trajectory) as run:
    epochs = run["epochs"][()]
    center = find_snapshot(epochs, spec["center_epoch"], snakemake.input.trajectory)
    basis = fit_basis(run["thetas"], epochs, center, layout, spec)
save(snakemake.output[0], basis, provenance)
