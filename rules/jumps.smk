# One job trains one or more directions of a minimum: small runs share the start-up and the images.
JUMPS_CODE = network_code("jumps.py")

for minimum, made in specs.jump_packs(config):
    run = config["minima"][minimum]["run"]

    rule:
        name:
            f"jumps_{made[0]}"
        input:
            dataset=artifact("dataset", config["runs"][run]["dataset"]),
            trajectory=artifact("trajectory", run),
        output:
            [artifact("jumps", name) for name in made],
        log:
            f"{RESULTS}/log/jumps/{made[0]}.log",
        benchmark:
            f"{RESULTS}/benchmark/jumps/{made[0]}.tsv"
        conda:
            "../envs/lossmap.yaml"
        threads: threads_of("jumps")
        resources:
            mem_mb=memory("jumps", made),
            runtime=runtime("jumps", made),
            gpu=int(USE_GPU),
            device=config["device"],
            jobs_per_gpu=config["jobs_per_gpu"],
        params:
            spec=canonical_json(specs.retraining_spec(config, minimum)),
            code=JUMPS_CODE[run],
        script:
            "../workflow_scripts/jumps.py"
