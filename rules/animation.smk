rule animation:
    input:
        upstream("animation"),
    output:
        data="<results>/animation/{name}.h5",
        movie=in_report(f"<results>/animation/{{name}}.{MOVIE}", "animations"),
    log:
        "<results>/log/animation/{name}.log",
    benchmark:
        "<results>/benchmark/animation/{name}.tsv"
    wildcard_constraints:
        name=names("animation"),
    localrule: True
    conda:
        "../envs/lossmap.yaml"
    threads: threads_of("animation")
    resources:
        **needs("animation"),
    params:
        **recipe("animation"),
    message:
        "animation {wildcards.name}"
    script:
        "../workflow_scripts/animation.py"
