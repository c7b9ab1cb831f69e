rule dataset:
    input:
        file=lambda wildcards: specs.dataset_file(config, wildcards.name) or [],
    output:
        f"{RESULTS}/dataset/{{name}}.h5",
    log:
        f"{RESULTS}/log/dataset/{{name}}.log",
    benchmark:
        f"{RESULTS}/benchmark/dataset/{{name}}.tsv"
    wildcard_constraints:
        name=names("datasets"),
    conda:
        "../envs/lossmap.yaml"
    threads: 1
    resources:
        mem_mb=memory("dataset"),
        runtime=30,
        data_dir=config["data_dir"] or "results/downloads",
    params:
        spec=spec(specs.dataset_spec),
        code=code("dataset.py"),
    script:
        "../workflow_scripts/dataset.py"
