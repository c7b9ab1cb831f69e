"""Embed one cloud in two dimensions by every technique that is asked for (rule embedding)."""

from lossmap import logs
from lossmap.artifacts.distance import load_distance
from lossmap.artifacts.store import begin_job
from lossmap.embedding import save_embeddings

logs.start(snakemake.log[0])
provenance = begin_job(snakemake.params, snakemake.input, snakemake.output)

cloud = load_distance(snakemake.input[0])
save_embeddings(cloud, provenance.split(snakemake.output))
