"""Join the ledgers of the papers (rule joined_ledger)."""

from pathlib import Path

from lossmap import logs
from lossmap.artifacts.store import trace_provenance
from lossmap.claims.ledger import load_claims, save_claims
from lossmap.claims.page import save_page

logs.start(snakemake.log[0])
provenance = trace_provenance(snakemake.params.spec, snakemake.params.code, snakemake.input)

papers = {Path(path).stem: load_claims(path) for path in snakemake.input}
rows = [claim for claims in papers.values() for claim in claims]
save_page(snakemake.output.page, papers)
save_claims(snakemake.output.data, snakemake.output.csv, rows, provenance)
