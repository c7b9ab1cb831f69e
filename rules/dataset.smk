rule dataset:
    input:
        upstream("dataset"),
        outside("dataset"),
    output:
        "<results>/dataset/{name}.h5",
    log:
        "<results>/log/dataset/{name}.log",
    benchmark:
        "<results>/benchmark/dataset/{name}.tsv"
    wildcard_constraints:
        name=names("dataset"),
    conda:
        "../envs/lossmap.yaml"
    threads: threads_of("dataset")
    resources:
        **needs("dataset"),
        data_dir=config["data_dir"] or "results/downloads",
    params:
        **recipe("dataset"),
    message:
        "dataset {wildcards.name}"
    script:
        "../workflow_scripts/dataset.py"
