from functools import cache

from overtile_workflow.records import last_run
from overtile_workflow.slurm_jobs import begin

# The rules of each stage. On a cluster the jobs of a stage share one.
STAGES = {
    "ingest": ["ingest_image", "ingest_labels", "separate_labels"],
    "weigh": ["weigh_borders"],
    "predict": ["predict_probabilities"],
    "measure": ["segment_objects", "evaluate_slide"],
}

# Slides whose raw picture is larger, in 10^9 bytes, share no job with others: so 50 slides ask for
# some 6 hours at most. Prediction without a GPU takes ten times as long.
SMALL_GB = dict.fromkeys(STAGES, 0.02)
if config["device"] == "cpu":
    SMALL_GB["predict"] = 0.002


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
    # Labels to learn are made for the ndim and separate_px of each model.
    for values in ({**names, **model} for model in MODELS.values()):
        for step in steps(stage):
            log, record, result = (path.format(**values) for path in step)
            has_begun = not os.path.exists(result) and has_text(log)
            if has_begun and not has_ended(record, log):
                return True
    return False


@cache
def steps(stage):
    """The log of each step of a stage, the record of how it went, and its result, as patterns."""
    found = []
    for step in [getattr(rules, name) for name in STAGES[stage] if rules.has(name)]:
        log, result = str(step.log[0]), str(step.output[0])
        record = str(step.log.get("run", beside(result, "effort.json")))
        found.append((log, record, result))
    return found


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
