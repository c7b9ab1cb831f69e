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
        mem_mb=memory("basis"),
        runtime=runtime("basis"),
    params:
        spec=spec(specs.basis_spec),
        code=code("basis.py"),
    script:
        "../workflow_scripts/basis.py"
