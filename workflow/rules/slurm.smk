from functools import cache

from overtile_workflow.records import last_run
from overtile_workflow.slurm_jobs import begin

# Slides whose raw picture is larger, in 10^9 bytes, share no job with others: so 50 slides ask for
# some 6 hours at most. Prediction without a GPU takes ten times as long.
SMALL_GB = {"ingest": 0.02, "weigh": 0.02, "predict": 0.02, "measure": 0.02}
if config["device"] == "cpu":
    SMALL_GB["predict"] = 0.002


def store_step(log, root):
    """Log, record and result of a step that makes a store."""
    return log, beside(root, "effort.json"), root


# Of each stage's steps: the log that one begins, the record of how it went, and what it makes.
STAGES = {
    "ingest": [
        store_step("logs/ingest_image/{slide}.log", picture("{slide}")),
        store_step("logs/ingest_labels/{slide}.log", reference("{slide}")),
        *(
            store_step(
                f"logs/separate_labels/{kind}/{{slide}}.log",
                f"results/targets/{kind}/{{slide}}.ome.zarr/zarr.json",
            )
            for kind in {
                f"{m['ndim']}d_{m['separate_px']}px"
                for m in MODELS.values()
                if m["separate_px"]
            }
        ),
    ],
    "weigh": [
        store_step(
            "logs/weigh_borders/{model}/{slide}.log",
            "results/weights/{model}/{slide}.zarr/zarr.json",
        ),
    ],
    "predict": [
        store_step(
            "logs/predict_probabilities/{model}/{slide}.log",
            "results/probabilities/{model}/{slide}.ome.zarr/zarr.json",
        ),
    ],
    "measure": [
        store_step(
            "logs/segment_objects/{model}/{slide}.log",
            "results/slides/{slide}.ome.zarr/labels/{model}/zarr.json",
        ),
        (
            "logs/evaluate_slide/{model}/{slide}.log",
            "results/runs/evaluate_slide/{model}/{slide}.json",
            "results/scores/{model}/{slide}.json",
        ),
    ],
}

STAGES = {
    stage: [tuple(map(PLACE, step)) for step in steps]
    for stage, steps in STAGES.items()
}


@cache
def raw_gb(slide):
    """Size of a slide's raw picture in 10^9 bytes; 0 for one that a rule is yet to draw, for good."""
    path = SLIDES[slide].image
    return os.path.getsize(path) / 1e9 if os.path.exists(path) else 0


def minutes(least, per_gb):
    """Time for a step to ask for: it goes on where it was stopped, so a guess will do."""
    return lambda wildcards, attempt: attempt * (
        least + round(per_gb * raw_gb(wildcards.slide))
    )


def batch(stage):
    """Group of a slide's steps: small slides share a job. Only clusters look at groups.

    A slide that was begun and did not end comes alone: should it fail again, it fails alone. Rules
    with a group ask for one place `abreast`: their members run one after another.
    """

    def group(wildcards):
        names = dict(wildcards.items())
        slide = names.get("slide")
        if slide and (raw_gb(slide) > SMALL_GB[stage] or was_left(stage, names)):
            return "_".join([stage, slide, *filter(None, [names.get("model")])])
        return stage

    return group


def was_left(stage, names):
    """Whether one of a slide's steps in a stage has begun, and has not come to its end."""
    for step in STAGES[stage]:
        log, record, result = (path.format(**names) for path in step)
        if not os.path.exists(result) and has_text(log) and not has_ended(record, log):
            return True
    return False


def has_text(log):
    """Whether a step has said something: where a group fails, all members get a log."""
    return os.path.exists(log) and os.path.getsize(log) > 0


def has_ended(record, log):
    """Whether a step ended well: of a group that failed, Snakemake takes all results away.

    Its record is the last that it writes. One that is older than the log is of a run before.
    """
    if not has_text(record) or os.path.getmtime(record) < os.path.getmtime(log):
        return False
    return "ended" in last_run(record)


onstart:
    begin(workflow)
