# No output and no benchmark file: asked for by name, it always measures and prints.
rule estimate:
    log:
        "<results>/log/estimate.log",
    localrule: True
    conda:
        "../envs/lossmap.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=10,
        gpu=int(USE_GPU),
        device=config["device"],
        jobs_per_gpu=config["jobs_per_gpu"],
    params:
        spec=lambda wildcards: canonical_json(estimate_spec(config)),
    script:
        "../workflow_scripts/estimate.py"
