rule dataset:
    input:
        file=lambda wildcards: raw_file(wildcards.name),
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
        **placement(),
        mem_mb=memory("dataset"),
        runtime=minutes(30),
        data_dir=config["data_dir"] or "results/downloads",
    params:
        spec=spec("dataset"),
        code=code("dataset"),
    script:
        "../workflow_scripts/dataset.py"
