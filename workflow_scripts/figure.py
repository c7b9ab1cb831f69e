"""Draw one figure and keep what it draws (rule figure)."""

from lossmap import logs
from lossmap.artifacts.figure import FIGURE, save_panels
from lossmap.artifacts.store import name_of, trace_provenance
from lossmap.figures.compose import draw_figure
from lossmap.figures.panels import collect_panels
from lossmap.figures.style import save_figure

logs.start(snakemake.log[0])
provenance = trace_provenance(snakemake.params.spec, snakemake.params.code, snakemake.input)
spec = provenance.parameters()

panels = collect_panels(spec, {name_of(path): path for path in snakemake.input})
save_figure(draw_figure(spec, panels), snakemake.output.pdf, snakemake.output.png)
save_panels(snakemake.output.data, FIGURE, panels, provenance)
