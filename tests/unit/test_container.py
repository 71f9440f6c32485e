"""What the Containerfile copies is all that the workflow needs; nothing is built here."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ("bash", "sh", "tee", "which")
"""What Snakemake and rules call beside python; Debian's slim image has them, and no git."""


@pytest.fixture(scope="module")
def container(tmp_path_factory) -> Path:
    """The folder /opt/overtile as COPY lines make it, with one beside that has a configuration."""
    root = tmp_path_factory.mktemp("container")
    text = (ROOT / "Containerfile").read_text()
    (root / "overtile").mkdir()
    for line in re.findall(r"^COPY (.+)$", text, re.M):
        *sources, target = line.split()
        for source in sources:
            if (ROOT / source).is_dir():
                ignore = shutil.ignore_patterns("__pycache__")
                shutil.copytree(
                    *(ROOT / source, root / "overtile" / target, False, ignore),
                    dirs_exist_ok=True,
                )
            else:
                (root / "overtile" / target).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / source, root / "overtile" / target)
    (root / "bin").mkdir()
    for program in PROGRAMS:
        (root / "bin" / program).symlink_to(shutil.which(program))
    (root / "bin" / "python").symlink_to(sys.executable)
    shutil.copytree(ROOT / "config", root / "data" / "config")
    return root


NAMELESS = """
import pwd, runpy, sys
def nobody(number):
    raise KeyError(number)
pwd.getpwuid = nobody
sys.argv = sys.argv[1:]
runpy.run_module("snakemake", run_name="__main__", alter_sys=True)
"""
"""Snakemake, run by a user whom the system has no name for."""


def run(container: Path, *command: object) -> subprocess.CompletedProcess:
    """Run Python with the container's variables and programs only, in its working folder."""
    (line,) = re.findall(r"^ENV (.+)$", (ROOT / "Containerfile").read_text(), re.M)
    variables = dict(word.split("=") for word in line.split())
    assert variables["HOME"] == "/tmp"
    variables |= {"HOME": str(container / "home"), "PATH": str(container / "bin")}
    # Not the link in bin: by that, Python would not find its packages.
    start = [sys.executable, *map(str, command)]
    return subprocess.run(
        start, cwd=container / "data", env=variables, capture_output=True, text=True
    )


def test_the_workflow_is_planned_from_what_is_copied(container):
    snakefile = container / "overtile" / "Snakefile"
    flags = ("--snakefile", snakefile, "--dry-run", "--cores", "2")
    result = run(container, "-c", NAMELESS, "snakemake", *flags)
    assert result.returncode == 0, result.stderr
    jobs = dict(re.findall(r"^(\w+) +(\d+)$", result.stdout, re.M))
    assert jobs["predict_probabilities"] == "8" and jobs["write_report"] == "1"


def test_as_documented_the_image_s_torch_without_cuda_is_asked_for_no_gpu(container):
    """`auto` would refuse it where the host has a GPU, which a container sees."""
    text = (ROOT / "docs" / "environments.md").read_text()
    (documented,) = re.findall(r"^docker run .+ overtile (--.+)$", text, re.M)
    snakefile = container / "overtile" / "Snakefile"
    flags = ("--snakefile", snakefile, *documented.split(), "--dry-run", "--printshellcmds")
    result = run(container, "-m", "snakemake", *flags)
    assert result.returncode == 0, result.stderr
    assert re.search(r"^ARG TORCH=.*\+cpu$", (ROOT / "Containerfile").read_text(), re.M)
    devices = re.findall(r"--device (\w+)", result.stdout)
    assert len(devices) >= 9 and set(devices) == {"cpu"}


def test_every_script_finds_its_library(container):
    scripts = sorted((container / "overtile" / "scripts").glob("*.py"))
    assert len(scripts) >= 14
    for script in scripts:
        result = run(container, script, "--help")
        assert result.returncode == 0, result.stderr


def test_every_rule_calls_only_programs_that_the_image_has(container):
    """The first word of each command and of what it is piped into."""
    known = {*PROGRAMS, "python", "printf"}  # printf: bash's own
    for file in (ROOT / "workflow" / "rules").glob("*.smk"):
        for shell in re.findall(r"^    shell:\n((?:        .+\n?)+)", file.read_text(), re.M):
            command = "".join(re.findall(r'"(.*)"', shell))
            words = {part.split()[0] for part in re.split(r"\||&&", command)}
            assert words <= known, f"{file.name}: {words - known}"


def test_what_is_installed_is_the_lock(container):
    text = (ROOT / "Containerfile").read_text()
    assert (container / "overtile" / "envs" / "requirements.txt").read_text() == (
        ROOT / "envs" / "requirements.txt"
    ).read_text()
    installs = re.findall(r"pip install (.+?)(?: \\)?$", text, re.M)
    assert installs == [
        '--no-cache-dir "torch==${TORCH}"',
        "--no-cache-dir -r envs/requirements.txt",
    ]
