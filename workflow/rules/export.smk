rule export_outlines:
    """Outlines of the objects of one slide, for QuPath; only on request."""
    input:
        "results/slides/{slide}.ome.zarr/labels/{model}/zarr.json",
    output:
        "results/exports/{model}/{slide}.geojson",
    log:
        text="logs/export_outlines/{model}/{slide}.log",
        run="results/runs/export_outlines/{model}/{slide}.json",
    benchmark:
        "benchmarks/export_outlines/{model}/{slide}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=minutes(2, per_gb=60),
    params:
        code=code_digest("export.py", "geojson"),
        script=script("export.py"),
    shell:
        "python {params.script:q} --segmentation {input:q} --geojson {output:q}"
        " --record {log.run:q}"
        " 2>&1 | tee {log.text:q}"


rule export_tiff:
    """The numbered objects of one slide as an OME-TIFF; only on request."""
    input:
        "results/slides/{slide}.ome.zarr/labels/{model}/zarr.json",
    output:
        "results/exports/{model}/{slide}.tif",
    log:
        text="logs/export_tiff/{model}/{slide}.log",
        run="results/runs/export_tiff/{model}/{slide}.json",
    benchmark:
        "benchmarks/export_tiff/{model}/{slide}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=minutes(2, per_gb=60),
    params:
        code=code_digest("export.py", "tiff"),
        script=script("export.py"),
    shell:
        "python {params.script:q} --segmentation {input:q} --tiff {output:q}"
        " --record {log.run:q}"
        " 2>&1 | tee {log.text:q}"
