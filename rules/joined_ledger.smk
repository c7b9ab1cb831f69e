rule joined_ledger:
    input:
        upstream("joined_ledger"),
    output:
        data="<results>/claims/{name}.h5",
        csv="<results>/claims/{name}.csv",
        numbers="<results>/claims/{name}.numbers.csv",
        page=report(
            "<results>/claims/{name}.html",
            caption="captions/claims.rst",
            category="claims",
            labels={"shows": "Claims of all papers"},
        ),
    log:
        "<results>/log/claims/{name}.log",
    benchmark:
        "<results>/benchmark/claims/{name}.tsv"
    wildcard_constraints:
        name=names("joined_ledger"),
    localrule: True
    conda:
        "../envs/lossmap.yaml"
    threads: threads_of("joined_ledger")
    resources:
        **needs("joined_ledger"),
    params:
        **recipe("joined_ledger"),
    message:
        "claims {wildcards.name}"
    script:
        "../workflow_scripts/joined_ledger.py"
