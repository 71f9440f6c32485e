"""What SLURM does to jobs, and what the shipped profile makes of it: cheap jobs, true faults.

One run of Snakemake meets all faults; the tests look at what its jobs wrote down.
"""

import json
import sys
from itertools import combinations
from pathlib import Path

import pytest

from tests.slurm.cluster import NODES, call, until
from tests.slurm.conftest import ROOT, finish, on_slurm, start

SNAKEFILE = """
JOB = "{python} job.py {{wildcards.name}} {{output}} {{resources.mem_mb}} {{resources.runtime}}"

rule all:
    input:
        expand("done/gpu{{n}}", n=range(6)),
        expand("done/{{name}}", name=["greedy", "slow", "cancelled", "stranded"]),

rule gpu:
    output: "done/{{name}}"
    wildcard_constraints: name="gpu.*"
    resources: gpu=1, mem_mb=500, runtime=2, slurm_partition="gpu"
    shell: JOB

rule greedy:
    output: "done/{{name}}"
    wildcard_constraints: name="greedy"
    resources:
        mem_mb=lambda wildcards, attempt: 700 * attempt,
        runtime=5,
        slurm_extra="'--nodelist={one}'",
    shell: JOB

rule slow:
    output: "done/{{name}}"
    wildcard_constraints: name="slow"
    resources:
        mem_mb=500,
        runtime=lambda wildcards, attempt: attempt,
        slurm_extra="'--nodelist={one}'",
    shell: JOB

rule cancelled:
    output: "done/{{name}}"
    wildcard_constraints: name="cancelled"
    resources: mem_mb=500, runtime=5, slurm_extra="'--nodelist={one}'",
    shell: JOB

rule stranded:
    input: expand("done/gpu{{n}}", n=range(6))
    output: "done/{{name}}"
    wildcard_constraints: name="stranded"
    resources: mem_mb=500, runtime=5, slurm_extra="'--nodelist={other}'",
    shell: JOB
"""

JOB = """
import fcntl, json, os, sys, time
from pathlib import Path

name, output, mem_mb, runtime = sys.argv[1:]
note = {"name": name, "began": time.time(), "job": os.environ["SLURM_JOB_ID"]}
note |= {"gpu": os.environ.get("CUDA_VISIBLE_DEVICES"), "node": os.environ["SLURMD_NODENAME"]}
note |= {"mem_mb": int(mem_mb), "minutes": int(runtime)}
path = Path("notes", f"{name}.{note['job']}.json")

def say(**more):
    path.with_suffix(".part").write_text(json.dumps(note | more))
    path.with_suffix(".part").rename(path)

say()
with open(f"{output}.writes", "w") as writes:
    try:
        fcntl.flock(writes, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        Path("clashes", name).touch()
    if name.startswith("gpu"):
        time.sleep(2)
    if name == "greedy":
        held = bytearray(os.urandom(2**20)) * 700
        time.sleep(6)
    if name == "slow" and runtime == "1":
        time.sleep(600)
    if name in ("cancelled", "stranded"):
        while not Path(f"{name}.goes").exists():
            time.sleep(0.1)
    Path(output).touch()
    say(ended=time.time())
"""


@pytest.fixture(scope="module")
def run(slurm, tmp_path_factory) -> tuple[list[dict], str, Path]:
    """What the jobs wrote down, in the order of their begin, and what Snakemake said."""
    folder = tmp_path_factory.mktemp("faults")
    for name in ("notes", "clashes"):
        (folder / name).mkdir()
    (folder / "Snakefile").write_text(
        SNAKEFILE.format(python=sys.executable, one=NODES[0], other=NODES[1])
    )
    (folder / "job.py").write_text(JOB)
    log = folder / "said.txt"
    process = start(on_slurm(folder / "Snakefile", folder), log)
    try:
        number = begun(folder, "cancelled", process)["job"]
        call("scancel", number)
        (folder / "cancelled.goes").touch()
        node = begun(folder, "stranded", process)["node"]
        slurm.kill_node(node)
        until(lambda: slurm.nodes()[node].startswith("down"), 150, f"{node} is seen to be down")
        (folder / "stranded.goes").touch()
        slurm.start_node(node)
        said = finish(process, log, 600)
    finally:
        process.kill()
        process.wait()
    notes = [json.loads(path.read_text()) for path in (folder / "notes").glob("*.json")]
    return sorted(notes, key=lambda note: note["began"]), said, folder


def begun(folder: Path, name: str, process) -> dict:
    """The note of a job that has begun."""

    def look():
        assert process.poll() is None, (folder / "said.txt").read_text()
        return next((folder / "notes").glob(f"{name}.*.json"), None)

    return json.loads(until(look, 120, f"{name} begins").read_text())


def tries(run, name: str) -> list[dict]:
    return [note for note in run[0] if note["name"] == name]


def test_everything_is_made_in_the_end(run):
    made = {path.name for path in (run[2] / "done").iterdir() if path.suffix != ".writes"}
    assert made == {f"gpu{n}" for n in range(6)} | {"greedy", "slow", "cancelled", "stranded"}


def test_never_more_gpu_jobs_at_once_than_gpus_and_both_gpus_are_used(run):
    jobs = [note for note in run[0] if note["name"].startswith("gpu")]
    assert len(jobs) == 6
    for one, other in combinations(jobs, 2):
        at_once = one["began"] < other["ended"] and other["began"] < one["ended"]
        assert not (at_once and one["node"] == other["node"])
    assert {note["node"] for note in jobs} == set(NODES)
    assert all(note["gpu"] == "0" for note in jobs)


def test_jobs_without_a_gpu_are_given_none(run):
    assert all(note["gpu"] is None for note in run[0] if not note["name"].startswith("gpu"))


def test_a_job_over_its_memory_comes_back_with_more(run):
    assert [note["mem_mb"] for note in tries(run, "greedy")] == [700, 1400]
    assert "ended" not in tries(run, "greedy")[0]


def test_a_job_over_its_time_comes_back_with_more(run):
    assert [note["minutes"] for note in tries(run, "slow")] == [1, 2]
    assert "TIMEOUT" in run[1]


def test_a_cancelled_job_is_noticed_and_made_again(run):
    first, second = tries(run, "cancelled")
    assert "ended" not in first and "ended" in second
    assert "CANCELLED" in run[1]


def test_a_job_on_a_node_that_goes_down_is_made_again_once(run):
    first, second = tries(run, "stranded")
    assert "ended" not in first and "ended" in second
    assert "NODE_FAIL" in run[1] or "node failure" in run[1]


def test_no_output_is_written_by_two_jobs_at_once(run):
    assert list((run[2] / "clashes").iterdir()) == []


TWO_TARGETS = """
import sys
sys.path.insert(0, "{lib}")
from overtile_workflow.slurm_jobs import begin

onstart:
    begin(workflow)

rule one:
    output: "one"
    shell: "touch one.began; until [ -e one.goes ]; do sleep 0.1; done; echo made >> {{output}}"

rule two:
    output: "two"
    shell: "touch {{output}}"
"""


def begin_one(folder: Path, log: Path, *flags: str):
    """Start a run for the first target; return it when its job has begun."""
    (folder / "Snakefile").write_text(TWO_TARGETS.format(lib=ROOT / "workflow" / "lib"))
    process = start(on_slurm(folder / "Snakefile", folder, *flags, "one"), log)
    until((folder / "one.began").exists, 120, "the first run's job begins")
    return process


def test_a_second_run_in_the_same_folder_leaves_the_jobs_of_the_first_alone(slurm, tmp_path):
    log, other_log = tmp_path / "first.txt", tmp_path / "second.txt"
    first = begin_one(tmp_path, log)
    try:
        second = start(on_slurm(tmp_path / "Snakefile", tmp_path, "two"), other_log)
        until((tmp_path / "two").exists, 120, "the second run's job ends")
        (tmp_path / "one.goes").touch()
        assert "cancelling" not in finish(second, other_log, 300)
        assert "CANCELLED" not in finish(first, log, 300)
    finally:
        first.kill()
        first.wait()
    assert (tmp_path / "one").read_text() == "made\n"


def test_a_run_goes_on_after_slurm_did_not_answer_for_a_while(slurm, tmp_path):
    log = tmp_path / "said.txt"
    process = begin_one(tmp_path, log, "--verbose")
    try:
        slurm.stop_controller()
        until(lambda: log.read_text().count("SLURM query command failed") > 5, 120, "not answered")
        slurm.start_controller()
        (tmp_path / "one.goes").touch()
        finish(process, log, 300)
    finally:
        process.kill()
        process.wait()
    assert (tmp_path / "one").read_text() == "made\n"
