rule table:
    input:
        upstream("table"),
    output:
        data="<results>/table/{name}.h5",
        csv="<results>/table/{name}.csv",
        tex="<results>/table/{name}.tex",
        page=in_report("<results>/table/{name}.html", "tables"),
    log:
        "<results>/log/table/{name}.log",
    benchmark:
        "<results>/benchmark/table/{name}.tsv"
    wildcard_constraints:
        name=names("table"),
    localrule: True
    conda:
        "../envs/lossmap.yaml"
    threads: threads_of("table")
    resources:
        **needs("table"),
    params:
        **recipe("table"),
    message:
        "table {wildcards.name}"
    script:
        "../workflow_scripts/table.py"
