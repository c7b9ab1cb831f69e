# One job trains one or more directions of a minimum: small runs share the start-up and the images.
for name, suffixes, stems in patterns("jumps"):

    rule:
        name:
            name
        input:
            dataset=upstream("jumps", "dataset", suffixes),
            trajectory=upstream("jumps", "trajectory", suffixes),
        output:
            [f"<results>/jumps/{{name}}{suffix}.h5" for suffix in suffixes],
        log:
            f"<results>/log/jumps/{{name}}{suffixes[0]}.log",
        benchmark:
            f"<results>/benchmark/jumps/{{name}}{suffixes[0]}.tsv"
        wildcard_constraints:
            name=stems,
        conda:
            "../envs/lossmap.yaml"
        threads: threads_of("jumps")
        resources:
            **needs("jumps", suffixes),
        params:
            **recipe("jumps", suffixes),
        message:
            "jumps " + ", ".join(f"{{wildcards.name}}{suffix}" for suffix in suffixes)
        script:
            "../workflow_scripts/jumps.py"
