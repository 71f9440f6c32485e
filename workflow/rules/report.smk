rule write_report:
    """Scores, learning curves and pictures on one page."""
    input:
        sheet=SHEET_FILE,
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
            for model in SHOWN
        ],
        targets=[targets(model, "train")[0] for model in SHOWN],
    output:
        report=report(
            "results/report.html", caption="../report/report.rst", category="Results"
        ),
        table=report(
            "results/scores.tsv", caption="../report/scores.rst", category="Results"
        ),
    log:
        text="logs/write_report.log",
        run="results/runs/write_report.json",
    benchmark:
        "benchmarks/write_report.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 60 * attempt,
    params:
        code=code_digest("report.py"),
        training=[
            code_digest("train.py", settings["loss"], family_of(model), "layers")
            for model, settings in MODELS.items()
        ],
        script=script("report.py"),
        template=text_digest("overtile/reporting/report.html.jinja"),
        title=lambda wildcards: config["title"],
        slides=lambda wildcards, output: beside(output.report, "slides"),
        models=lambda wildcards, output: [
            beside(output.report, f"models/{model}") for model in MODELS
        ],
        scores=lambda wildcards, output: [
            beside(output.report, f"scores/{model}") for model in MODELS if REFERENCED
        ],
    shell:
        "python {params.script:q} --scores {params.scores:q} --sheet {input.sheet:q}"
        " --slides {params.slides:q} --models {params.models:q}"
        " --weights {input.weights:q} --targets {input.targets:q} --title={params.title:q}"
        " --report {output.report:q} --table {output.table:q} --record {log.run:q}"
        " 2>&1 | tee {log.text:q}"
