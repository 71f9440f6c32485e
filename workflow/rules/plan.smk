localrules:
    write_settings,


rule write_settings:
    """Write one model's settings to a file: other models' changes do not concern it."""
    output:
        "results/models/{model}/settings.yaml",
    log:
        "logs/write_settings/{model}.log",
    benchmark:
        "benchmarks/write_settings/{model}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=100,
    params:
        settings=lambda wildcards: yaml.safe_dump(training_settings(wildcards.model)),
    shell:
        "printf %s {params.settings:q} > {output:q} 2> {log:q}"


rule plan_training:
    """Work out everything that training will do; the plan can be read and edited."""
    input:
        settings="results/models/{model}/settings.yaml",
        images=[picture(slide) for slide in slides_of("train")],
        validation=[picture(slide) for slide in slides_of("val")],
        labels=lambda wildcards: targets(wildcards.model, "train", "val"),
    output:
        "results/models/{model}/plan.yaml",
    wildcard_constraints:
        model=one_of(TRAINED),
    log:
        text="logs/plan_training/{model}.log",
        run="results/runs/plan_training/{model}.json",
    benchmark:
        "benchmarks/plan_training/{model}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=1000,
    params:
        code=code_digest("plan.py"),
        script=script("plan.py"),
        groups=flags("--groups", [SLIDES[s].group or s for s in slides_of("train")]),
    shell:
        "python {params.script:q} --images {input.images:q} --validation {input.validation:q}"
        " --labels {input.labels:q} {params.groups} --settings {input.settings:q} --plan {output:q}"
        " --record {log.run:q}"
        " 2>&1 | tee {log.text:q}"
