"""Measure the claims of one paper (rule ledger)."""

from pathlib import Path

from lossmap import logs
from lossmap.artifacts.claims import save_claims
from lossmap.artifacts.store import begin_job, name_of
from lossmap.claims.page import save_page
from lossmap.claims.papers import measure_claims

log = logs.start(snakemake.log[0])
provenance = begin_job(snakemake.params, snakemake.input, snakemake.output)
spec = provenance.parameters()

claims = measure_claims(spec, {name_of(path): path for path in snakemake.input})
for claim in claims:
    log.info("%s: %.4g (%s)", claim.id, claim.value, claim.verdict)
save_page(snakemake.output.page, {Path(snakemake.output.page).stem: claims})
save_claims(snakemake.output.data, snakemake.output.csv, claims, provenance)
