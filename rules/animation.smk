rule animation:
    input:
        upstream("animation"),
    output:
        data=f"{RESULTS}/animation/{{name}}.h5",
        movie=in_report(f"{RESULTS}/animation/{{name}}.{MOVIE}", "animations"),
    log:
        f"{RESULTS}/log/animation/{{name}}.log",
    benchmark:
        f"{RESULTS}/benchmark/animation/{{name}}.tsv"
    wildcard_constraints:
        name=names("animations"),
    localrule: True
    conda:
        "../envs/lossmap.yaml"
    threads: 1
    resources:
        mem_mb=memory("animation"),
        runtime=30,
    params:
        spec=spec("animation"),
        code=code("animation"),
    script:
        "../workflow_scripts/animation.py"
