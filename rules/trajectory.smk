rule trajectory:
    input:
        dataset=upstream("trajectory", "dataset"),
    output:
        "<results>/trajectory/{name}.h5",
    log:
        "<results>/log/trajectory/{name}.log",
    benchmark:
        "<results>/benchmark/trajectory/{name}.tsv"
    wildcard_constraints:
        name=names("trajectory"),
    conda:
        "../envs/lossmap.yaml"
    threads: threads_of("trajectory")
    resources:
        **needs("trajectory"),
    params:
        **recipe("trajectory"),
    message:
        "trajectory {wildcards.name}"
    script:
        "../workflow_scripts/trajectory.py"
