"""Archives of thousands of slides: short commands, and what Snakemake compares."""

import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SLIDES = [300, pytest.param(3000, marks=pytest.mark.long)]
LINUX_LIMIT = 128 * 1024
"""Bytes of one argument, so also of a command that is given to `bash -c`."""


def make_sheet(project, rows):
    """Write a sheet over one raw file for each split, which is empty."""
    files = {row: project.archive / f"raw{row}.tif" for row in set(rows)}
    for file in files.values():
        file.touch()
    lines = ["slide\timage\tlabels\tsplit\tgroup"]
    for number, row in enumerate(rows):
        raw = files[row]
        lines.append(f"slide{number:04}\t{raw}\t{raw if row else ''}\t{row}")
    (project.archive / "slides.tsv").write_text("\n".join(lines) + "\n")


def commands(project, *targets) -> dict[str, list[str]]:
    """Commands that a run would give to the shell, by the script that they call."""
    result = project.snakemake("--dry-run", "--printshellcmds", *targets)
    assert result.returncode == 0, result.stdout + result.stderr
    found: dict[str, list[str]] = {}
    printed = r"^ *Shell command: (.*?)(?=\n *\[|\n\n|\Z)"
    for command in re.findall(printed, result.stdout + result.stderr, re.M | re.S):
        script = re.search(r"scripts/(\w+)\.py", command)
        found.setdefault(script.group(1) if script else "", []).append(command)
    return found


def longest(found: dict[str, list[str]]) -> int:
    return max(len(command.encode()) for commands in found.values() for command in commands)


@pytest.mark.parametrize("slides", SLIDES)
def test_a_model_that_learns_from_thousands_of_slides_has_short_commands(make_project, slides):
    config = {"labels": {"kind": "instances"}, "models": {"unet": {"separate_px": 0}}}
    project = make_project(config, [])
    make_sheet(project, ["train", "train", "val"] * (slides // 3))
    found = commands(project, "results/models/unet/fold0/fold.json")
    assert len(found["weigh"]) == slides
    assert len(found["plan"]) == len(found["train"]) == 1
    assert longest(found) < 1000


@pytest.mark.parametrize("slides", SLIDES)
def test_a_report_of_thousands_of_slides_has_a_short_command(make_project, tmp_path, slides):
    (tmp_path / "plan.yaml").touch()
    config = {"labels": {"kind": "instances"}, "models": {"unet": {"package": str(tmp_path)}}}
    project = make_project(config, [])
    make_sheet(project, ["test"] * 10 + [""] * (slides - 10))
    found = commands(project, "all")
    assert len(found["segment"]) == slides
    assert len(found["report"]) == len(found["crate"]) == 1
    assert longest(found) < LINUX_LIMIT / 20


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("archive")


def test_the_benchmark_compares_true_notes_of_true_jobs(benchmark, tmp_path):
    """Nothing to do, one more slide, and a changed setting, which only notes of jobs can show."""
    count = 30
    benchmark.make(tmp_path, count)
    benchmark.use(tmp_path, count)
    for part in ("true", "empty"):
        assert "Nothing to be done" in benchmark.snakemake(tmp_path / part, "--dry-run").printed
    config = tmp_path / "true" / "config.yaml"
    before = config.read_text()
    config.write_text(before + "evaluation: {iou_threshold: 0.7}\n")
    planned = benchmark.planned(benchmark.snakemake(tmp_path / "true", "--dry-run"))
    assert planned == {"evaluate_slide": 26, "write_report": 1, "write_crate": 1}
    config.write_text(before)
    benchmark.use(tmp_path, count + 1)
    for part in ("true", "empty"):
        run = benchmark.snakemake(tmp_path / part, "--dry-run")
        assert benchmark.planned(run) == benchmark.ONE_MORE
        assert 0.05 < run.memory_gb < 2
