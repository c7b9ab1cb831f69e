# One job makes all embeddings of a cloud: loading PHATE, t-SNE and UMAP takes longer than most of them.
for cloud, made in specs.embedding_packs(config):

    rule:
        name:
            f"embedding_{cloud}"
        input:
            upstream("embedding", made),
        output:
            [artifact("embedding", name) for name in made],
        log:
            f"{RESULTS}/log/embedding/{cloud}.log",
        benchmark:
            f"{RESULTS}/benchmark/embedding/{cloud}.tsv"
        conda:
            "../envs/lossmap.yaml"
        threads: threads_of("embedding")
        resources:
            **placement(),
            mem_mb=memory("embedding", made),
            runtime=minutes(30),
        params:
            spec=specs_of(specs.embedding_spec, made),
            code=RECIPES.code("embedding", made[0]),
        script:
            "../workflow_scripts/embedding.py"
