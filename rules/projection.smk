rule projection:
    input:
        basis=one_upstream("projection", "basis"),
        trajectory=one_upstream("projection", "trajectory"),
        dataset=one_upstream("projection", "dataset"),
    output:
        f"{RESULTS}/projection/{{name}}.h5",
    log:
        f"{RESULTS}/log/projection/{{name}}.log",
    benchmark:
        f"{RESULTS}/benchmark/projection/{{name}}.tsv"
    wildcard_constraints:
        name=names("projections"),
    conda:
        "../envs/lossmap.yaml"
    threads: threads_of("projection")
    resources:
        **placement(gpu=True),
        mem_mb=memory("projection"),
        runtime=runtime("projection"),
        gpu=int(USE_GPU),
        device=config["device"],
        jobs_per_gpu=config["jobs_per_gpu"],
    params:
        spec=spec("projection"),
        code=code("projection"),
    script:
        "../workflow_scripts/projection.py"
