from slurm_jobs import cancel_left_jobs

# Slides whose raw picture is larger, in 10^9 bytes, share no job with others.
SMALL_GB = 0.1

# Of each stage: the log that its first step begins, and what that step leaves when it ends.
STAGES = {
    "ingest": (
        "logs/ingest_image/{slide}.log",
        "results/slides/{slide}.ome.zarr/zarr.json",
    ),
    "weigh": (
        "logs/weigh_borders/{model}/{slide}.log",
        "results/weights/{model}/{slide}.zarr/zarr.json",
    ),
    "predict": (
        "logs/predict_probabilities/{model}/{slide}.log",
        "results/probabilities/{model}/{slide}.ome.zarr/zarr.json",
    ),
    "measure": (
        "logs/segment_objects/{model}/{slide}.log",
        "results/slides/{slide}.ome.zarr/labels/{model}/zarr.json",
    ),
}


def raw_gb(slide):
    """Size of a slide's raw picture in 10^9 bytes; 0 for one that a rule is yet to draw."""
    path = SLIDES[slide].image
    return os.path.getsize(path) / 1e9 if os.path.exists(path) else 0


def minutes(slide, least, per_gb):
    """Time to ask for: steps go on where they were stopped, so a guess will do."""
    return least + round(per_gb * raw_gb(slide))


def batch(stage):
    """Group of a slide's steps: small slides share a job. Only clusters look at groups.

    A slide that was begun and did not end comes alone: should it fail again, it fails alone.
    """

    def group(wildcards):
        slide = wildcards.get("slide")
        if slide and (raw_gb(slide) > SMALL_GB or was_left(stage, wildcards)):
            return "_".join([stage, *wildcards])
        return stage

    return group


def was_left(stage, wildcards):
    """Whether a slide's stage has begun, and has left nothing."""
    names = dict(wildcards.items())
    log, result = (Path(path.format(**names)) for path in STAGES[stage])
    return log.exists() and not result.exists()


onstart:
    # A Snakemake that is killed leaves its jobs to SLURM, and would make them a second time.
    cancel_left_jobs(Path.cwd())
