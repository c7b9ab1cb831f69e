rule table:
    input:
        upstream("table"),
    output:
        data=f"{RESULTS}/table/{{name}}.h5",
        csv=f"{RESULTS}/table/{{name}}.csv",
        tex=f"{RESULTS}/table/{{name}}.tex",
        page=in_report(f"{RESULTS}/table/{{name}}.html", "tables"),
    log:
        f"{RESULTS}/log/table/{{name}}.log",
    benchmark:
        f"{RESULTS}/benchmark/table/{{name}}.tsv"
    wildcard_constraints:
        name=names("tables"),
    localrule: True
    conda:
        "../envs/lossmap.yaml"
    threads: 1
    resources:
        mem_mb=memory("table"),
        runtime=10,
    params:
        spec=spec("table"),
        code=code("table"),
    script:
        "../workflow_scripts/table.py"
