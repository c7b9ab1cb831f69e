"""Write the page of a scale (rule page)."""

import json

from lossmap import logs
from lossmap.page.render import save_index

logs.start(snakemake.log[0])
save_index(snakemake.output[0], json.loads(snakemake.params.plan), snakemake.params.captions)
