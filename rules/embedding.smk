# One job makes all embeddings of a cloud: loading PHATE, t-SNE and UMAP takes longer than most of them.
for name, suffixes, stems in patterns("embedding"):

    rule:
        name:
            name
        input:
            upstream("embedding", suffixes=suffixes),
        output:
            [f"<results>/embedding/{{name}}{suffix}.h5" for suffix in suffixes],
        log:
            f"<results>/log/embedding/{{name}}{suffixes[0]}.log",
        benchmark:
            f"<results>/benchmark/embedding/{{name}}{suffixes[0]}.tsv"
        wildcard_constraints:
            name=stems,
        conda:
            "../envs/lossmap.yaml"
        threads: threads_of("embedding")
        resources:
            **needs("embedding", suffixes),
        params:
            **recipe("embedding", suffixes),
        message:
            "embedding " + ", ".join(f"{{wildcards.name}}{suffix}" for suffix in suffixes)
        script:
            "../workflow_scripts/embedding.py"
