rule distance:
    input:
        upstream("distance"),
    output:
        "<results>/distance/{name}.h5",
    log:
        "<results>/log/distance/{name}.log",
    benchmark:
        "<results>/benchmark/distance/{name}.tsv"
    wildcard_constraints:
        name=names("distance"),
    conda:
        "../envs/lossmap.yaml"
    threads: threads_of("distance")
    resources:
        **needs("distance"),
    params:
        **recipe("distance"),
    message:
        "distance {wildcards.name}"
    script:
        "../workflow_scripts/distance.py"
