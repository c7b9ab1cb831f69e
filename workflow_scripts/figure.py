"""Draw one figure and keep what it draws (rule figure)."""

from lossmap import logs
from lossmap.artifacts.figure import Figure, save_panels
from lossmap.artifacts.store import begin_job, name_of
from lossmap.figures.collect import collect_panels
from lossmap.figures.compose import draw_figure
from lossmap.figures.style import save_figure

logs.start(snakemake.log[0])
provenance = begin_job(snakemake.params, snakemake.input, snakemake.output)
spec = provenance.parameters()

panels = collect_panels(spec, {name_of(path): path for path in snakemake.input})
save_figure(draw_figure(spec, panels), snakemake.output.pdf, snakemake.output.png)
save_panels(snakemake.output.data, Figure, panels, provenance)
