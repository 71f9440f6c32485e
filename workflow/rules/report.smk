rule write_report:
    """Scores, learning curves and pictures on one page."""
    input:
        sheet=SHEET,
        segmentations=[
            f"results/slides/{slide}.ome.zarr/labels/{model}/zarr.json"
            for model in MODELS
            for slide in SLIDES
        ],
        scores=[
            f"results/scores/{model}/{slide}.json"
            for model in MODELS
            for slide in REFERENCED
        ],
        models=[f"results/models/{model}/package/plan.yaml" for model in MODELS],
        weights=[
            f"results/weights/{model}/{slides_of('train')[0]}.zarr/zarr.json"
            for model in MODELS
        ],
        targets=[targets(model, "train")[0] for model in MODELS],
    output:
        report=report(
            "results/report.html", caption="../report/report.rst", category="Results"
        ),
        table=report(
            "results/scores.tsv", caption="../report/scores.rst", category="Results"
        ),
    log:
        "logs/write_report.log",
    benchmark:
        "benchmarks/write_report.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=4000,
    params:
        code=code_digest("report.py"),
        script=script("report.py"),
        template=text_digest("overtile/reporting/report.html.jinja"),
        title=config["title"],
        models=[f"results/models/{model}" for model in MODELS],
        scores=[f"results/scores/{model}" for model in MODELS] if REFERENCED else [],
    shell:
        "python {params.script:q} --scores {params.scores:q} --sheet {input.sheet:q}"
        " --slides results/slides --models {params.models:q}"
        " --weights {input.weights:q} --targets {input.targets:q} --title {params.title:q}"
        " --report {output.report:q} --table {output.table:q}"
        " 2>&1 | tee {log:q}"
