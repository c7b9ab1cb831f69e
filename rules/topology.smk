rule topology:
    input:
        upstream("topology"),
    output:
        "<results>/topology/{name}.h5",
    log:
        "<results>/log/topology/{name}.log",
    benchmark:
        "<results>/benchmark/topology/{name}.tsv"
    wildcard_constraints:
        name=names("topology"),
    conda:
        "../envs/lossmap.yaml"
    threads: threads_of("topology")
    resources:
        **needs("topology"),
    params:
        **recipe("topology"),
    message:
        "topology {wildcards.name}"
    script:
        "../workflow_scripts/topology.py"
