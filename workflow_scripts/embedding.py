"""Embed one cloud in two dimensions by one technique (rule embedding)."""

from lossmap import logs
from lossmap.artifacts.distance import Cloud
from lossmap.artifacts.store import begin_job, load
from lossmap.embedding.embed import save_embedding

logs.start(snakemake.log[0])
provenance = begin_job(snakemake.params, snakemake.input, snakemake.output)

cloud = load(snakemake.input[0], Cloud)
save_embedding(cloud, snakemake.output[0], provenance)
