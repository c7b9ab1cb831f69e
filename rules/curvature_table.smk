rule curvature_table:
    input:
        upstream("curvature_table"),
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
        name=names("curvature_table"),
    localrule: True
    conda:
        "../envs/lossmap.yaml"
    threads: threads_of("curvature_table")
    resources:
        **needs("curvature_table"),
    params:
        **recipe("curvature_table"),
    message:
        "table {wildcards.name}"
    script:
        "../workflow_scripts/curvature_table.py"
