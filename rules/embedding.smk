# One job for each embedding, though loading PHATE takes longer than most: what one technique refuses, or
# has changed, is nothing to the others of its cloud.
rule embedding:
    input:
        upstream("embedding"),
    output:
        "<results>/embedding/{name}.h5",
    log:
        "<results>/log/embedding/{name}.log",
    benchmark:
        "<results>/benchmark/embedding/{name}.tsv"
    wildcard_constraints:
        name=names("embedding"),
    conda:
        "../envs/lossmap.yaml"
    threads: threads_of("embedding")
    resources:
        **needs("embedding"),
    params:
        **recipe("embedding"),
    message:
        "embedding {wildcards.name}"
    script:
        "../workflow_scripts/embedding.py"
