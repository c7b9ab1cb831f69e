"""Measure the exact pairwise geometry of one cloud of weight vectors (rule distance)."""

from pathlib import Path

from lossmap import logs
from lossmap.artifacts.store import begin_job, name_of, save
from lossmap.clouds import measure_cloud

logs.start(snakemake.log[0])
provenance = begin_job(snakemake.params, snakemake.input, snakemake.output)

sources = {name_of(path): Path(path) for path in snakemake.input}
cloud = measure_cloud(provenance.parameters(), sources)
save(snakemake.output[0], cloud, provenance)
