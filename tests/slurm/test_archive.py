"""The true workflow on a true SLURM, with a small true archive of nuclei."""

import os
import re
import signal

import pytest

from tests.slurm.cluster import call, until
from tests.slurm.conftest import finish, on_slurm, start
from tests.workflow.conftest import rules_run
from tests.workflow.test_reruns import CONFIG, rows_of


def command(project, *flags: str) -> list[str]:
    config = ("--configfile", str(project.archive / "config.yaml"))
    profile = project.root / "workflow" / "profiles" / "slurm"
    return on_slurm(project.root / "Snakefile", project.archive, *config, *flags, profile=profile)


@pytest.fixture(scope="module")
def killed(slurm, make_project, data):
    """An archive whose Snakemake was killed while SLURM predicted; what the next one said."""
    rows = rows_of(data, 3)
    project = make_project(CONFIG, [rows[0], rows[2], (*rows[1][:2], "", "", "")], "slurm")
    log = project.archive / "first.txt"
    process = start(command(project), log)

    def predicts():
        assert process.poll() is None, log.read_text()[-20000:]
        return [job for job in slurm.jobs("RUNNING") if "predict" in job["comment"]]

    left = until(predicts, 600, "a prediction runs")
    for job in left:  # still there when the next run starts, however slow this machine is
        call("scontrol", "suspend", job["id"])
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert {job["id"] for job in slurm.jobs("SUSPENDED")} == {job["id"] for job in left}
    log = project.archive / "second.txt"
    finish(start(command(project, "--unlock"), log), log, 120)
    return project, left, finish(start(command(project), log), log, 600)


def test_an_archive_is_completed_also_after_a_kill(killed):
    project = killed[0]
    results = project.archive / "results"
    assert (results / "report.html").exists()
    labels = sorted(path.parts[-4] for path in results.glob("slides/*/labels/tiny/zarr.json"))
    assert labels == ["n0.ome.zarr", "n1.ome.zarr", "n2.ome.zarr"]
    assert project.planned() == {}


def test_the_run_after_a_kill_makes_only_what_is_missing(killed):
    first = rules_run((killed[0].archive / "first.txt").read_text())
    second = rules_run(killed[2])
    assert first["ingest_image"] == 3 and first["train_fold"] == 1
    assert 1 <= second["predict_probabilities"] <= second["segment_objects"] == 3
    assert set(second) == {
        *("predict_probabilities", "segment_objects", "evaluate_slide"),
        *("write_report", "write_crate"),
    }


def test_jobs_of_a_killed_snakemake_are_cancelled_before_theirs_are_made_again(killed, slurm):
    project, left, said = killed
    assert f"cancelling {len(left)} SLURM jobs of a run that was killed" in said
    state = {job["id"]: job["state"] for job in slurm.jobs()}
    assert {state[job["id"]] for job in left} == {"CANCELLED"}
    assert said.index("cancelling") < said.index("has been submitted")


def test_members_of_a_group_ask_for_the_memory_of_one(killed, slurm):
    jobs = [job for job in slurm.jobs() if job["comment"].startswith("rule_measure")]
    assert [job["memory"] for job in jobs] == ["2000M"]
    assert [job["limit"] for job in jobs] == ["10:00"]  # three segmented, two scored: 2 min each


def test_a_bad_slide_holds_up_its_group_once_and_then_only_itself(killed, data):
    project = killed[0]
    sheet, before = project.archive / "slides.tsv", os.listdir(project.archive / "results/slides")
    rows = sheet.read_text()
    bad = project.archive / "bad.png"
    bad.write_bytes(b"no picture")
    good = [(f"new{n}", rows_of(data, 8)[n][1]) for n in (5, 6)]
    with open(sheet, "a") as file:
        for name, image in [("bad", bad), *good]:
            file.write(f"{name}\t{image}\t\t\t\n")
    wanted = [f"results/slides/{name}.ome.zarr/zarr.json" for name in ("bad", "new5", "new6")]
    for log in ("with_bad.txt", "bad_alone.txt"):
        run = start(command(project, "--retries", "0", *wanted), project.archive / log)
        assert run.wait(timeout=300) == 1
    sheet.write_text(rows)
    shared = set(re.findall(r"Group job (\S+) \(jobs", (project.archive / log).read_text()))
    assert shared == {"ingest", "ingest_bad"}
    slides = set(os.listdir(project.archive / "results/slides")) - set(before)
    committed = {
        name
        for name in slides
        if (project.archive / "results/slides" / name / "zarr.json").exists()
    }
    assert committed == {"new5.ome.zarr", "new6.ome.zarr"}
