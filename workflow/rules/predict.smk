rule predict_probabilities:
    """Predict the class probabilities of one slide, block by block."""
    input:
        image="results/slides/{slide}.ome.zarr/zarr.json",
        model="results/models/{model}/package/plan.yaml",
        mask=lambda wildcards: raw(SLIDES[wildcards.slide].mask) or [],
    output:
        "results/probabilities/{model}/{slide}.ome.zarr/zarr.json",
    log:
        "logs/predict_probabilities/{model}/{slide}.log",
    benchmark:
        "benchmarks/predict_probabilities/{model}/{slide}.tsv"
    group:
        batch("predict")
    conda:
        network_environment(config["device"])
    threads: 4
    resources:
        abreast=1,
        gpu=int(config["device"] != "cpu"),
        mem_mb=lambda wildcards, attempt: round(
            1000 * config["prediction"]["memory_gb"] * (1 + attempt)
        ),
        runtime=minutes(3, per_gb=120 if config["device"] != "cpu" else 1200),
    params:
        code=lambda wildcards: code_digest(
            "predict.py", family_of(wildcards.model), "layers"
        ),
        script=script("predict.py", "prediction"),
        memory_gb=config["prediction"]["memory_gb"],
        block_px=flags("--block-px", config["prediction"]["block_px"]),
        keep=config["prediction"]["keep"],
        augmentation=config["prediction"]["test_time_augmentation"],
        uncertainty="--uncertainty" if config["prediction"]["uncertainty"] else "",
        background=config["prediction"]["background"],
        mask=lambda wildcards, input: flags("--mask", input.mask),
        mask_content=lambda wildcards: outside(
            SLIDES[wildcards.slide].mask,
            f"results/probabilities/{wildcards.model}/{wildcards.slide}.ome.zarr/zarr.json",
        ),
        fill_value=config["prediction"]["fill_value"],
        pixel_size=config["prediction"]["pixel_size"],
        device=config["device"],
        precision=config["precision"],
    shell:
        "python {params.script:q} --image {input.image:q} --model {input.model:q}"
        " --probabilities {output:q} --memory-gb {params.memory_gb} {params.block_px}"
        " --keep {params.keep} --test-time-augmentation {params.augmentation}"
        " {params.uncertainty} --background {params.background} {params.mask}"
        " --fill-value={params.fill_value} --pixel-size {params.pixel_size}"
        " --device {params.device} --precision {params.precision} --threads {threads}"
        " 2>&1 | tee {log:q}"
