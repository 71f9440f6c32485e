rule segment_objects:
    """Turn the probabilities of one slide into a class map and numbered objects."""
    input:
        "results/probabilities/{model}/{slide}.ome.zarr/zarr.json",
    output:
        "results/slides/{slide}.ome.zarr/labels/{model}/zarr.json",
    log:
        "logs/segment_objects/{model}/{slide}.log",
    benchmark:
        "benchmarks/segment_objects/{model}/{slide}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
    params:
        code=code_digest("segment.py"),
        script=script("segment.py"),
        min_object_px=config["segmentation"]["min_object_px"],
    shell:
        "python {params.script:q} --probabilities {input:q} --segmentation {output:q}"
        " --min-object-px {params.min_object_px}"
        " 2>&1 | tee {log:q}"
