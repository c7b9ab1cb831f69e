"""Film one animation and keep what it draws (rule animation)."""

from pathlib import Path

from lossmap import logs
from lossmap.artifacts.figure import Animation, save_panels
from lossmap.artifacts.store import begin_job, name_of
from lossmap.figures.animation import write_animation
from lossmap.figures.collect import collect_panels

logs.start(snakemake.log[0])
provenance = begin_job(snakemake.params, snakemake.input, snakemake.output)
spec = provenance.parameters()
movie = Path(snakemake.output.movie).suffix.removeprefix(".")

panels = collect_panels(spec, {name_of(path): path for path in snakemake.input})
write_animation(spec, panels, snakemake.output.movie, movie)
save_panels(snakemake.output.data, Animation, panels, provenance)
