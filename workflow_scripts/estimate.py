"""Say what a scale will need before it is started (rule estimate)."""

import json

from lossmap import logs
from lossmap.devices import lease_device
from lossmap.network.arithmetic import fix_arithmetic
from lossmap.network.throughput import measure_throughput
from lossmap.workflow.estimate import describe_estimate

log = logs.start(snakemake.log[0])
spec = json.loads(snakemake.params.spec)

with lease_device(snakemake.resources.device, snakemake.resources.jobs_per_gpu) as device:
    fix_arithmetic(snakemake.threads, device)
    measured = measure_throughput(spec["network"], spec["batch"], device)
print(describe_estimate(spec, measured, device, snakemake.threads))
