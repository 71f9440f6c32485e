"""A model folder: all that prediction needs, loadable without executing anything."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from overtile.errors import InputError
from overtile.stores.digest import digest_file
from overtile.stores.files import read_json, read_yaml, replace_when_done, write_text, write_yaml

PLAN, CARD = "plan.yaml", "README.md"


def write_package(plan: dict, folds: Sequence[Path], folder: Path) -> None:
    """Copy the best weights of all folds beside their plan; `plan.yaml` is written last.

    plan.yaml names each weight file with its SHA-256, so that the folder can be checked.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / PLAN).unlink(missing_ok=True)
    members, scores = [], []
    for fold in folds:
        done = read_json(fold / "fold.json")
        target = folder / f"fold{done['fold']}.safetensors"
        with replace_when_done(target) as temporary:
            shutil.copyfile(fold / "best.safetensors", temporary)
        if digest_file(target) != done["best_sha256"]:
            raise InputError(f"{fold}/best.safetensors: changed since training; train again")
        members.append({"file": target.name, "sha256": done["best_sha256"]})
        scores.append(done["best"])
    write_text(folder / CARD, model_card(plan, scores))
    write_yaml(folder / PLAN, {**plan, "members": members})


def read_package(folder: Path) -> dict:
    """The plan of a packaged model, after checking its weight files.

    folder: the package, or its plan.yaml. Raises InputError if something is missing or changed.
    """
    folder = Path(folder)
    folder = folder.parent if folder.name == PLAN else folder
    plan = read_yaml(folder / PLAN)
    missing = {"members", "architecture", "classes", "tile_output_px"} - set(plan)
    if missing:
        raise InputError(
            f"{folder / PLAN}: has no key {sorted(missing)[-1]!r}, so it is no packaged model; "
            "run scripts/package.py"
        )
    for member in plan["members"]:
        file = folder / Path(member["file"]).name
        if not file.is_file() or digest_file(file) != member["sha256"]:
            raise InputError(f"{file}: missing or changed; package the model again")
    return plan


def copy_package(source: Path, folder: Path, plan_path: Path) -> Path:
    """Copy a package after checking it, and its plan to `plan_path`; `plan.yaml` is written last.

    source: the package, or its plan.yaml, which is returned. Raises InputError if something is
    missing or changed.
    """
    source = source.parent if source.name == PLAN else source
    plan = read_package(source)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / PLAN).unlink(missing_ok=True)
    for name in (*(Path(member["file"]).name for member in plan["members"]), CARD):
        if (source / name).is_file():
            with replace_when_done(folder / name) as temporary:
                shutil.copyfile(source / name, temporary)
    write_yaml(plan_path, {key: value for key, value in plan.items() if key != "members"})
    write_yaml(folder / PLAN, plan)
    return source / PLAN


def model_card(plan: dict, scores: Sequence[dict]) -> str:
    """What the model is, was trained on, and how well it did there: Markdown."""
    a = plan["architecture"]
    edges = " x ".join(map(str, plan["tile_input_px"]))
    names = [s["slide"] for s in plan["slides"]]
    weights = plan["weights"]
    sigma = f"{weights['sigma_px']} px"
    if weights["sigma_um"] is not None:
        sigma = f"{weights['sigma_um']} um"
    lines = [
        "# Model card",
        "",
        f"A {a['ndim']}D U-Net (valid convolutions, {len(a['pools'])} levels, width {a['width']}, "
        f"normalisation {a['norm']}) that tells apart: {', '.join(plan['classes'])}.",
        "",
        f"- Input: {a['in_channels']} channel(s), each slide normalised to zero mean and unit "
        f"variance; trained on tiles of {edges} px.",
        f"- Pixel sizes of the training slides, z y x in um: {_pixel_sizes(plan)}. "
        "Slides of other pixel sizes give other results.",
        f"- Trained on {len(names)} slides: {', '.join(names[:20])}"
        + (" and more." if len(names) > 20 else "."),
        f"- Loss {plan['loss']}, w0 {weights['w0']}, sigma {sigma}, {plan['epochs']} epochs of "
        f"{plan['steps_per_epoch']} steps, seed {plan['seed']}.",
        "",
        "| fold | best epoch | validation Dice |",
        "|---|---|---|",
    ]
    for fold, best in enumerate(scores):
        dice = best.get("validation_dice")
        lines.append(f"| {fold} | {best['epoch']} | {'none' if dice is None else f'{dice:.4f}'} |")
    return "\n".join([*lines, "", "Weights are safetensors; settings are in plan.yaml.", ""])


def _pixel_sizes(plan: dict) -> str:
    sizes = sorted({str(s["pixel_size_um"] or "unknown") for s in plan["slides"]})
    return "; ".join(sizes[:5])
