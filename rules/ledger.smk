rule ledger:
    input:
        upstream("ledger"),
    output:
        data="<results>/claims/{name}.h5",
        csv="<results>/claims/{name}.csv",
        numbers="<results>/claims/{name}.numbers.csv",
        page=in_report("<results>/claims/{name}.html", "claims", "captions/claims.rst"),
    log:
        "<results>/log/claims/{name}.log",
    benchmark:
        "<results>/benchmark/claims/{name}.tsv"
    wildcard_constraints:
        name=names("ledger"),
    localrule: True
    conda:
        "../envs/lossmap.yaml"
    threads: threads_of("ledger")
    resources:
        **needs("ledger"),
    params:
        **recipe("ledger"),
    message:
        "claims {wildcards.name}"
    script:
        "../workflow_scripts/ledger.py"
