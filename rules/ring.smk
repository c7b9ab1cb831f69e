rule ring:
    input:
        basis=upstream("ring", "basis"),
        trajectory=upstream("ring", "trajectory"),
        dataset=upstream("ring", "dataset"),
    output:
        "<results>/ring/{name}.h5",
    log:
        "<results>/log/ring/{name}.log",
    benchmark:
        "<results>/benchmark/ring/{name}.tsv"
    wildcard_constraints:
        name=names("ring"),
    conda:
        "../envs/lossmap.yaml"
    threads: threads_of("ring")
    resources:
        **needs("ring"),
    params:
        **recipe("ring"),
    message:
        "ring {wildcards.name}"
    script:
        "../workflow_scripts/ring.py"
