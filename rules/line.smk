rule line:
    input:
        upstream("line"),
    output:
        "<results>/line/{name}.h5",
    log:
        "<results>/log/line/{name}.log",
    benchmark:
        "<results>/benchmark/line/{name}.tsv"
    wildcard_constraints:
        name=names("line"),
    conda:
        "../envs/lossmap.yaml"
    threads: threads_of("line")
    resources:
        **needs("line"),
    params:
        **recipe("line"),
    message:
        "line {wildcards.name}"
    script:
        "../workflow_scripts/line.py"
