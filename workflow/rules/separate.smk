rule separate_labels:
    """Training labels: touching cells get a thin border of background between them."""
    input:
        "results/slides/{slide}.ome.zarr/labels/reference/zarr.json",
    output:
        "results/targets/{ndim}d_{separate_px}px/{slide}.ome.zarr/zarr.json",
    log:
        "logs/separate_labels/{ndim}d_{separate_px}px/{slide}.log",
    benchmark:
        "benchmarks/separate_labels/{ndim}d_{separate_px}px/{slide}.tsv"
    group:
        batch("ingest")
    conda:
        "../../envs/cpu.yaml"
    threads: 2
    resources:
        abreast=1,
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=minutes(2, per_gb=60),
    params:
        code=training_code("separate.py"),
        script=script("separate.py"),
    shell:
        "python {params.script:q} --labels {input:q} --separated {output:q}"
        " --separate-px {wildcards.separate_px} --ndim {wildcards.ndim} --threads {threads}"
        " 2>&1 | tee {log:q}"
