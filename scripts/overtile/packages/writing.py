"""A model folder, written: from trained folds, or as a copy of another one."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from overtile.errors import InputError
from overtile.packages.model_card import model_card
from overtile.packages.package import (
    CARD,
    PLAN,
    WEIGHTS,
    Member,
    Members,
    Package,
    check_members,
    folder_of,
    read_package,
)
from overtile.packages.trained import read_trained
from overtile.planning.plan import Plan
from overtile.settings.checks import to_plain
from overtile.stores.digest import digest_file
from overtile.stores.files import replace_when_done, write_text
from overtile.stores.yaml_files import write_yaml


def write_package(plan: Plan, folds: Sequence[Path], folder: Path) -> None:
    """Copy the best weights of all folds beside their plan; `plan.yaml` is written last.

    plan.yaml names each weight file with its SHA-256, so that the folder can be checked.
    """
    trained = [read_trained(fold) for fold in folds]
    members = Members(tuple(Member(f"fold{t.fold}{WEIGHTS}", t.best_sha256) for t in trained))
    check_members(members, "--folds")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / PLAN).unlink(missing_ok=True)
    for fold, member in zip(folds, members.members, strict=True):
        _copy_checked(fold / f"best{WEIGHTS}", folder / member.file, member.sha256)
    write_text(folder / CARD, model_card(plan, [t.best for t in trained]))
    write_yaml(folder / PLAN, {**plan.written(), "members": to_plain(members.members)})


def copy_package(
    source: Path, folder: Path, plan_path: Path, classes: Sequence[str] | None = None
) -> Path:
    """Copy a package after checking it, and its plan to `plan_path`; `plan.yaml` is written last.

    source: the package, or its plan.yaml, which is returned. classes: those that it must have, in
    any order. Raises InputError if something is missing or changed, or if the classes are others.
    """
    source = folder_of(source)
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
            f"{package.folder / PLAN}: has classes {', '.join(package.plan.classes)}; wanted: "
            f"{', '.join(classes)}; choose another package, or set labels.classes to its classes"
        )
