rule basis:
    input:
        trajectory=one_upstream("basis", "trajectory"),
    output:
        f"{RESULTS}/basis/{{name}}.h5",
    log:
        f"{RESULTS}/log/basis/{{name}}.log",
    benchmark:
        f"{RESULTS}/benchmark/basis/{{name}}.tsv"
    wildcard_constraints:
        name=names("bases"),
    conda:
        "../envs/lossmap.yaml"
    threads: threads_of("basis")
    resources:
        **placement(),
        mem_mb=memory("basis"),
        runtime=runtime("basis"),
    params:
        spec=spec("basis"),
        code=code("basis"),
    script:
        "../workflow_scripts/basis.py"
