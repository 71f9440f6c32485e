"""Settings, sheet, and what rules ask of them."""

import os
import re
import runpy
import sys
from hashlib import sha256
from pathlib import Path
from shlex import quote

import yaml
from snakemake.exceptions import WorkflowError

# The folder of this file, also where the workflow is a module of another one.
ROOT = Path(workflow.current_basedir.get_path_or_uri(secret_free=False)).parents[1]
sys.path.insert(0, str(ROOT / "workflow" / "lib"))

from settings import check_settings, check_together, load_schema
from sheet import read_sheet

SCRIPTS = str(ROOT / "scripts")


def script(name):
    """Path of a step's script from where snakemake runs: moving both together reruns nothing."""
    return os.path.relpath(f"{SCRIPTS}/{name}")


# The one library file read here; it needs nothing but the standard library.
DIGEST = runpy.run_path(f"{SCRIPTS}/overtile/code_digest.py")


def code_digest(name):
    """Digest of what a step computes: changed code reruns its rule, a changed comment does not."""
    return DIGEST["code_digest"](f"{SCRIPTS}/{name}")


def text_digest(name):
    """Digest of a file that a script reads beside its code."""
    return sha256(Path(SCRIPTS, name).read_bytes()).hexdigest()[:16]


def find_sheet(path):
    """The sheet as named, from where snakemake runs, or else from the workflow's folder."""
    return path if Path(path).exists() else str(ROOT / path)


try:
    config = check_settings(
        config,
        load_schema(ROOT / "workflow" / "schemas" / "config.schema.yaml"),
        "configuration",
    )
    check_together(config, "configuration")
    SHEET = find_sheet(config["slides"])
    SLIDES = read_sheet(SHEET, config["data"])
    if not any(row.split == "train" for row in SLIDES.values()):
        raise ValueError(
            f"{SHEET}: no slide has split 'train'; mark some labelled slides with it"
        )
except ValueError as error:
    raise WorkflowError(str(error))

MODELS = config["models"]
REFERENCED = [row.slide for row in SLIDES.values() if row.labels]


wildcard_constraints:
    slide="|".join(map(re.escape, SLIDES)),
    model="|".join(map(re.escape, MODELS)),
    fold=r"\d+",
    ndim="[23]",
    separate_px=r"\d+",


def slides_of(*splits):
    """Names of the slides of some splits, in the sheet's order."""
    return [row.slide for row in SLIDES.values() if row.split in splits]


def picture(slide):
    """The committed root of a slide's store."""
    return f"results/slides/{slide}.ome.zarr/zarr.json"


def reference(slide):
    """The committed root of a slide's reference labels."""
    return f"results/slides/{slide}.ome.zarr/labels/reference/zarr.json"


def target(model, slide):
    """The labels that a model learns: the reference, or with a border between touching cells."""
    ndim, separate_px = MODELS[model]["ndim"], MODELS[model]["separate_px"]
    if config["labels"]["kind"] != "instances" or separate_px == 0:
        return reference(slide)
    return f"results/targets/{ndim}d_{separate_px}px/{slide}.ome.zarr/zarr.json"


def targets(model, *splits):
    """The labels that a model learns, of all slides of some splits."""
    return [target(model, slide) for split in splits for slide in slides_of(split)]


def flags(name, values):
    """A flag with its values quoted for the shell, or nothing if there are none."""
    values = [values] if isinstance(values, (str, int, float)) else values or []
    return " ".join([name, *map(quote, map(str, values))]) if values else ""


def pixel_size_flags(slide):
    """The pixel size that the sheet gives a slide, if it does."""
    return flags("--pixel-size-um", SLIDES[slide].pixel_size_um.split())


def fold_results(model):
    """What training leaves behind, for each fold of a model."""
    folds = MODELS[model]["folds"]
    return [f"results/models/{model}/fold{fold}/fold.json" for fold in range(folds)]
