"""overtile: segment whole image archives with U-Net."""

from snakemake.utils import min_version

min_version("9.0")


# Another configuration replaces the demonstration's; the two are not mixed.
if not workflow.configfiles:

    configfile: "config/config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/slurm.smk"
include: "workflow/rules/demo.smk"
include: "workflow/rules/ingest.smk"
include: "workflow/rules/separate.smk"
include: "workflow/rules/plan.smk"
include: "workflow/rules/weigh.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/package.smk"
include: "workflow/rules/predict.smk"
include: "workflow/rules/segment.smk"
include: "workflow/rules/export.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/crate.smk"


rule all:
    """Everything: masks, scores, the report, and how all was made."""
    default_target: True
    input:
        "results/report.html",
        "results/ro-crate-metadata.json",
