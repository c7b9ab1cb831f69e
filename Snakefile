# Every figure and table of two papers on loss landscapes, from raw images. See README.md.
from snakemake.utils import min_version

min_version("9.27")  # whose undocumented names workflow/engine.py uses


report: "rules/captions/workflow.rst"


include: "rules/common.smk"
include: "rules/estimate.smk"
include: "rules/page.smk"


for _, maker in all_makers():

    include: maker.rule_file


# `all` is first and the default. Every figure and table is a target of its own, and so is every paper:
# the name up to the underscore.
for target, members in whole_targets(config).items():

    rule:
        name:
            target
        default_target: target == "all"
        input:
            paths(members),
        localrule: True
        message:
            f"{target}: complete"
