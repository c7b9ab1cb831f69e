"""Join the ledgers of the papers (rule joined_ledger)."""

from lossmap import logs
from lossmap.artifacts.store import trace_provenance
from lossmap.claims.ledger import load_claims, save_claims

logs.start(snakemake.log[0])
provenance = trace_provenance(snakemake.params.spec, snakemake.params.code, snakemake.input)

rows = [claim for path in snakemake.input for claim in load_claims(path)]
save_claims(snakemake.output.data, snakemake.output.csv, rows, provenance)
