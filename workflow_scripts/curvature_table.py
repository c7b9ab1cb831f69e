"""Tabulate the curvature of minima (rule curvature_table)."""

from lossmap import logs
from lossmap.artifacts.figure import Table, save_panels
from lossmap.artifacts.store import begin_job, name_of
from lossmap.curvature_table import render_latex, render_page, tabulate_curvatures
from lossmap.tables import save_page, save_table, table_panels

logs.start(snakemake.log[0])
provenance = begin_job(snakemake.params, snakemake.input, snakemake.output)
spec = provenance.parameters()

frame = tabulate_curvatures(spec, {name_of(path): path for path in snakemake.input})
save_table(frame, snakemake.output.csv, snakemake.output.tex, render_latex)
save_page(frame, spec["table"], snakemake.output.page, render_page)
save_panels(snakemake.output.data, Table, table_panels(frame), provenance)
