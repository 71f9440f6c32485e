rule ingest_image:
    """Convert one raw picture to a chunked OME-Zarr store."""
    input:
        lambda wildcards: raw(SLIDES[wildcards.slide].image),
    output:
        "results/slides/{slide}.ome.zarr/zarr.json",
    log:
        "logs/ingest_image/{slide}.log",
    benchmark:
        "benchmarks/ingest_image/{slide}.tsv"
    group:
        batch("ingest")
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        abreast=1,
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=minutes(2, per_gb=20),
    params:
        code=lambda wildcards: ingest_code(SLIDES[wildcards.slide].image),
        script=script("ingest.py"),
        raw=lambda wildcards: outside(
            SLIDES[wildcards.slide].image, picture(wildcards.slide)
        ),
        pixel_size=lambda wildcards: pixel_size_flags(wildcards.slide),
    shell:
        "python {params.script:q} --image={input:q} --store {output:q} {params.pixel_size}"
        " 2>&1 | tee {log:q}"


rule ingest_labels:
    """Convert the reference labels of one slide into its store."""
    input:
        image="results/slides/{slide}.ome.zarr/zarr.json",
        labels=lambda wildcards: raw(SLIDES[wildcards.slide].labels),
    output:
        "results/slides/{slide}.ome.zarr/labels/reference/zarr.json",
    log:
        "logs/ingest_labels/{slide}.log",
    benchmark:
        "benchmarks/ingest_labels/{slide}.tsv"
    group:
        batch("ingest")
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        abreast=1,
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=minutes(2, per_gb=20),
    params:
        code=lambda wildcards: ingest_code(SLIDES[wildcards.slide].labels),
        script=script("ingest.py", "labels"),
        raw=lambda wildcards: outside(
            SLIDES[wildcards.slide].labels, reference(wildcards.slide)
        ),
        kind=config["labels"]["kind"],
        classes=flags("--classes", config["labels"]["classes"]),
        values=flags("--values", config["labels"]["values"]),
        ignore=flags("--ignore", config["labels"]["ignore"]),
    shell:
        "python {params.script:q} --labels={input.labels:q} --store {output:q}"
        " --kind {params.kind} {params.classes} {params.values} {params.ignore}"
        " 2>&1 | tee {log:q}"
