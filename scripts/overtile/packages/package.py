"""A model folder: all that prediction needs, loadable without executing anything."""

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from overtile.errors import InputError
from overtile.planning.plan import Plan
from overtile.planning.reading import check_names, plan_from
from overtile.settings.checks import read_record, shown, to_plain
from overtile.stores.digest import digest_file
from overtile.stores.files import read_json, replace_when_done, write_text
from overtile.stores.yaml_files import read_yaml, write_yaml

PLAN, CARD = "plan.yaml", "README.md"
WEIGHTS = ".safetensors"


@dataclass(frozen=True)
class Member:
    """One network of a package: its weight file, beside the plan, and that file's SHA-256."""

    file: str
    sha256: str


@dataclass(frozen=True)
class Members:
    """What plan.yaml says in a package, and in no other place."""

    members: tuple[Member, ...]


@dataclass(frozen=True)
class Package:
    """A packaged model whose files have been checked."""

    folder: Path
    plan: Plan
    members: tuple[Member, ...]

    @property
    def files(self) -> list[Path]:
        """The weight files of all members."""
        return [self.folder / member.file for member in self.members]


@dataclass(frozen=True)
class Best:
    """The epoch whose weights a fold keeps, and how good they were."""

    epoch: int
    validation_dice: float | None = None


@dataclass(frozen=True)
class Trained:
    """What a package takes from the fold.json of a finished fold."""

    fold: int
    best_sha256: str
    best: Best


def write_package(plan: Plan, folds: Sequence[Path], folder: Path) -> None:
    """Copy the best weights of all folds beside their plan; `plan.yaml` is written last.

    plan.yaml names each weight file with its SHA-256, so that the folder can be checked.
    """
    trained = [_read_trained(fold) for fold in folds]
    members = Members(tuple(Member(f"fold{t.fold}{WEIGHTS}", t.best_sha256) for t in trained))
    _check_members(members, "--folds")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / PLAN).unlink(missing_ok=True)
    for fold, member in zip(folds, members.members, strict=True):
        _copy_checked(fold / f"best{WEIGHTS}", folder / member.file, member.sha256)
    write_text(folder / CARD, model_card(plan, [t.best for t in trained]))
    write_yaml(folder / PLAN, {**plan.written(), **to_plain(members)})


def read_package(folder: Path) -> Package:
    """A packaged model, after checking its plan and its weight files.

    folder: the package, or its plan.yaml. Raises InputError, one line, for a wrong key or value, or
    if something is missing or changed.
    """
    folder = _folder_of(folder)
    path = folder / PLAN
    values = read_yaml(path)
    if "members" not in values:
        raise InputError(
            f"{path}: has no key 'members', so it is no packaged model; run scripts/package.py"
        )
    members = read_record(Members, {"members": values.pop("members")}, str(path))
    _check_members(members, str(path))
    package = Package(folder, plan_from(values, str(path)), members.members)
    for file, member in zip(package.files, package.members, strict=True):
        if not file.is_file() or digest_file(file) != member.sha256:
            raise InputError(f"{file}: missing or changed; package the model again")
    return package


def copy_package(
    source: Path, folder: Path, plan_path: Path, classes: Sequence[str] | None = None
) -> Path:
    """Copy a package after checking it, and its plan to `plan_path`; `plan.yaml` is written last.

    source: the package, or its plan.yaml, which is returned. classes: those that it must have, in
    any order. Raises InputError if something is missing or changed, or if the classes are others.
    """
    source = _folder_of(source)
    package = read_package(source)
    _refuse_other_classes(package, classes)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / PLAN).unlink(missing_ok=True)
    for file, member in zip(package.files, package.members, strict=True):
        _copy_checked(file, folder / member.file, member.sha256)
    if (source / CARD).is_file():
        _copy_checked(source / CARD, folder / CARD, digest_file(source / CARD))
    write_yaml(plan_path, package.plan.written())
    _copy_checked(source / PLAN, folder / PLAN, digest_file(source / PLAN))
    return source / PLAN


def _folder_of(package: Path) -> Path:
    """The folder of a package, given itself or its plan.yaml."""
    return Path(package).parent if Path(package).name == PLAN else Path(package)


def _check_members(members: Members, where: str) -> None:
    names = [member.file for member in members.members]
    for member in members.members:
        if not re.fullmatch("[0-9a-f]{64}", member.sha256):
            raise InputError(
                f"{where}: sha256 is {shown(member.sha256)}; allowed: 64 hexadecimal digits; "
                "package the model again"
            )
    if not names:
        raise InputError(f"{where}: members is empty; package the model again")
    check_names("members", names, where)
    for name in names:
        if Path(name).name != name or "\\" in name or not name.endswith(WEIGHTS):
            raise InputError(
                f"{where}: members has the file {shown(name)}; allowed: names that end in "
                f"{WEIGHTS}, without folders; package the model again"
            )


def _copy_checked(source: Path, target: Path, digest: str) -> None:
    """Copy a file; raise InputError if what was copied does not have the digest."""
    if not source.is_file():
        raise InputError(f"{source}: is missing; train again")
    with replace_when_done(target) as temporary:
        shutil.copyfile(source, temporary)
        if digest_file(temporary) != digest:
            raise InputError(f"{source}: changed since training; train again")


def _refuse_other_classes(package: Package, classes: Sequence[str] | None) -> None:
    """Classes are compared by name: in another order they are the same, as names go with them."""
    if classes is not None and set(classes) != set(package.plan.classes):
        raise InputError(
            f"{package.folder / PLAN}: tells apart {', '.join(package.plan.classes)}; wanted: "
            f"{', '.join(classes)}; take another package, or name its classes in labels.classes"
        )


def _read_trained(fold: Path) -> Trained:
    path = fold / "fold.json"
    done = read_json(path)
    try:
        best = {name: done["best"].get(name) for name in ("epoch", "validation_dice")}
        values = {"fold": done["fold"], "best_sha256": done["best_sha256"], "best": best}
    except (AttributeError, KeyError, TypeError):
        raise InputError(f"{path}: is not that of a trained fold; train again") from None
    return read_record(Trained, values, str(path))


def model_card(plan: Plan, scores: Sequence[Best]) -> str:
    """What the model is, was trained on, and how well it did there: Markdown."""
    a, weights = plan.architecture, plan.weights
    edges = " x ".join(map(str, plan.tile_input_px))
    names = [known.slide for known in plan.slides]
    sigma = f"{weights.sigma_px} px" if weights.sigma_um is None else f"{weights.sigma_um} um"
    lines = [
        "# Model card",
        "",
        f"A {a.ndim}D U-Net (valid convolutions, {len(a.pools)} levels, width {a.width}, "
        f"normalisation {a.norm}) that tells apart: {', '.join(plan.classes)}.",
        "",
        f"- Input: {a.in_channels} channel(s), each slide normalised to zero mean and unit "
        f"variance; trained on tiles of {edges} px.",
        f"- Pixel sizes of the training slides, z y x in um: {_pixel_sizes(plan)}. "
        "Slides of other pixel sizes give other results.",
        f"- Trained on {len(names)} slides: {', '.join(names[:20])}"
        + (" and more." if len(names) > 20 else "."),
        f"- Loss {plan.loss}, w0 {weights.w0}, sigma {sigma}, {plan.epochs} epochs of "
        f"{plan.steps_per_epoch} steps, seed {plan.seed}.",
        "",
        "| fold | best epoch | validation Dice |",
        "|---|---|---|",
    ]
    for fold, best in enumerate(scores):
        dice = best.validation_dice
        lines.append(f"| {fold} | {best.epoch} | {'none' if dice is None else f'{dice:.4f}'} |")
    return "\n".join([*lines, "", "Weights are safetensors; settings are in plan.yaml.", ""])


def _pixel_sizes(plan: Plan) -> str:
    sizes = sorted({str(list(s.pixel_size_um or ()) or "unknown") for s in plan.slides})
    return "; ".join(sizes[:5])
