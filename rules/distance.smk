rule distance:
    input:
        upstream("distance"),
    output:
        f"{RESULTS}/distance/{{name}}.h5",
    log:
        f"{RESULTS}/log/distance/{{name}}.log",
    benchmark:
        f"{RESULTS}/benchmark/distance/{{name}}.tsv"
    wildcard_constraints:
        name=names("clouds"),
    conda:
        "../envs/lossmap.yaml"
    threads: threads_of("distance")
    resources:
        mem_mb=memory("distance"),
        runtime=runtime("distance"),
    params:
        spec=spec(specs.distance_spec),
        code=code("distance.py"),
    script:
        "../workflow_scripts/distance.py"
