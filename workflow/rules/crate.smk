import snakemake as engine


rule write_crate:
    """Describe how everything was made: slides, models, code, versions, commands and times."""
    input:
        report="results/report.html",
        table="results/scores.tsv",
        sheet=SHEET_FILE,
    output:
        crate="results/ro-crate-metadata.json",
        config="results/workflow/config.yaml",
    log:
        "logs/write_crate.log",
    benchmark:
        "benchmarks/write_crate.tsv"
    conda:
        "../../envs/cpu.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: 4000 * attempt,
        runtime=lambda wildcards, attempt: 30 * attempt,
    params:
        code=code_digest("crate.py"),
        script=script("crate.py"),
        results=lambda wildcards, output: str(Path(output.crate).parent),
        # A Path, as the script's.
        snakefile=Path(os.path.relpath(ROOT / "Snakefile")),
        config=lambda wildcards: yaml.safe_dump(as_from_the_start(config, SCHEMA)),
        models=" ".join(MODELS),
        title=lambda wildcards: config["title"],
        licence=lambda wildcards: config["licence"],
        snakemake=lambda wildcards, input: engine.__version__,
    shell:
        "printf %s {params.config:q} > {output.config:q} && "
        "python {params.script:q} --results {params.results:q} --crate {output.crate:q}"
        " --sheet {input.sheet:q} --models {params.models} --snakefile {params.snakefile:q}"
        " --config {output.config:q} --title={params.title:q} --licence={params.licence:q}"
        " --snakemake {params.snakemake}"
        " 2>&1 | tee {log:q}"
