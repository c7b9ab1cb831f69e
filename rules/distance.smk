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
        **placement(),
        mem_mb=memory("distance"),
        runtime=runtime("distance"),
    params:
        spec=spec("distance"),
        code=code("distance"),
    script:
        "../workflow_scripts/distance.py"
