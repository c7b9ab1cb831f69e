rule trajectory:
    input:
        dataset=one_upstream("trajectory", "dataset"),
    output:
        f"{RESULTS}/trajectory/{{name}}.h5",
    log:
        f"{RESULTS}/log/trajectory/{{name}}.log",
    benchmark:
        f"{RESULTS}/benchmark/trajectory/{{name}}.tsv"
    wildcard_constraints:
        name=names("runs"),
    conda:
        "../envs/lossmap.yaml"
    threads: threads_of("trajectory")
    resources:
        **placement(gpu=True),
        mem_mb=memory("trajectory"),
        runtime=runtime("trajectory"),
        gpu=int(USE_GPU),
        device=config["device"],
        jobs_per_gpu=config["jobs_per_gpu"],
    params:
        spec=spec("trajectory"),
        code=code("trajectory"),
    script:
        "../workflow_scripts/trajectory.py"
