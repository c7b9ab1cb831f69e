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


localrules:
    all,
    figures,
    tables,
    claims,


rule all:
    default_target: True
    input:
        paths(all_targets(config)),


rule figures:
    input:
        paths(closure(config, [f"figure/{name}" for name in config["figures"]])),


rule tables:
    input:
        paths(closure(config, [f"table/{name}" for name in config["tables"]])),


rule claims:
    input:
        paths(closure(config, ["claims/claims"])),


# Every figure and table is a target of its own, and so is every paper: the name up to the underscore.
for target, members in named_targets(config).items():

    rule:
        name:
            target
        input:
            paths(closure(config, members)),
        localrule: True
