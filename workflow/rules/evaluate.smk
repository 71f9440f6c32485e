rule evaluate_slide:
    """Score one slide's segmentation against its reference."""
    input:
        reference="results/slides/{slide}.ome.zarr/labels/reference/zarr.json",
        segmentation="results/slides/{slide}.ome.zarr/labels/{model}/zarr.json",
    output:
        "results/scores/{model}/{slide}.json",
    log:
        text="logs/evaluate_slide/{model}/{slide}.log",
        run="results/runs/evaluate_slide/{model}/{slide}.json",
    benchmark:
        "benchmarks/evaluate_slide/{model}/{slide}.tsv"
    group:
        batch("measure")
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        abreast=1,
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=minutes(2, per_gb=60),
    params:
        code=code_digest("evaluate.py"),
        script=script("evaluate.py", "evaluation"),
        iou_threshold=config["evaluation"]["iou_threshold"],
    shell:
        "python {params.script:q} --reference {input.reference:q}"
        " --segmentation {input.segmentation:q} --scores {output:q}"
        " --iou-threshold {params.iou_threshold}"
        " --slide {wildcards.slide} --model-name {wildcards.model} --record {log.run:q}"
        " 2>&1 | tee {log.text:q}"
