rule estimate:
    output:
        f"{RESULTS}/estimate.csv",
    localrule: True
    shell:
        "false"
