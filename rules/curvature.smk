rule curvature:
    input:
        trajectory=upstream("curvature", "trajectory"),
        dataset=upstream("curvature", "dataset"),
    output:
        "<results>/curvature/{name}.h5",
    log:
        "<results>/log/curvature/{name}.log",
    benchmark:
        "<results>/benchmark/curvature/{name}.tsv"
    wildcard_constraints:
        name=names("curvature"),
    conda:
        "../envs/lossmap.yaml"
    threads: threads_of("curvature")
    resources:
        **needs("curvature"),
    params:
        **recipe("curvature"),
    message:
        "curvature {wildcards.name}"
    script:
        "../workflow_scripts/curvature.py"
