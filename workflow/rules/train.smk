rule train_fold:
    """Train one network; a killed training continues from its last epoch."""
    input:
        plan="results/models/{model}/plan.yaml",
        slides="results/models/{model}/train.args",
        images=[picture(slide) for slide in slides_of("train", "val")],
        labels=lambda wildcards: [
            target(wildcards.model, slide) for slide in slides_of("train", "val")
        ],
        weights=[
            f"results/weights/{{model}}/{slide}.zarr/zarr.json"
            for slide in slides_of("train", "val")
        ],
    output:
        "results/models/{model}/fold{fold}/fold.json",
    log:
        "logs/train_fold/{model}/{fold}.log",
    benchmark:
        "benchmarks/train_fold/{model}/{fold}.tsv"
    conda:
        network_environment(config["device"])
    threads: 8
    resources:
        gpu=int(config["device"] != "cpu"),
        mem_mb=lambda wildcards, attempt: 16000 * attempt,
        runtime=lambda wildcards, attempt: 480 * attempt,
    params:
        code=lambda wildcards: training_code(
            "train.py",
            MODELS[wildcards.model]["loss"],
            family_of(wildcards.model),
            "layers",
        ),
        script=script(
            "train.py",
            switches=["--retrain-on-code-change"] * config["retrain_on_code_change"],
        ),
        model=lambda wildcards, output: str(Path(output[0]).parent),
        device=config["device"],
        precision=config["precision"],
    shell:
        "python {params.script:q} @{input.slides:q} --plan {input.plan:q}"
        " --model {params.model:q} --fold {wildcards.fold}"
        " --device {params.device} --precision {params.precision} --threads {threads}"
        " 2>&1 | tee {log:q}"
