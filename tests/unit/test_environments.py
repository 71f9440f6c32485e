"""Environments and Containerfile that are stale are found, and faults of rules that use them."""

import asyncio
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from solve_environments import builds, machines, read_environment, version  # noqa: E402

from environments import PYTHON, imported, lint_environments, locked_versions, rules  # noqa: E402

PARTS = ("envs", "workflow", "scripts", "Containerfile", "pyproject.toml")


@pytest.fixture
def project(tmp_path) -> Path:
    """What is checked, by links, so that what nobody changes is parsed once."""
    for part in PARTS:
        (tmp_path / part).symlink_to(ROOT / part)
    return tmp_path


def change(project: Path, file: str, old: str, new: str) -> None:
    """Change a file in a copy of its folder."""
    part = project / file.split("/")[0]
    source = part.resolve()
    part.unlink()
    if source.is_dir():
        shutil.copytree(source, part, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, part)
    text = (project / file).read_text()
    assert old in text, f"{file} has no {old!r}"
    (project / file).write_text(text.replace(old, new, 1))


def test_the_project_has_no_fault():
    assert lint_environments(ROOT) == []


CHOOSER = "workflow/lib/overtile_workflow/environments.py"
NETWORK = 'network_environment(config["device"])'


@pytest.mark.parametrize(
    ("file", "old", "new", "fault"),
    [
        ("envs/cpu.yaml", "numpy==2.4.6", "numpy==2.4.5", "envs/cpu.yaml: is stale"),
        ("envs/requirements.txt", "\nzarr==", "\nzarr==9", "envs/gpu.yaml: is stale"),
        ("pyproject.toml", "torch==2.13.0", "torch==2.14.0", "envs/gpu.yaml: is stale"),
        ("pyproject.toml", "torch==2.13.0", "torch==2.14.0", "Containerfile: is stale"),
        ("Containerfile", "ARG PYTHON=3.12.12", "ARG PYTHON=3.11", "Containerfile: is stale"),
        ("workflow/rules/weigh.smk", "envs/cpu.yaml", "envs/cpus.yaml", "cpus.yaml is not written"),
        ("workflow/rules/weigh.smk", "    conda:\n", "    # ", "weigh_borders: names no conda"),
        (CHOOSER, 'device == "cpu"', 'device != "cuda"', "envs/cpu.yaml: is stale"),
        (CHOOSER, "envs/gpu.yaml", "envs/cpu.yaml", "envs/gpu.yaml: is stale"),
        (
            "scripts/weigh.py",
            "def run(args):",
            "def run(args):\n    import edt",
            "lacks edt",
        ),
        ("scripts/overtile/stores/root.py", "import json", "import numba, json", "gpu.yaml: is"),
        ("scripts/overtile/reporting/page.py", "from jinja2", "from scipy", "cpu.yaml: is stale"),
        (
            "workflow/rules/train.smk",
            NETWORK,
            '"../../envs/cpu.yaml"',
            "train_fold: asks",
        ),
        ("workflow/rules/predict.smk", NETWORK, '"../../envs/gpu.yaml"', "asks for a GPU, and not"),
    ],
)
def test_a_fault_is_found(project, file, old, new, fault):
    change(project, file, old, new)
    faults = lint_environments(project)
    assert any(fault in line for line in faults), faults
    assert all("\n" not in line for line in faults)


def test_a_file_that_no_rule_uses_is_found(project):
    change(project, "envs/cpu.yaml", "numpy", "numpy")
    (project / "envs" / "old.yaml").write_text("")
    assert lint_environments(project) == ["envs/old.yaml: no rule uses it"]


def test_versions_are_pinned_and_torch_has_its_build():
    locked = locked_versions(ROOT)
    for name, build, more in (("cpu", "cpu_*", []), ("gpu", "cuda129*", ["cuda-version==12.9"])):
        environment = yaml.safe_load((ROOT / "envs" / f"{name}.yaml").read_text())
        assert environment["channels"] == ["conda-forge", "nodefaults"]
        first, *packages, torch = environment["dependencies"][: -len(more) or None]
        assert [first, torch] == [f"python=={PYTHON}", f"pytorch={locked['torch']}={build}"]
        assert environment["dependencies"][len(packages) + 2 :] == more
        assert all(re.fullmatch(r"[a-z0-9-]+==\d[\d.]*", text) for text in packages)
        assert {f"zarr=={locked['zarr']}", f"dask-core=={locked['dask']}"} <= set(packages)


def test_their_python_is_one_that_the_project_allows():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert PYTHON in SpecifierSet(project["requires-python"])


def test_every_rule_is_seen_with_its_environments_for_each_device():
    found = list(rules(ROOT))
    seen = {rule.name: (rule.environments, rule.script) for rule in found}
    text = "".join(file.read_text() for file in (ROOT / "workflow" / "rules").glob("*.smk"))
    # Those with `run:` are Snakemake's own process.
    assert set(re.findall(r"^rule (\w+):", text, re.M)) - set(seen) <= {"list_slides"}
    assert len(seen) == len(re.findall(r"^    shell:", text, re.M)) >= 17
    assert seen["train_fold"] == ({"cpu.yaml", "gpu.yaml"}, "train.py")
    assert seen["separate_labels"] == ({"cpu.yaml"}, "separate.py")
    assert {rule.name for rule in found if rule.uses_gpu} == {"train_fold", "predict_probabilities"}


def test_what_a_script_imports_through_the_library_counts():
    scripts = {rule.script: imported(ROOT, rule) for rule in rules(ROOT)}
    assert {"torch", "zarr", "dask", "safetensors", "distributed"} <= scripts["predict.py"]
    assert "torch" not in scripts["segment.py"]


@pytest.fixture
def channel(tmp_path):
    """A channel on disk with what the environments pin, and torch in the builds named."""

    def make(*torch_builds: str, cuda: str = ">=12") -> str:
        packages = {}
        for path in (ROOT / "envs").glob("*.yaml"):
            for name, spec in read_environment(path).items():
                if name != "pytorch":
                    packages |= package(name, version(spec), "0")
        for build in torch_builds:
            depends = [f"__cuda {cuda}"] if build.startswith("cuda") else []
            packages |= package("pytorch", "2.13.0", build, *depends)
        for subdir in ("linux-64", "noarch"):
            (tmp_path / subdir).mkdir(exist_ok=True)
            listed = packages if subdir == "linux-64" else {}
            index = {"info": {"subdir": subdir}, "packages": {}, "packages.conda": listed}
            (tmp_path / subdir / "repodata.json").write_text(json.dumps(index))
        return tmp_path.as_uri()

    return make


def package(name: str, version: str, build: str, *depends: str) -> dict:
    """An entry of a channel's index."""
    record = {"name": name, "version": version, "build": build, "build_number": 0}
    record |= {"depends": list(depends), "subdir": "linux-64", "timestamp": 1_700_000_000_000}
    record |= {"sha256": "0" * 64, "md5": "0" * 32, "size": 1}
    return {f"{name}-{version}-{build}.conda": record}


@pytest.mark.parametrize(
    ("file", "build"), [("cpu.yaml", "cpu_mkl_py312_1"), ("gpu.yaml", "cuda129_mkl_py312_1")]
)
def test_a_solver_gives_each_environment_its_build_of_torch(channel, file, build):
    where = channel("cpu_mkl_py312_1", "cuda129_mkl_py312_1", "cuda130_mkl_py312_1")
    environment = read_environment(ROOT / "envs" / file)
    for machine in machines(environment):
        assert asyncio.run(builds(environment, where, machine))["pytorch"] == build


def solve(channel: str) -> subprocess.CompletedProcess:
    command = [sys.executable, ROOT / "tests" / "solve_environments.py", channel]
    return subprocess.run(command, capture_output=True, text=True)


def test_a_build_that_needs_a_newer_driver_than_is_promised_is_a_fault(channel):
    builds = ("cpu_mkl_py312_1", "cuda129_mkl_py312_1")
    assert solve(channel(*builds, cuda=">=12")).returncode == 0
    result = solve(channel(*builds, cuda=">=12.9"))
    assert result.returncode == 1
    assert "gpu.yaml: with a driver with CUDA 12.9: " in result.stdout
    assert result.stderr.startswith("gpu.yaml: with a driver with CUDA 12.0: "), result.stderr
    assert result.stderr.count("\n") == 1


def test_the_gpu_environment_is_not_to_be_had_with_a_cpu_build(channel):
    result = solve(channel("cpu_mkl_py312_1"))
    assert result.returncode == 1
    assert "cpu.yaml: " in result.stdout
    assert result.stderr.startswith("gpu.yaml: "), result.stderr


def test_a_channel_that_cannot_be_reached_has_checked_nothing_and_that_is_said():
    result = solve("http://127.0.0.1:9/channel")  # nobody listens to the port "discard"
    assert result.returncode == 2
    assert result.stdout == ""
    assert "cannot be reached" in result.stderr and "NOTHING WAS CHECKED" in result.stderr
    assert result.stderr.count("\n") == 1


def test_the_container_copies_all_that_a_workflow_needs():
    """What .dockerignore lets through is what the Containerfile copies."""
    ignored = (ROOT / ".dockerignore").read_text().split()
    let_through = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    lines = (ROOT / "Containerfile").read_text().splitlines()
    copied = {word for line in lines if line.startswith("COPY") for word in line.split()[1:-1]}
    assert {path.split("/")[0] for path in copied} == let_through
    assert all((ROOT / path).exists() for path in copied)
    assert {"Snakefile", "config", "envs", "scripts", "workflow"} <= let_through


def test_the_container_installs_the_lock_from_no_index_of_its_own():
    text = (ROOT / "Containerfile").read_text()
    assert re.search(r"pip install .*-r envs/requirements\.txt", text)
    assert not re.search(r"\w+://", text)
