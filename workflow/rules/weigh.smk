rule weigh_borders:
    """Weight map of one training slide: class balance, and borders between touching cells."""
    input:
        labels=lambda wildcards: target(wildcards.model, wildcards.slide),
        plan="results/models/{model}/plan.yaml",
    output:
        "results/weights/{model}/{slide}.zarr/zarr.json",
    log:
        "logs/weigh_borders/{model}/{slide}.log",
    benchmark:
        "benchmarks/weigh_borders/{model}/{slide}.tsv"
    group:
        batch("weigh")
    conda:
        "../../envs/cpu.yaml"
    threads: 2
    resources:
        abreast=1,
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=minutes(2, per_gb=60),
    params:
        code=training_code("weigh.py"),
        script=script("weigh.py"),
    shell:
        "python {params.script:q} --labels {input.labels:q} --plan {input.plan:q}"
        " --weights {output:q} --threads {threads}"
        " 2>&1 | tee {log:q}"
