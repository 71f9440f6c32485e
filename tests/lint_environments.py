"""Checks of the conda environments that need no channel: form, use, agreement with the pip lock.

Run by `make lint`. Ends with exit code 1 and one line per fault. Whether the channel still offers
these packages is what `make solve` asks.
"""

import os
import re
import runpy
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml
from rattler import MatchSpec, Version, VersionSpec
from rattler.exceptions import InvalidMatchSpecError

from faults import tell
from imports import PACKAGE, files_run, imports

CHANNELS = ["conda-forge", "nodefaults"]

PYPI_NAMES = {"pytorch": "torch", "matplotlib-base": "matplotlib", "dask-core": "dask"}
"""PyPI's names of packages that conda-forge calls otherwise."""

CONDA_NAMES = {
    "PIL": "pillow",
    "dask": "dask-core",
    "matplotlib": "matplotlib-base",
    "skimage": "scikit-image",
    "torch": "pytorch",
    "yaml": "pyyaml",
}
"""conda-forge's names of packages whose modules are called otherwise, but for `-` and `_`."""

NO_MODULES = {"python", "cuda-version"}
"""What the pip lock lacks and nothing imports: the interpreter, and the CUDA of torch's build."""


@dataclass(frozen=True)
class Environment:
    """A file of envs/, its channels, and its dependencies by name, those that could be parsed."""

    name: str
    channels: list[str]
    packages: dict[str, MatchSpec]
    faults: list[str]

    def version(self, package: str) -> str:
        """The version pinned, without the operator."""
        return str(self.packages[package].version).removeprefix("==")


@dataclass(frozen=True)
class Rule:
    """A rule that starts a program: its environments for any setting, its script, if it has one.

    uses_gpu: whether it asks for `gpu` as a resource.
    """

    name: str
    environments: frozenset[str]
    script: str | None
    uses_gpu: bool


def lint_environments(root: Path) -> list[str]:
    """All faults of envs/*.yaml in a project's folder."""
    environments = [read_environment(path) for path in sorted((root / "envs").glob("*.yaml"))]
    faults = [fault for e in environments for fault in (*e.faults, *lint_form(e))]
    # What follows needs pins.
    return faults or [
        *lint_versions(environments, locked_versions(root), python_range(root)),
        *(fault for environment in environments for fault in lint_cuda(environment)),
        *lint_gpu(root, {environment.name: environment for environment in environments}),
        *lint_use(root, {environment.name: environment for environment in environments}),
        *lint_container(root, environments),
    ]


def read_environment(path: Path) -> Environment:
    """Parse a file as conda does, build strings with wildcards included."""
    values = yaml.safe_load(path.read_text())
    packages: dict[str, MatchSpec] = {}
    faults = []
    for text in values["dependencies"]:
        try:
            spec = MatchSpec(text, strict=False)
        except (InvalidMatchSpecError, TypeError) as error:
            why = " ".join(str(error).split())
            faults.append(f"{path.name}: {text!r} is not a dependency ({why})")
            continue
        name = spec.name.normalized
        if name in packages:
            faults.append(f"{path.name}: {name} stands there twice")
        packages[name] = spec
    return Environment(path.name, values["channels"], packages, faults)


def lint_form(environment: Environment) -> list[str]:
    """Channels as they must be, and each dependency pinned to one version of them."""
    faults = []
    if environment.channels != CHANNELS:
        faults.append(f"{environment.name}: channels must be {' and '.join(CHANNELS)}, in order")
    for name, spec in environment.packages.items():
        version = str(spec.version or "")
        if spec.channel:
            faults.append(f"{environment.name}: {name} names a channel of its own")
        if not re.fullmatch(r"==\d[0-9A-Za-z.]*", version):
            found = version or "no version"
            faults.append(f"{environment.name}: {name} has {found}; pin it, as in {name}==1.2.3")
        if not re.fullmatch(r"[\w*]+", str(spec.build or "*")):
            faults.append(f"{environment.name}: {name} has {spec.build!s} as build; mend it")
    return faults


def lint_versions(environments: list[Environment], locked: dict, python: str) -> list[str]:
    """The same version of a package in all files, and that of the pip lock."""
    faults = []
    first: dict[str, Environment] = {}
    for environment in environments:
        for name in environment.packages:
            version, where = environment.version(name), f"{environment.name}: {name}"
            other = first.setdefault(name, environment)
            if not _are_equal(version, other.version(name)):
                faults.append(f"{where} {version}, but {other.version(name)} in {other.name}")
            if name in NO_MODULES:
                continue
            expected = locked.get(PYPI_NAMES.get(name, name))
            if expected is None:
                faults.append(f"{where} is not in requirements.txt")
            elif not _are_equal(version, expected):
                faults.append(f"{where} {version}, but {expected} in the pip lock")
        if not VersionSpec(python).matches(Version(environment.version("python"))):
            faults.append(f"{environment.name}: python is not {python}, as pyproject.toml says")
    return faults


def _are_equal(version: str, other: str) -> bool:
    return Version(version) == Version(other)


def locked_versions(root: Path) -> dict[str, str]:
    """Versions of the pip lock, and torch's, which pyproject.toml pins."""
    files = (root / "envs" / "requirements.txt", root / "pyproject.toml")
    lines = "".join(file.read_text() for file in files)
    return dict(re.findall(r"(?:^|\s|\")([a-z0-9][a-z0-9.-]*)==([^ ;\n\"]+)", lines))


def python_range(root: Path) -> str:
    """The versions of Python that the project allows."""
    return tomllib.loads((root / "pyproject.toml").read_text())["project"]["requires-python"]


def lint_cuda(environment: Environment) -> list[str]:
    """Torch is bound to a CUDA of the file's `cuda-version`, or to a build without CUDA."""
    torch = environment.packages.get("pytorch")
    has_cuda = "cuda-version" in environment.packages
    if torch is None:
        return [f"{environment.name}: cuda-version without pytorch"] if has_cuda else []
    build = str(torch.build or "")
    if not has_cuda:
        expected = "cpu_*"
    else:
        expected = f"cuda{environment.version('cuda-version').replace('.', '')}*"
    if build == expected:
        return []
    return [f"{environment.name}: pytorch has build {build or 'any'}; write {expected}"]


def lint_gpu(root: Path, environments: dict[str, Environment]) -> list[str]:
    """Files chosen for a GPU bind torch to CUDA, and rules that ask for one let them be chosen."""
    by_device = network_environments(root)
    faults = [
        f"{name}: is chosen for device {device}, and has no cuda-version to bind pytorch to CUDA"
        for device, name in by_device.items()
        if device != "cpu" and name in environments
        if "cuda-version" not in environments[name].packages
    ]
    return faults + [
        f"rule {rule.name}: asks for a GPU, and not for network_environment(...) as conda"
        for rule in rules(root)
        if rule.uses_gpu and rule.environments != set(by_device.values())
    ]


def lint_use(root: Path, environments: dict[str, Environment]) -> list[str]:
    """Every rule's environments exist and hold what its script imports, and no more than all do."""
    faults, imported = [], {}
    for rule in rules(root):
        if not rule.environments:
            faults.append(f"rule {rule.name}: names no conda environment")
        needed = packages_of(root / "scripts" / rule.script) if rule.script else frozenset()
        for name in sorted(rule.environments):
            imported[name] = imported.get(name, NO_MODULES) | needed
            if name not in environments:
                faults.append(f"rule {rule.name}: envs/{name} does not exist")
                continue
            missing = needed - set(environments[name].packages)
            faults += [f"{name}: lacks {p}, which {rule.script} imports" for p in sorted(missing)]
    for name, environment in environments.items():
        if name not in imported:
            faults.append(f"{name}: no rule uses it")
            continue
        idle = sorted(set(environment.packages) - imported[name])
        faults += [f"{name}: {p} is imported by no script of its rules; drop it" for p in idle]
    return list(dict.fromkeys(faults))


def network_environments(root: Path) -> dict[str, str]:
    """The environment of rules that run a network, by the setting `device`."""
    chooser = root / "workflow" / "lib" / "overtile_workflow" / "environments.py"
    choose = runpy.run_path(str(chooser))["network_environment"]
    return {
        device: os.path.relpath(root / "workflow" / "rules" / choose(device), root / "envs")
        for device in ("auto", "cpu", "cuda")
    }


def rules(root: Path) -> Iterator[Rule]:
    """Each rule that starts a program."""
    by_device = network_environments(root).values()
    for file in sorted((root / "workflow" / "rules").glob("*.smk")):
        for part in re.split(r"^(?=rule \w+:)", file.read_text(), flags=re.M)[1:]:
            rule = re.match(r"rule (\w+)", part)[1]
            if not re.search(r"^    shell:", part, re.M):
                continue  # runs in Snakemake's own process
            conda = re.search(r"^    conda:\s+(.+)$", part, re.M)
            script = re.search(r"""script\(\s*"([\w.]+)""", part)
            paths = re.findall(r'"([^"]+)"', conda[1] if conda else "")
            names = [os.path.relpath(file.parent / path, root / "envs") for path in paths]
            if conda and "network_environment" in conda[1]:
                names = by_device
            uses_gpu = bool(re.search(r"^ +gpu=", part, re.M))
            yield Rule(rule, frozenset(names), script and script[1], uses_gpu)


def packages_of(script: Path) -> frozenset[str]:
    """conda-forge's names of what a script imports, itself or through the library."""
    files = files_run(script.resolve())
    modules = {name.split(".")[0] for file in files for name in imports(file)}
    outside = modules - set(sys.stdlib_module_names) - {PACKAGE}
    return frozenset(CONDA_NAMES.get(name, name.replace("_", "-")) for name in outside)


def lint_container(root: Path, environments: list[Environment]) -> list[str]:
    """The Containerfile has the lock's torch, conda's Python, no address, and what it copies."""
    text = (root / "Containerfile").read_text()
    faults = []
    torch = re.search(r"^ARG TORCH=([\d.]+)", text, re.M)
    if not torch or torch[1] != locked_versions(root)["torch"]:
        faults.append("Containerfile: ARG TORCH is not pyproject.toml's torch")
    python = re.search(r"^ARG PYTHON=([\d.]+)", text, re.M)
    if not python or {python[1]} != {e.version("python") for e in environments}:
        faults.append("Containerfile: ARG PYTHON is not that of the conda environments")
    if not re.search(r"pip install .*-r envs/requirements\.txt", text):
        faults.append("Containerfile: does not install envs/requirements.txt")
    faults += [f"Containerfile: names {url}" for url in re.findall(r"\w+://\S+", text)]
    for line in re.findall(r"^COPY (.+) \S+$", text, re.M):
        lost = [source for source in line.split() if not (root / source).exists()]
        faults += [f"Containerfile: copies {source}, which is not there" for source in lost]
    return faults


def main() -> int:
    """Print all faults; return the exit code."""
    return tell("environments", lint_environments(Path(__file__).resolve().parents[1]))


if __name__ == "__main__":
    sys.exit(main())
