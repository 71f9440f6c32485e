rule package_model:
    """Copy everything that prediction needs into one folder, with a model card."""
    input:
        plan="results/models/{model}/plan.yaml",
        folds=lambda wildcards: fold_results(wildcards.model),
    output:
        "results/models/{model}/package/plan.yaml",
    log:
        text="logs/package_model/{model}.log",
        run="results/runs/package_model/{model}.json",
    benchmark:
        "benchmarks/package_model/{model}.tsv"
    wildcard_constraints:
        model=one_of(TRAINED),
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 10 * attempt,
    params:
        code=training_code("package.py"),
        script=script("package.py"),
        package=lambda wildcards, output: str(Path(output[0]).parent),
        folds=lambda wildcards, input: [str(Path(done).parent) for done in input.folds],
    shell:
        "python {params.script:q} --plan {input.plan:q} --folds {params.folds:q}"
        " --package {params.package:q} --record {log.run:q}"
        " 2>&1 | tee {log.text:q}"


rule adopt_package:
    """Use a finished package instead of training a model."""
    input:
        lambda wildcards: local(
            str(Path(MODELS[wildcards.model]["package"], "plan.yaml"))
        ),
    output:
        plan="results/models/{model}/plan.yaml",
        package="results/models/{model}/package/plan.yaml",
    log:
        text="logs/adopt_package/{model}.log",
        run="results/runs/package_model/{model}.json",
    benchmark:
        "benchmarks/adopt_package/{model}.tsv"
    wildcard_constraints:
        model=one_of(ADOPTED),
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: 10 * attempt,
    params:
        code=training_code("package.py"),
        script=script("package.py"),
        # Not by `input`: Snakemake notes no parameter that follows from it.
        content=lambda wildcards: outside(
            str(Path(MODELS[wildcards.model]["package"], "plan.yaml")),
            f"results/models/{wildcards.model}/package/plan.yaml",
            f"results/runs/package_model/{wildcards.model}.json",
        ),
        # The folder, and what it must tell apart where slides have labels.
        package=lambda wildcards, output: [
            str(Path(output.package).parent),
            *(["--classes", *config["labels"]["classes"]] if REFERENCED else []),
        ],
    shell:
        "python {params.script:q} --adopt {input:q} --plan {output.plan:q}"
        " --package {params.package:q} --record {log.run:q}"
        " 2>&1 | tee {log.text:q}"
