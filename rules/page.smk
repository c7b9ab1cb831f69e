# One file to look at and to send: made anew when an artifact, a caption or the page's code is newer.
rule page:
    input:
        spoilt_page,
        paths(all_targets(config)),
        CAPTIONS.values(),
        page_sources(ROOT / "workflow_scripts/lossmap"),
    output:
        "<results>/index.html",
    log:
        "<results>/log/page.log",
    localrule: True
    conda:
        "../envs/lossmap.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        plan=canonical_json(page_plan(config)),
        captions=CAPTIONS,
    message:
        f"page {config['scale']}"
    script:
        "../workflow_scripts/page.py"
