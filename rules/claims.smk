rule ledger:
    input:
        [artifact(*source.split("/", 1)) for source in specs.claims_sources(config)],
    output:
        data=f"{RESULTS}/claims/claims.h5",
        csv=f"{RESULTS}/claims/claims.csv",
    log:
        f"{RESULTS}/log/claims/claims.log",
    benchmark:
        f"{RESULTS}/benchmark/claims/claims.tsv"
    localrule: True
    conda:
        "../envs/lossmap.yaml"
    threads: 1
    resources:
        mem_mb=500,
        runtime=10,
    params:
        spec=canonical_json(specs.claims_spec(config)),
        code=code("ledger.py"),
    script:
        "../workflow_scripts/ledger.py"
