rule projection:
    input:
        basis=upstream("projection", "basis"),
        trajectory=upstream("projection", "trajectory"),
        dataset=upstream("projection", "dataset"),
    output:
        "<results>/projection/{name}.h5",
    log:
        "<results>/log/projection/{name}.log",
    benchmark:
        "<results>/benchmark/projection/{name}.tsv"
    wildcard_constraints:
        name=names("projection"),
    conda:
        "../envs/lossmap.yaml"
    threads: threads_of("projection")
    resources:
        **needs("projection"),
    params:
        **recipe("projection"),
    message:
        "projection {wildcards.name}"
    script:
        "../workflow_scripts/projection.py"
