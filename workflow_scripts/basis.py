"""Fit or draw the planes of one basis, or lay one through points (rule basis)."""

from pathlib import Path

from lossmap import logs
from lossmap.artifacts.store import begin_job, name_of, save, stream
from lossmap.artifacts.trajectory import Trajectory, find_snapshot, load_layouts, load_points
from lossmap.geometry.plane import fit_basis

logs.start(snakemake.log[0])
provenance = begin_job(snakemake.params, snakemake.input, snakemake.output)
spec = provenance.parameters()
sources = {name_of(path): Path(path) for path in snakemake.input}
layout, _ = load_layouts(snakemake.input[0])
others = load_points(sources, spec.get("through", []), layout)

with stream(snakemake.input[0], Trajectory) as run:
    epochs = run["epochs"][()]
    center = find_snapshot(epochs, spec["center_epoch"], snakemake.input[0])
    basis = fit_basis(run["thetas"], epochs, center, layout, spec | {"through": others})
save(snakemake.output[0], basis, provenance)
