"""Each kind of fault in environments, rules and Containerfile is found, and told in one line."""

import asyncio
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from lint_environments import lint_environments, packages_of, read_environment, rules  # noqa: E402
from solve_environments import builds, machines  # noqa: E402

PARTS = (*("envs", "workflow", "scripts", "config"), *("Makefile", "pyproject.toml"))
CONTAINER = ("Containerfile", "Snakefile", "LICENSE", "README.md")


@pytest.fixture
def project(tmp_path) -> Path:
    """What is checked, by links, so that what nobody changes is parsed once."""
    for part in (*PARTS, *CONTAINER):
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


@pytest.mark.parametrize(
    ("file", "old", "new", "fault"),
    [
        ("envs/cpu.yaml", "- conda-forge", "- defaults", "cpu.yaml: channels must be conda-forge"),
        ("envs/cpu.yaml", "  - nodefaults\n", "", "cpu.yaml: channels must be conda-forge"),
        ("envs/cpu.yaml", "numpy==2.4.6", "numpy", "cpu.yaml: numpy has no version"),
        ("envs/cpu.yaml", "numpy==2.4.6", "numpy>=2.4", "cpu.yaml: numpy has >=2.4; pin it"),
        ("envs/cpu.yaml", "numpy==2.4.6", "numpy=2.4.6", "cpu.yaml: numpy has 2.4.6.*; pin it"),
        ("envs/cpu.yaml", "numpy==2.4.6", "numpy==2.4.*", "cpu.yaml: numpy has 2.4.*; pin it"),
        ("envs/cpu.yaml", "numpy==2", "defaults::numpy==2", "cpu.yaml: numpy names a channel"),
        ("envs/cpu.yaml", "- numpy==2.4.6", "- pip: [numpy]", "is not a dependency"),
        ("envs/cpu.yaml", "numpy==2.4.6", "n&mpy==2.4.6", "'n&mpy==2.4.6' is not a dependency"),
        ("envs/cpu.yaml", "numpy==2.4.6", "numpy==2.4.6==2", "numpy has =2 as build; mend it"),
        (
            "envs/cpu.yaml",
            "- zarr",
            "- numpy==2.4.6\n  - zarr",
            "cpu.yaml: numpy stands there twice",
        ),
        ("envs/gpu.yaml", "numpy==2.4.6", "numpy==2.4.5", "numpy 2.4.5, but 2.4.6 in cpu.yaml"),
        ("envs/gpu.yaml", "numpy==2.4.6", "numpy==2.4.5", "numpy 2.4.5, but 2.4.6 in the pip lock"),
        ("envs/requirements.txt", "\nzarr==", "\nzarr==9", "in the pip lock"),
        ("envs/requirements.txt", "\ndask==", "\ndask==9", "dask-core 2026.8.0, but 9"),
        ("envs/requirements.txt", "\nmatplotlib==", "\nmatplotlib==9", "matplotlib-base"),
        ("envs/requirements.txt", "\ntqdm==", "\nnot-tqdm==", "tqdm is not in requirements.txt"),
        ("pyproject.toml", "torch==2.13.0", "torch==2.14.0", "pytorch 2.13.0, but 2.14.0"),
        ("pyproject.toml", "torch==2.13.0", "torch==2.14.0", "ARG TORCH is not pyproject"),
        ("envs/cpu.yaml", "python==3.12", "python==3.14", "cpu.yaml: python is not >=3.11,<3.14"),
        ("envs/gpu.yaml", "=cuda129*", "=cuda126*", "pytorch has build cuda126*; write cuda129*"),
        ("envs/gpu.yaml", "pytorch=2.13.0=cuda129*", "pytorch==2.13.0", "pytorch has build any"),
        ("envs/gpu.yaml", "=cuda129*", "=cpu_*", "pytorch has build cpu_*; write cuda129*"),
        ("envs/gpu.yaml", "cuda-version==12.9", "cuda-version==13.0", "write cuda130*"),
        ("envs/cpu.yaml", "=cpu_*", "=cuda129*", "pytorch has build cuda129*; write cpu_*"),
        ("envs/cpu.yaml", "  - tifffile==", "  - edt==3.1.2\n#", "cpu.yaml: lacks tifffile, which"),
        ("envs/gpu.yaml", "  - pytorch=2.13.0=cuda129*\n", "", "cuda-version without pytorch"),
        ("workflow/rules/weigh.smk", "envs/cpu.yaml", "envs/cpus.yaml", "cpus.yaml does not exist"),
        ("workflow/rules/weigh.smk", "    conda:\n", "    # ", "weigh_borders: names no conda"),
        (
            "workflow/lib/overtile_workflow/environments.py",
            "envs/gpu.yaml",
            "envs/cpu.yaml",
            "no rule uses it",
        ),
        ("scripts/weigh.py", "def run(args):", "def run(args):\n    import edt", "lacks edt"),
        ("scripts/overtile/stores/root.py", "import json", "import edt, json", "gpu.yaml: lacks"),
        (
            "scripts/overtile/reporting/page.py",
            "from jinja2",
            "from edt",
            "jinja2 is imported by no",
        ),
        (
            *("envs/gpu.yaml", "=cuda129*\n  - cuda-version==12.9", "=cpu_*"),
            "gpu.yaml: is chosen for device cuda, and has no cuda-version",
        ),
        (
            *(
                "workflow/lib/overtile_workflow/environments.py",
                'device == "cpu"',
                'device != "cuda"',
            ),
            "cpu.yaml: is chosen for device auto, and has no cuda-version",
        ),
        (
            *("workflow/rules/train.smk", 'network_environment(config["device"])'),
            *('"../../envs/cpu.yaml"', "rule train_fold: asks for a GPU, and not for network_env"),
        ),
        (
            *("workflow/rules/predict.smk", 'network_environment(config["device"])'),
            *('"../../envs/gpu.yaml"', "rule predict_probabilities: asks for a GPU, and not for"),
        ),
        ("Containerfile", "ARG PYTHON=3.12.12", "ARG PYTHON=3.11", "ARG PYTHON is not that of"),
        ("Containerfile", "-r envs/requirements.txt", "numpy", "does not install envs/req"),
        ("Containerfile", "ARG PIP_EXTRA_INDEX_URL", "ARG X=https://index.example/", "names https"),
        ("Containerfile", "COPY scripts", "COPY script", "copies script, which is not there"),
    ],
)
def test_a_fault_is_found(project, file, old, new, fault):
    change(project, file, old, new)
    faults = lint_environments(project)
    assert any(fault in line for line in faults), faults
    assert all("\n" not in line for line in faults)


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
    assert {"pytorch", "zarr", "dask-core", "safetensors", "distributed"} <= packages_of(
        ROOT / "scripts" / "predict.py"
    )
    assert "pytorch" not in packages_of(ROOT / "scripts" / "segment.py")


@pytest.fixture
def channel(tmp_path):
    """A channel on disk with what the environments pin, and torch in the builds named."""

    def make(*torch_builds: str, cuda: str = ">=12") -> str:
        packages = {}
        for path in (ROOT / "envs").glob("*.yaml"):
            environment = read_environment(path)
            for name in set(environment.packages) - {"pytorch"}:
                packages |= package(name, environment.version(name), "0")
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
    assert {"Snakefile", "config", "envs", "scripts", "workflow"} <= let_through
