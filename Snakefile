# Every figure and table of two papers on loss landscapes, from raw images. See README.md.
from snakemake.utils import min_version

min_version("9.0")


report: "rules/captions/workflow.rst"


include: "rules/common.smk"
include: "rules/dataset.smk"
include: "rules/trajectory.smk"
include: "rules/basis.smk"
include: "rules/grid.smk"
include: "rules/projection.smk"
include: "rules/jumps.smk"
include: "rules/distance.smk"
include: "rules/embedding.smk"
include: "rules/figure.smk"
include: "rules/animation.smk"
include: "rules/table.smk"
include: "rules/claims.smk"
include: "rules/estimate.smk"


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
