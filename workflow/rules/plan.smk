rule write_settings:
    """Write the settings of one model to a file, so that changes of other models do not count."""
    output:
        "results/models/{model}/settings.yaml",
    log:
        "logs/write_settings/{model}.log",
    benchmark:
        "benchmarks/write_settings/{model}.tsv"
    localrule: True
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=500,
    params:
        settings=lambda wildcards: yaml.safe_dump(training_settings(wildcards.model)),
    shell:
        "printf %s {params.settings:q} > {output:q} 2> {log:q}"


rule list_slides:
    """List the training data of a model in files: a command line is too short for many slides."""
    output:
        plan="results/models/{model}/plan.args",
        train="results/models/{model}/train.args",
    log:
        "logs/list_slides/{model}.log",
    benchmark:
        "benchmarks/list_slides/{model}.tsv"
    wildcard_constraints:
        model=one_of(TRAINED),
    localrule: True
    threads: 1
    resources:
        mem_mb=1000,
    params:
        plan=lambda wildcards: plan_arguments(wildcards.model),
        train=lambda wildcards: train_arguments(wildcards.model),
    run:
        write_arguments(output.plan, params.plan)
        write_arguments(output.train, params.train)


rule plan_training:
    """Make every decision of the training from the slides; the plan can be read and edited."""
    input:
        settings="results/models/{model}/settings.yaml",
        slides="results/models/{model}/plan.args",
        images=[picture(slide) for slide in slides_of("train")],
        validation=[picture(slide) for slide in slides_of("val")],
        labels=lambda wildcards: targets(wildcards.model, "train", "val"),
    output:
        "results/models/{model}/plan.yaml",
    log:
        text="logs/plan_training/{model}.log",
        run="results/runs/plan_training/{model}.json",
    benchmark:
        "benchmarks/plan_training/{model}.tsv"
    wildcard_constraints:
        model=one_of(TRAINED),
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        code=lambda wildcards: training_code("plan.py", family_of(wildcards.model)),
        script=script("plan.py"),
    shell:
        "python {params.script:q} @{input.slides:q} --settings {input.settings:q} --plan {output:q}"
        " --record {log.run:q}"
        " 2>&1 | tee {log.text:q}"
