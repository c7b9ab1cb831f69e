"""Measure the topology of a landscape or of a cloud (rule topology)."""

from pathlib import Path

from lossmap import logs
from lossmap.artifacts.store import begin_job, save
from lossmap.topology import measure_topology

logs.start(snakemake.log[0])
provenance = begin_job(snakemake.params, snakemake.input, snakemake.output)

topology = measure_topology(Path(snakemake.input[0]), provenance.parameters())
save(snakemake.output[0], topology, provenance)
