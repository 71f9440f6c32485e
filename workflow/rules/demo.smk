rule make_demo_slide:
    """Draw one slide of the demonstration archive, with its labels."""
    output:
        image="resources/demo/slide{number}.ome.tif",
        labels="resources/demo/slide{number}_labels.ome.tif",
    log:
        "logs/make_demo_slide/{number}.log",
    benchmark:
        "benchmarks/make_demo_slide/{number}.tsv"
    wildcard_constraints:
        number=r"\d+",
    group:
        batch("ingest")
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        abreast=1,
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: 2 * attempt,
    params:
        code=code_digest("demo.py"),
        script=script("demo.py"),
    shell:
        "python {params.script:q} --seed {wildcards.number}"
        " --image {output.image:q} --labels {output.labels:q}"
        " 2>&1 | tee {log:q}"
