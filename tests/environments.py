"""Write the conda environments: versions of the pip lock for what the rules' scripts import.

    python tests/environments.py [--write]

Without --write it only says what is stale, as `make lint` does. Ends with exit code 1 and one line
per fault. Whether the channel still offers these packages is what `make solve` asks.
"""

import os
import re
import runpy
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

from faults import tell
from imports import PACKAGE, files_run, imports

PYTHON = "3.12.12"
CUDA = "12.9"
"""The CUDA that torch's build for GPUs is made with."""

COMMENTS = {
    "cpu.yaml": "All steps on the processor. "
    "Versions are those of requirements.txt, checked by `make lint`.",
    "gpu.yaml": "Steps that run a network, on an NVIDIA GPU with driver 525 (CUDA 12.0) or newer, "
    "unless the setting `device` is cpu: then they run in cpu.yaml. The build string keeps a login "
    "node without GPU from getting a build without CUDA; it needs "
    f"CONDA_OVERRIDE_CUDA={CUDA} to be set there.",
}
"""The environments, and what each file says of itself."""

CONDA_NAMES = {"torch": "pytorch", "matplotlib": "matplotlib-base", "dask": "dask-core"}
"""conda-forge's names of packages that PyPI calls otherwise."""


@dataclass(frozen=True)
class Rule:
    """A rule that starts a program: its environments for any setting, its script, if it has one.

    uses_gpu: whether it asks for `gpu` as a resource.
    """

    name: str
    environments: frozenset[str]
    script: str | None
    uses_gpu: bool


def generated_files(root: Path) -> dict[str, str]:
    """The text of each generated file of a project, by its path."""
    torch = locked_versions(root)["torch"]
    container = (root / "Containerfile").read_text()
    container = re.sub(r"(?m)^ARG PYTHON=.*", f"ARG PYTHON={PYTHON}", container)
    container = re.sub(r"(?m)^ARG TORCH=.*", f"ARG TORCH={torch}+cpu", container)
    environments = {f"envs/{name}": environment_text(root, name) for name in COMMENTS}
    return {"Containerfile": container, **environments}


def environment_text(root: Path, name: str) -> str:
    """An environment of all that its rules import, with torch's build for CUDA or without."""
    by_device = network_environments(root)
    has_cuda = name in (by_device["auto"], by_device["cuda"])
    build = f"cuda{CUDA.replace('.', '')}*" if has_cuda else "cpu_*"
    packages = {
        p for rule in rules(root) if name in rule.environments for p in imported(root, rule)
    }
    pins = [
        f"{CONDA_NAMES.get(package, package)}=={version}"
        for package, version in locked_versions(root).items()
        if package in packages
    ]
    lines = [f"# {line}" for line in textwrap.wrap(COMMENTS[name], 99)]
    lines += ["channels:", "  - conda-forge", "  - nodefaults", "dependencies:"]
    for pin in (f"python=={PYTHON}", *pins, *([f"cuda-version=={CUDA}"] if has_cuda else [])):
        # conda writes a version with a build as name=version=build.
        is_torch = pin.startswith("pytorch==")
        lines.append(f"  - {pin.replace('==', '=')}={build}" if is_torch else f"  - {pin}")
    return "\n".join(lines) + "\n"


def locked_versions(root: Path) -> dict[str, str]:
    """The pip lock's versions of the project's dependencies, by PyPI's names, in their order."""
    wanted = tomllib.loads((root / "pyproject.toml").read_text())["project"]["dependencies"]
    lock = (root / "envs" / "requirements.txt").read_text()
    locked = dict(re.findall(r"(?m)^([a-z0-9.-]+)==([^ ;\n]+)", lock))
    pinned = dict(text.split("==") for text in wanted if "==" in text)
    names = [re.match(r"[\w.-]+", text)[0] for text in wanted]
    return {name: pinned.get(name) or locked[name] for name in names}


def lint_environments(root: Path) -> list[str]:
    """All faults of the rules' environments, and each generated file that is stale."""
    by_device, dependencies = network_environments(root), locked_versions(root)
    faults = []
    for rule in rules(root):
        if not rule.environments:
            faults.append(f"rule {rule.name}: names no conda environment")
        if rule.uses_gpu and rule.environments != set(by_device.values()):
            faults.append(
                f"rule {rule.name}: asks for a GPU, and not for network_environment(...) as conda"
            )
        for name in sorted(rule.environments - set(COMMENTS)):
            faults.append(f"rule {rule.name}: envs/{name} is not written by {Path(__file__).name}")
        for package in sorted(imported(root, rule) - set(dependencies)):
            faults.append(f"pyproject.toml: lacks {package}, which {rule.script} imports")
    generated = generated_files(root)
    for path in sorted(str(path.relative_to(root)) for path in (root / "envs").glob("*.yaml")):
        if path not in generated:
            faults.append(f"{path}: no rule uses it")
    for path, text in generated.items():
        if (root / path).read_text() != text:
            faults.append(f"{path}: is stale; run python tests/environments.py --write")
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


def imported(root: Path, rule: Rule) -> frozenset[str]:
    """PyPI's names of what a rule's script imports, itself or through the library."""
    if rule.script is None:
        return frozenset()
    files = files_run((root / "scripts" / rule.script).resolve())
    modules = {name.split(".")[0] for file in files for name in imports(file)}
    outside = modules - set(sys.stdlib_module_names) - {PACKAGE}
    return frozenset(distribution(module) for module in outside)


def distribution(module: str) -> str:
    """PyPI's name of the installed package that a top-level module belongs to."""
    return _distributions().get(module, [module])[0].lower().replace("_", "-")


_distributions = cache(packages_distributions)


def main() -> int:
    """Write what is stale if asked to; print all faults that are left; return the exit code."""
    root = Path(__file__).resolve().parents[1]
    if sys.argv[1:] == ["--write"]:
        for path, text in generated_files(root).items():
            (root / path).write_text(text)
    return tell("environments", lint_environments(root))


if __name__ == "__main__":
    sys.exit(main())
