rule predict_probabilities:
    """Segment one slide block by block; each block's halo is cut away."""
    input:
        image="results/slides/{slide}.ome.zarr/zarr.json",
        model="results/models/{model}/package/plan.yaml",
    output:
        "results/probabilities/{model}/{slide}.ome.zarr/zarr.json",
    log:
        "logs/predict_probabilities/{model}/{slide}.log",
    benchmark:
        "benchmarks/predict_probabilities/{model}/{slide}.tsv"
    conda:
        "../../envs/gpu.yaml"
    threads: 4
    resources:
        gpu=1,
        mem_mb=lambda wildcards, attempt: 8000 * attempt,
    params:
        code=code_digest("predict.py"),
        script=script("predict.py"),
        block_px=config["prediction"]["block_px"],
        device=config["device"],
        precision=config["precision"],
    shell:
        "python {params.script:q} --image {input.image:q} --model {input.model:q}"
        " --probabilities {output:q} --block-px {params.block_px}"
        " --device {params.device} --precision {params.precision} --threads {threads}"
        " 2>&1 | tee {log:q}"
