"""Tabulate the Fitting Errors (rule table)."""

from lossmap import logs
from lossmap.artifacts.figure import Table, save_panels
from lossmap.artifacts.store import begin_job, name_of
from lossmap.tables import save_page, save_table, table_panels, tabulate_fitting_errors

logs.start(snakemake.log[0])
provenance = begin_job(snakemake.params, snakemake.input, snakemake.output)
spec = provenance.parameters()

frame = tabulate_fitting_errors(spec, {name_of(path): path for path in snakemake.input})
save_table(frame, snakemake.output.csv, snakemake.output.tex)
save_page(frame, spec["table"], snakemake.output.page)
save_panels(snakemake.output.data, Table, table_panels(frame), provenance)
