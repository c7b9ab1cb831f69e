rule grid:
    input:
        basis=upstream("grid", "basis"),
        trajectory=upstream("grid", "trajectory"),
        dataset=upstream("grid", "dataset"),
    output:
        "<results>/grid/{name}.h5",
    log:
        "<results>/log/grid/{name}.log",
    benchmark:
        "<results>/benchmark/grid/{name}.tsv"
    wildcard_constraints:
        name=names("grid"),
    conda:
        "../envs/lossmap.yaml"
    threads: threads_of("grid")
    resources:
        **needs("grid"),
    params:
        **recipe("grid"),
    message:
        "grid {wildcards.name}"
    script:
        "../workflow_scripts/grid.py"
