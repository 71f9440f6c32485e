"""Settings, sheet, and what rules ask of them."""

import os
import re
import runpy
import sys
import tarfile
import tempfile
from functools import cache
from hashlib import sha256
from pathlib import Path
from shlex import quote

import yaml
from snakemake.exceptions import WorkflowError


def find_root(rules):
    """The folder of the workflow, also where it is a module of another one.

    rules: where Snakemake found this file. From GitHub and the like, Snakemake reads single files
    only; the scripts need all, which are unpacked beside Snakemake's own clone, once per commit.
    """
    if rules.is_local:
        return Path(rules.get_path_or_uri(secret_free=False)).parents[1]
    clone = rules.hosted_repo
    commit = clone.repo.commit(rules.ref).hexsha
    root = Path(f"{clone.repo_clone}.{commit}")
    if not root.exists():
        with tempfile.TemporaryDirectory(dir=root.parent) as part:
            with open(f"{part}/files.tar", "wb") as file:
                clone.repo.archive(file, commit)
            with tarfile.open(f"{part}/files.tar") as archive:
                archive.extractall(f"{part}/root", filter="data")
            try:
                os.replace(f"{part}/root", root)
            except OSError:
                # Another first run, over the same cache, was faster.
                if not root.exists():
                    raise
    return root


ROOT = find_root(workflow.current_basedir)
sys.path.insert(0, str(ROOT / "workflow" / "lib"))

from overtile_workflow.arguments import in_known_order, read_arguments, write_flags
from overtile_workflow.environments import network_environment, put_own_python_first
from overtile_workflow.outside import OutsideFiles
from overtile_workflow.settings import (
    as_from_the_start,
    check_families,
    check_settings,
    check_together,
    later_flags,
    load_schema,
    wanted_stages,
    without_later_defaults,
)
from overtile_workflow.sheet import MADE_HERE, read_sheet

SCRIPTS = str(ROOT / "scripts")
put_own_python_first(workflow.deployment_settings.deployment_method)


def script(name, section=None, switches=()):
    """Path of a step's script from where snakemake runs, with flags that came later.

    section: of the configuration, whose settings the script takes as flags. Those that there were
    from the start stand in the rule's command; a later one is a flag here where it is not its
    default, so that one more setting makes nothing run again. switches: more flags.
    Snakemake notes no parameter that is a Path: code may be moved or deployed again. A function would
    do the same, but be asked for its signature several times in every job.
    """
    path = Path(os.path.relpath(f"{SCRIPTS}/{name}"))
    later = later_flags(section, config[section], SCHEMA) if section else []
    return [path, *later, *switches] if later or switches else path


# A file of the library that needs nothing else: no rule imports the library.
DIGEST = runpy.run_path(f"{SCRIPTS}/overtile/code_digest.py")


def code_digest(name, *chosen):
    """Digest of what a step computes: changed code reruns its rule, changed words do not.

    chosen: what it looks up by name.
    """
    return DIGEST["code_digest"](f"{SCRIPTS}/{name}", chosen)


def ingest_code(path):
    """Digest of what ingest does with a raw file, whose ending chooses the reader."""
    ending = re.search(r"(\.[^./]*)?(\.gz)?$", path.lower()).group()
    return code_digest("ingest.py", ending)


def training_code(name, *chosen):
    """Digest of a step that leads to a trained model: the name that it has had from the start.

    A finished model is an input: changed code trains no model again, unless the user wants it.
    """
    first = DIGEST["first_name"](f"{SCRIPTS}/{name}")
    return code_digest(name, *chosen) if config["retrain_on_code_change"] else first


def text_digest(name):
    """Digest of a file that a script reads beside its code."""
    return sha256(Path(SCRIPTS, name).read_bytes()).hexdigest()[:16]


def find_sheet(path):
    """The sheet as named, from where snakemake runs; a shipped configuration's comes with it."""
    named = [
        Path(file)
        for file in workflow.configfiles
        if "slides" in (yaml.safe_load(Path(file).read_text(encoding="utf-8")) or {})
    ]
    shipped = bool(named) and named[-1].resolve().is_relative_to(ROOT)
    return str(ROOT / path) if shipped and not Path(path).exists() else path


FAMILIES = DIGEST["registered_names"](
    f"{SCRIPTS}/overtile/networks/family.py", "FAMILIES"
)
SCHEMA = load_schema(ROOT / "workflow" / "schemas" / "config.schema.yaml")
try:
    config = check_settings(config, SCHEMA, "configuration")
    check_together(config, "configuration")
    check_families(config["models"], FAMILIES, "configuration")
    SHEET = find_sheet(config["slides"])
    SLIDES = read_sheet(SHEET, config["data"])
    TRAINED = [name for name, m in config["models"].items() if m["package"] is None]
    if TRAINED and not any(row.split == "train" for row in SLIDES.values()):
        raise ValueError(
            f"{SHEET}: no slide has split 'train'; mark some labelled slides with it, "
            "or give the model a finished package"
        )
except ValueError as error:
    raise WorkflowError(str(error))

MODELS = config["models"]
# Where this is a module, its prefix stands before paths.
PLACE = workflow.modifier.path_modifier.replace_prefix
ADOPTED = [model for model in MODELS if model not in TRAINED]
# The report shows a weight map of each model or of none.
SHOWN = [] if ADOPTED else TRAINED
# Paths of files that are there before: where this is a module, its prefix is not put before them.
SHEET_FILE = local(SHEET)
REFERENCED = [row.slide for row in SLIDES.values() if row.labels]


wildcard_constraints:
    # Not the names of all slides: Snakemake reads the pattern again for every file of every job.
    slide="[^/]+",
    model="|".join(map(re.escape, MODELS)),
    fold=r"\d+",
    ndim="[23]",
    separate_px=r"\d+",


def one_of(names):
    """Pattern of a wildcard that takes these values only; without any, none."""
    return "|".join(map(re.escape, names)) or "(?!)"


def raw(path):
    """A file of the sheet; the demonstration's are made by a rule, all others are there."""
    return path if not path or MADE_HERE.fullmatch(path) else local(path)


def beside(path, name):
    """A path in the folder of another one: where that is has to do with a module's prefix."""
    return str(Path(path).parent / name)


@cache
def family_of(model):
    """The family of a model's network: as set; of a model taken over, as its plan says."""
    if model in TRAINED:
        return MODELS[model]["family"]
    plan = Path(MODELS[model]["package"], "plan.yaml")
    named = plan.is_file() and re.search(
        r"^family: (\S+)$", plan.read_text("utf-8", errors="replace"), re.M
    )
    return (
        named[1]
        if named
        else SCHEMA["$defs"]["model"]["properties"]["family"]["default"]
    )


def training_settings(model):
    """Settings of a model that plan.py knows; later ones only where they are not their defaults."""
    known = {key: value for key, value in MODELS[model].items() if key != "package"}
    return without_later_defaults("model", known, SCHEMA)


def slides_of(*splits):
    """Names of the slides of some splits, sorted: the order of rows has no meaning."""
    return sorted(row.slide for row in SLIDES.values() if row.split in splits)


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


def plan_arguments(model):
    """What a model learns from, as flags of plan.py."""
    listed = read_arguments(PLACE(f"results/models/{model}/plan.args"), LISTS)
    train = in_known_order(slides_of("train"), listed.get("--images", []))
    validation = in_known_order(slides_of("val"), listed.get("--validation", []))
    return {
        "--images": [picture(slide) for slide in train],
        "--validation": [picture(slide) for slide in validation],
        "--labels": [target(model, slide) for slide in (*train, *validation)],
        "--groups": [SLIDES[slide].group or slide for slide in train],
    }


def train_arguments(model):
    """What a model learns from, as flags of train.py."""
    listed = read_arguments(PLACE(f"results/models/{model}/train.args"), LISTS)
    slides = in_known_order(slides_of("train", "val"), listed.get("--images", []))
    return {
        "--images": [picture(slide) for slide in slides],
        "--labels": [target(model, slide) for slide in slides],
        "--weights": [
            f"results/weights/{model}/{slide}.zarr/zarr.json" for slide in slides
        ],
    }


def write_arguments(path, flags):
    """Write flags to results/models/{model}/{path}, one argument a line, for `script.py @path`."""
    # Where this is a module, its prefix stands before results.
    root = str(Path(path).parents[2])
    write_flags(
        path,
        {
            flag: (
                values
                if flag == "--groups"
                else [root + value.removeprefix("results") for value in values]
            )
            for flag, values in flags.items()
        },
    )


LISTS = Path(".snakemake", "overtile_lists")
OUTSIDE = OutsideFiles(
    Path(".snakemake", "overtile_outside.jsonl"), is_kept=workflow.is_main_process
)


def outside(path, made, record=None):
    """What stands for the content of a file from outside, as a parameter of the rule that reads it.

    path: "" for none. made: the file that is made of it. record: file that says how that went; a
    store's lies beside its root.
    """
    return OUTSIDE.token(
        path, PLACE(made), PLACE(record or beside(made, "effort.json"))
    )


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
