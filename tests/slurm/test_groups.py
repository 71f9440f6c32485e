"""Which slides share a job, by dry runs: no SLURM is asked."""

import ast
import json
import os
import re
import subprocess
from collections import Counter
from math import ceil
from pathlib import Path

import pytest
import yaml

from tests.slurm.cluster import clear_system_file
from tests.slurm.conftest import ROOT, on_slurm
from tests.workflow.conftest import environment
from tests.workflow.test_reruns import CONFIG

CONSUMER = ROOT / "tests" / "workflow" / "consumer"
MEMBERS = 50
"""Of a group in the shipped profile."""

HOURS = 6
"""That a group asks for at most, as docs/slurm.md says."""


LOCAL = ("all", "write_settings", "list_slides")
"""Rules that submit nothing: Snakemake itself runs them."""


def dry_run(folder: Path, snakefile: Path, *flags: str) -> str:
    """What Snakemake says that it would do."""
    command = on_slurm(snakefile, folder, "--dry-run", *flags)
    result = subprocess.run(command, capture_output=True, text=True, env=environment(), cwd=folder)
    said = result.stdout + result.stderr
    assert result.returncode == 0, said
    return said


def submissions(said: str) -> Counter:
    """How many jobs of each group would be submitted, and of each rule without one."""
    singles = re.findall(r"^rule (\w+):", said, re.M)  # members of groups are indented
    shared = re.findall(r"Group job (\S+) \(jobs", said)
    return Counter(name for name in singles + shared if name not in LOCAL)


def groups(said: str) -> dict[str, list[dict[str, str]]]:
    """Members of each group that would be submitted: rule, slide and runtime."""
    found = {}
    for part in re.split(r"Group job (?=\S+ \(jobs)", said)[1:]:
        members = re.findall(
            r"^    rule (\w+):.*?wildcards: (.*?)\n.*?runtime=(\d+)", part, re.M | re.S
        )
        found[part.split(" ", 1)[0]] = [
            {"rule": rule, "minutes": minutes, **dict(w.split("=") for w in wildcards.split(", "))}
            for rule, wildcards, minutes in members
        ]
    return found


@pytest.fixture
def archive(tmp_path):
    """Make an archive of labelled pictures of some bytes; nothing is ever run."""

    def make(sizes: list[int], **config) -> tuple:
        lines = ["slide\timage\tlabels\tsplit"]
        for number, size in enumerate(sizes):
            with open(tmp_path / f"s{number}.png", "wb") as file:
                file.truncate(size)
                if size:  # no two slides are one picture
                    file.write(bytes([number]))
            split = "train" if number == 0 else "val" if number == 1 else ""
            lines.append(f"s{number}\ts{number}.png\ts{number}.png\t{split}")
        (tmp_path / "slides.tsv").write_text("\n".join(lines) + "\n")
        values = CONFIG | {"slides": "slides.tsv", "data": "."} | config
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(values))
        return tmp_path, ROOT / "Snakefile", "--configfile", str(tmp_path / "config.yaml")

    return make


def test_small_slides_share_jobs_and_large_ones_have_their_own(archive):
    found = submissions(dry_run(*archive([10] * 120 + [2 * 10**8] * 2)))
    shared = dict.fromkeys(("ingest", "predict", "measure"), ceil(120 / MEMBERS))
    large = {"ingest_s120", "predict_s120_tiny", "measure_s120_tiny"}
    large |= {name.replace("s120", "s121") for name in large}
    single = {"weigh", "plan_training", "train_fold", "package_model", "write_report"}
    assert found == shared | dict.fromkeys(large | single | {"write_crate"}, 1)


def test_steps_of_a_large_slide_share_one_job_of_each_stage_for_each_model(archive):
    models = dict.fromkeys(("unet", "big"), CONFIG["models"]["tiny"])
    found = groups(dry_run(*archive([10, 10, 10**8], models=models)))
    large = {name: {m["rule"] for m in members} for name, members in found.items() if "s2" in name}
    assert large == {
        "ingest_s2": {"ingest_image", "ingest_labels"},
        **{f"predict_s2_{model}": {"predict_probabilities"} for model in models},
        **{f"measure_s2_{model}": {"segment_objects", "evaluate_slide"} for model in models},
    }


@pytest.mark.parametrize("device", ["cuda", "cpu"])
def test_no_shared_job_asks_for_more_than_some_hours(archive, device):
    found = groups(
        dry_run(*archive([10, 10**6, 2 * 10**6, 2 * 10**7, 10**8, 10**9], device=device))
    )
    for stage in ("ingest", "weigh", "predict", "measure"):
        slides = Counter()
        for member in found[stage]:
            slides[member["slide"]] += int(member["minutes"])
        assert slides["s0"] > 0
        assert MEMBERS * max(slides.values()) <= 60 * HOURS


def test_larger_slides_share_no_job_where_no_gpu_predicts(archive):
    found = groups(dry_run(*archive([2 * 10**7] * 3, device="cpu")))
    assert {name for name in found if name.startswith("predict")} == {
        f"predict_s{number}_tiny" for number in range(3)
    }


@pytest.mark.parametrize(
    ("log", "alone"),
    [
        ("ingest_image/two", "ingest_two"),
        ("ingest_labels/two", "ingest_two"),
        ("separate_labels/2d_1px/one", "ingest_one"),
        ("weigh_borders/tiny/one", "weigh_one_tiny"),
        ("segment_objects/tiny/two", "measure_two_tiny"),
        ("evaluate_slide/tiny/two", "measure_two_tiny"),
    ],
)
def test_a_slide_that_was_begun_and_did_not_end_comes_alone_also_in_a_module(log, alone, tmp_path):
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(b"small")
    rows = ["one\t0.png\t0.png\ttrain", "two\t1.png\t1.png\t", "three\t2.png\t\t"]
    (tmp_path / "slides.tsv").write_text("\n".join(["slide\timage\tlabels\tsplit", *rows]) + "\n")
    text = (CONSUMER / "config.yaml").read_text()
    text = text.replace("../../../Snakefile", str(ROOT / "Snakefile"))
    (tmp_path / "config.yaml").write_text(text)
    (tmp_path / "Snakefile").write_text((CONSUMER / "Snakefile").read_text())
    path = tmp_path / "cells" / "logs" / f"{log}.log"
    path.parent.mkdir(parents=True)
    path.write_text("reading two.png\n")
    found = groups(dry_run(tmp_path, tmp_path / "Snakefile"))
    assert set(found) - {"ingest", "weigh", "predict", "measure"} == {alone}
    assert {member["slide"] for member in found[alone]} == {alone.split("_")[1]}


@pytest.mark.parametrize(
    ("runs", "seconds", "alone"),
    [
        ([{"ended": "12:00"}], 1, False),  # its group failed, and Snakemake took its result away
        ([{"ended": "12:00"}, {}], 1, True),  # killed after its first blocks
        ([{"ended": "12:00"}], -1, True),  # ended once; now it said something and left nothing
    ],
)
def test_a_slide_that_ended_before_its_group_failed_has_not_failed(archive, runs, seconds, alone):
    folder, *flags = archive([10] * 3)
    log = folder / "logs" / "ingest_image" / "s1.log"
    record = folder / "results" / "slides" / "s1.ome.zarr" / "effort.json"
    for path, text in {log: "reading\n", record: json.dumps({"runs": runs})}.items():
        path.parent.mkdir(parents=True)
        path.write_text(text)
    os.utime(log, (1000, 1000))
    os.utime(record, (1000 + seconds, 1000 + seconds))
    assert ("ingest_s1" in groups(dry_run(folder, *flags))) == alone


def test_slides_whose_steps_said_nothing_have_not_begun(archive):
    folder, *flags = archive([10] * 3)
    log = folder / "logs" / "ingest_image" / "s1.log"
    log.parent.mkdir(parents=True)
    log.touch()
    assert "ingest_s1" not in groups(dry_run(folder, *flags))


def test_rules_that_share_jobs_are_those_of_their_stages():
    rules = ROOT / "workflow" / "rules"
    text = "".join(path.read_text() for path in rules.glob("*.smk"))
    (stages,) = re.findall(r"^STAGES = ({.*?^})", (rules / "slurm.smk").read_text(), re.M | re.S)
    named = {(rule, stage) for stage, names in ast.literal_eval(stages).items() for rule in names}
    shared = set(re.findall(r'^rule (\w+):(?:(?!^rule ).)*?batch\("(\w+)"\)', text, re.M | re.S))
    assert shared - named == {("make_demo_slide", "ingest")}  # of no slide yet
    assert len(named) == 7 and named <= shared


def test_a_slurm_of_the_machine_itself_is_never_touched(tmp_path):
    file, site = tmp_path / "slurm.conf", tmp_path / "site.conf"
    site.write_text("ClusterName=site\n")
    file.symlink_to(site)
    with pytest.raises(RuntimeError, match="a SLURM of its own"):
        clear_system_file(file)
    assert file.resolve() == site
    with pytest.raises(RuntimeError, match="a SLURM of its own"):
        clear_system_file(site)
    assert site.exists()


@pytest.mark.parametrize("target", ["/dev/null", "/nowhere/slurm.conf"])
def test_a_link_to_nothing_is_taken_away_and_known(target, tmp_path):
    (tmp_path / "slurm.conf").symlink_to(target)
    assert clear_system_file(tmp_path / "slurm.conf") == target
    assert clear_system_file(tmp_path / "slurm.conf") is None
