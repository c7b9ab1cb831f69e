"""Make one data set from its source (rule dataset)."""

from lossmap import logs
from lossmap.artifacts.store import begin_job, check_inputs, save
from lossmap.network.data import describe_source, make_dataset

log = logs.start(snakemake.log[0])
provenance = begin_job(snakemake.params, snakemake.input, snakemake.output)
file = next(iter(snakemake.input), None)
source = provenance.parameters(), file, snakemake.resources.data_dir

log.info("%s", describe_source(*source))
dataset = make_dataset(*source)
check_inputs(snakemake.input, snakemake.output, provenance)
save(snakemake.output[0], dataset, provenance)
