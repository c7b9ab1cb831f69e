rule hessian_basis:
    input:
        curvature=upstream("hessian_basis", "curvature"),
        trajectory=upstream("hessian_basis", "trajectory"),
    output:
        "<results>/basis/{name}.h5",
    log:
        "<results>/log/basis/{name}.log",
    benchmark:
        "<results>/benchmark/basis/{name}.tsv"
    wildcard_constraints:
        name=names("hessian_basis"),
    conda:
        "../envs/lossmap.yaml"
    threads: threads_of("hessian_basis")
    resources:
        **needs("hessian_basis"),
    params:
        **recipe("hessian_basis"),
    message:
        "basis {wildcards.name}"
    script:
        "../workflow_scripts/hessian_basis.py"
