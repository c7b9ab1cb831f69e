# One job trains one or more directions of a minimum: small runs share the start-up and the images.
for minimum, made in specs.jump_packs(config):

    rule:
        name:
            f"jumps_{made[0]}"
        input:
            dataset=one_upstream("jumps", "dataset", made),
            trajectory=one_upstream("jumps", "trajectory", made),
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
            **placement(gpu=True),
            mem_mb=memory("jumps", made),
            runtime=runtime("jumps", made),
            gpu=int(USE_GPU),
            device=config["device"],
            jobs_per_gpu=config["jobs_per_gpu"],
        params:
            spec=canonical_json(specs.retraining_spec(config, minimum)),
            code=RECIPES.code("jumps", made[0]),
        script:
            "../workflow_scripts/jumps.py"
