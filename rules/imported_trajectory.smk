rule imported_trajectory:
    input:
        dataset=upstream("imported_trajectory", "dataset"),
        checkpoints=outside("imported_trajectory"),
    output:
        "<results>/trajectory/{name}.h5",
    log:
        "<results>/log/trajectory/{name}.log",
    benchmark:
        "<results>/benchmark/trajectory/{name}.tsv"
    wildcard_constraints:
        name=names("imported_trajectory"),
    conda:
        "../envs/lossmap.yaml"
    threads: threads_of("imported_trajectory")
    resources:
        **needs("imported_trajectory"),
    params:
        **recipe("imported_trajectory"),
    message:
        "trajectory {wildcards.name}"
    script:
        "../workflow_scripts/imported_trajectory.py"
