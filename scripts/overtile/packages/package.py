"""A model folder, read: all that prediction needs, loadable without executing anything."""

import re
from dataclasses import dataclass
from pathlib import Path

from overtile.errors import InputError
from overtile.planning.plan import Plan
from overtile.planning.reading import check_names, plan_from
from overtile.settings.checks import read_record, shown
from overtile.stores.digest import digest_file
from overtile.stores.yaml_files import read_yaml

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


def read_package(folder: Path) -> Package:
    """A packaged model, after checking its plan and its weight files.

    folder: the package, or its plan.yaml. Raises InputError, one line, for a wrong key or value, or
    if something is missing or changed.
    """
    folder = folder_of(folder)
    path = folder / PLAN
    values = read_yaml(path)
    if "members" not in values:
        raise InputError(
            f"{path}: has no key 'members', so it is no packaged model; run scripts/package.py"
        )
    members = read_record(Members, {"members": values.pop("members")}, str(path))
    check_members(members, str(path))
    package = Package(folder, plan_from(values, str(path)), members.members)
    for file, member in zip(package.files, package.members, strict=True):
        if not file.is_file() or digest_file(file) != member.sha256:
            raise InputError(f"{file}: missing or changed; package the model again")
    return package


def folder_of(package: Path) -> Path:
    """The folder of a package, given itself or its plan.yaml."""
    return Path(package).parent if Path(package).name == PLAN else Path(package)


def check_members(members: Members, where: str) -> None:
    """Raise InputError, one line, for digests or names of weight files that cannot be right."""
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
