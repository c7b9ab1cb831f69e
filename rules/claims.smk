rule ledger:
    input:
        upstream("claims"),
    output:
        data=f"{RESULTS}/claims/{{name}}.h5",
        csv=f"{RESULTS}/claims/{{name}}.csv",
        page=in_report(f"{RESULTS}/claims/{{name}}.html", "claims", "captions/claims.rst"),
    log:
        f"{RESULTS}/log/claims/{{name}}.log",
    benchmark:
        f"{RESULTS}/benchmark/claims/{{name}}.tsv"
    wildcard_constraints:
        name=names("claims"),
    localrule: True
    conda:
        "../envs/lossmap.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        spec=spec("claims"),
        code=code("claims"),
    script:
        "../workflow_scripts/ledger.py"


rule joined_ledger:
    input:
        upstream("claims", [specs.LEDGER]),
    output:
        data=f"{RESULTS}/claims/claims.h5",
        csv=f"{RESULTS}/claims/claims.csv",
        page=report(
            f"{RESULTS}/claims/claims.html",
            caption="captions/claims.rst",
            category="claims",
            labels={"shows": "Claims of all papers"},
        ),
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
        spec=RECIPES.spec("claims", specs.LEDGER),
        code=RECIPES.code("claims", specs.LEDGER),
    script:
        "../workflow_scripts/joined_ledger.py"
