rule basis:
    input:
        upstream("basis"),
    output:
        "<results>/basis/{name}.h5",
    log:
        "<results>/log/basis/{name}.log",
    benchmark:
        "<results>/benchmark/basis/{name}.tsv"
    wildcard_constraints:
        name=names("basis"),
    conda:
        "../envs/lossmap.yaml"
    threads: threads_of("basis")
    resources:
        **needs("basis"),
    params:
        **recipe("basis"),
    message:
        "basis {wildcards.name}"
    script:
        "../workflow_scripts/basis.py"
