rule segment_objects:
    """Turn the probabilities of one slide into a class map and numbered objects."""
    input:
        "results/probabilities/{model}/{slide}.ome.zarr/zarr.json",
    output:
        segmentation="results/slides/{slide}.ome.zarr/labels/{model}/zarr.json",
        objects="results/objects/{model}/{slide}.parquet",
    log:
        "logs/segment_objects/{model}/{slide}.log",
    benchmark:
        "benchmarks/segment_objects/{model}/{slide}.tsv"
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
        code=code_digest("segment.py", *wanted_stages(config["segmentation"])),
        script=script("segment.py", "segmentation"),
        threshold=flags("--threshold", config["segmentation"]["threshold"]),
        seed_threshold=flags(
            "--seed-threshold", config["segmentation"]["seed_threshold"]
        ),
        min_seed_px=config["segmentation"]["min_seed_px"],
        grow_px=config["segmentation"]["grow_px"],
        max_hole_px=config["segmentation"]["max_hole_px"],
        border_px=config["segmentation"]["border_px"],
        min_object_px=config["segmentation"]["min_object_px"],
        min_object_um=flags("--min-object-um", config["segmentation"]["min_object_um"]),
    shell:
        "python {params.script:q} --probabilities {input:q}"
        " --segmentation {output.segmentation:q} --objects {output.objects:q}"
        " {params.threshold} {params.seed_threshold} --min-seed-px {params.min_seed_px}"
        " --grow-px {params.grow_px} --max-hole-px {params.max_hole_px}"
        " --border-px {params.border_px} --min-object-px {params.min_object_px}"
        " {params.min_object_um}"
        " 2>&1 | tee {log:q}"
