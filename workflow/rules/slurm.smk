from overtile_workflow.slurm_jobs import begin

# Slides whose raw picture is larger, in 10^9 bytes, share no job with others: so 50 slides ask for
# some 6 hours at most. Prediction without a GPU takes ten times as long.
SMALL_GB = {"ingest": 0.02, "weigh": 0.02, "predict": 0.02, "measure": 0.02}
if config["device"] == "cpu":
    SMALL_GB["predict"] = 0.002

# Of each stage: the logs that its steps begin, and what they leave when they end.
STAGES = {
    "ingest": [
        ("logs/ingest_image/{slide}.log", picture("{slide}")),
        ("logs/ingest_labels/{slide}.log", reference("{slide}")),
        *(
            (
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
        (
            "logs/weigh_borders/{model}/{slide}.log",
            "results/weights/{model}/{slide}.zarr/zarr.json",
        ),
    ],
    "predict": [
        (
            "logs/predict_probabilities/{model}/{slide}.log",
            "results/probabilities/{model}/{slide}.ome.zarr/zarr.json",
        ),
    ],
    "measure": [
        (
            "logs/segment_objects/{model}/{slide}.log",
            "results/slides/{slide}.ome.zarr/labels/{model}/zarr.json",
        ),
        (
            "logs/evaluate_slide/{model}/{slide}.log",
            "results/scores/{model}/{slide}.json",
        ),
    ],
}

# Where this is a module, its prefix stands before them.
PLACE = workflow.modifier.path_modifier.replace_prefix
STAGES = {
    stage: [tuple(map(PLACE, pair)) for pair in pairs]
    for stage, pairs in STAGES.items()
}


def raw_gb(slide):
    """Size of a slide's raw picture in 10^9 bytes; 0 for one that a rule is yet to draw."""
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
    """Whether one of a slide's steps in a stage has begun, and has left nothing."""
    pairs = ([path.format(**names) for path in pair] for pair in STAGES[stage])
    return any(has_text(log) and not os.path.exists(end) for log, end in pairs)


def has_text(log):
    """Whether a step has said something: where a group fails, all members get a log."""
    return os.path.exists(log) and os.path.getsize(log) > 0


onstart:
    begin(workflow)
