rule package_model:
    """Put all that prediction needs into one folder, with a model card."""
    input:
        plan="results/models/{model}/plan.yaml",
        folds=lambda wildcards: fold_results(wildcards.model),
    output:
        "results/models/{model}/package/plan.yaml",
    log:
        "logs/package_model/{model}.log",
    benchmark:
        "benchmarks/package_model/{model}.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=1000,
    params:
        code=code_digest("package.py"),
        script=script("package.py"),
        package=lambda wildcards, output: str(Path(output[0]).parent),
        folds=lambda wildcards, input: [str(Path(done).parent) for done in input.folds],
    shell:
        "python {params.script:q} --plan {input.plan:q} --folds {params.folds:q}"
        " --package {params.package:q}"
        " 2>&1 | tee {log:q}"
