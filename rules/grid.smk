rule grid:
    input:
        basis=one_upstream("grid", "basis"),
        trajectory=one_upstream("grid", "trajectory"),
        dataset=one_upstream("grid", "dataset"),
    output:
        f"{RESULTS}/grid/{{name}}.h5",
    log:
        f"{RESULTS}/log/grid/{{name}}.log",
    benchmark:
        f"{RESULTS}/benchmark/grid/{{name}}.tsv"
    wildcard_constraints:
        name=names("grids"),
    conda:
        "../envs/lossmap.yaml"
    threads: threads_of("grid")
    resources:
        **placement(gpu=True),
        mem_mb=memory("grid"),
        runtime=runtime("grid"),
        gpu=int(USE_GPU),
        device=config["device"],
        jobs_per_gpu=config["jobs_per_gpu"],
    params:
        spec=spec("grid"),
        code=code("grid"),
    script:
        "../workflow_scripts/grid.py"
