"""Join the ledgers of the papers (rule joined_ledger)."""

from pathlib import Path

from lossmap import logs
from lossmap.artifacts.claims import load_claims, save_claims
from lossmap.artifacts.store import begin_job
from lossmap.claims.page import save_page

logs.start(snakemake.log[0])
provenance = begin_job(snakemake.params, snakemake.input, snakemake.output)

papers = {Path(path).stem: load_claims(path) for path in snakemake.input}
rows = [claim for claims in papers.values() for claim in claims]
save_page(snakemake.output.page, papers)
save_claims(snakemake.output.data, snakemake.output.csv, rows, provenance)
