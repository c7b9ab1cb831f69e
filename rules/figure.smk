rule figure:
    input:
        upstream("figure"),
    output:
        data="<results>/figure/{name}.h5",
        pdf="<results>/figure/{name}.pdf",
        png=in_report("<results>/figure/{name}.png", "figures"),
    log:
        "<results>/log/figure/{name}.log",
    benchmark:
        "<results>/benchmark/figure/{name}.tsv"
    wildcard_constraints:
        name=names("figure"),
    localrule: True
    conda:
        "../envs/lossmap.yaml"
    threads: threads_of("figure")
    resources:
        **needs("figure"),
    params:
        **recipe("figure"),
    message:
        "figure {wildcards.name}"
    script:
        "../workflow_scripts/figure.py"
