rule figure:
    input:
        upstream("figure"),
    output:
        data=f"{RESULTS}/figure/{{name}}.h5",
        pdf=f"{RESULTS}/figure/{{name}}.pdf",
        png=in_report(f"{RESULTS}/figure/{{name}}.png", "figures"),
    log:
        f"{RESULTS}/log/figure/{{name}}.log",
    benchmark:
        f"{RESULTS}/benchmark/figure/{{name}}.tsv"
    wildcard_constraints:
        name=names("figures"),
    localrule: True
    conda:
        "../envs/lossmap.yaml"
    threads: 1
    resources:
        mem_mb=memory("figure"),
        runtime=10,
    params:
        spec=spec("figure"),
        code=code("figure"),
    script:
        "../workflow_scripts/figure.py"
