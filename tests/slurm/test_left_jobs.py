"""Whose jobs a run cancels when it starts; a squeue of two lines stands for SLURM's."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import snakemake_executor_plugin_slurm as plugin
from snakemake.exceptions import WorkflowError
from snakemake.resources import ResourceScopes
from snakemake_executor_plugin_slurm import job_status_query

from overtile_workflow import slurm_jobs
from tests.slurm.conftest import ROOT

RUN = """
import sys
from tests.slurm.test_left_jobs import run_on_slurm
from overtile_workflow.slurm_jobs import begin
begin(run_on_slurm(sys.argv[1]))
print("started", flush=True)
sys.stdin.read()
"""
"""A run that is alive until its input ends."""

SNAKEFILE = """
from overtile_workflow.slurm_jobs import begin

onstart:
    begin(workflow)

rule made:
    output: "made"
    shell: "touch {output}"
"""


def run_on_slurm(name: str, **resources: int) -> SimpleNamespace:
    """What a run knows of itself: its jobs' name and how many may run at once."""
    return SimpleNamespace(
        executor_plugin=SimpleNamespace(name="slurm"),
        scheduler=SimpleNamespace(get_executor=executors(name)),
        global_resources=resources or {"abreast": 1},
        resource_scopes=ResourceScopes(abreast="local"),
    )


def executors(name: str):
    """Snakemake's: those of local jobs have no name."""
    return lambda job: SimpleNamespace(**{} if job.is_local else {"run_uuid": name})


def program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def job(number: int, run: str, logs: Path) -> str:
    """A line of squeue."""
    return f"{number:<30}{run:<255}{logs}/a/{number}.log\n"


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A folder with job 7 of a run "first" in the queue, and job 8 of another folder."""
    logs = tmp_path / slurm_jobs.LOGS
    (tmp_path / "queue").write_text(job(7, "first", logs) + job(8, "first", Path("/elsewhere")))
    (tmp_path / "bin").mkdir()
    program(tmp_path / "bin" / "squeue", f"cat {tmp_path}/queue")
    program(tmp_path / "bin" / "scontrol", "echo 'MinJobAge               = 300 sec'")
    program(
        tmp_path / "bin" / "scancel",
        f'echo "$@" >> {tmp_path}/cancelled\nsed -i "/^7 /d" {tmp_path}/queue',
    )
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setattr(plugin, "get_min_job_age", job_status_query.get_min_job_age)
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{ROOT / 'workflow' / 'lib'}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def start(folder):
    """Start a run in the folder; return it when it is ready to submit."""
    runs = []

    def start(name: str) -> subprocess.Popen:
        runs.append(
            subprocess.Popen(
                [sys.executable, "-c", RUN, name],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                cwd=folder,
                text=True,
            )
        )
        assert runs[-1].stdout.readline() == "started\n"
        return runs[-1]

    yield start
    for run in runs:
        run.kill()
        run.communicate()


def test_the_jobs_of_this_folder_alone_are_cancelled(folder, start):
    start("second")
    assert (folder / "cancelled").read_text() == "7\n"


@pytest.fixture
def first(start) -> subprocess.Popen:
    """The run whose job is in the queue; alive."""
    return start("first")


def test_the_jobs_of_a_run_that_is_alive_are_left_alone(folder, first, start):
    start("second")
    assert not (folder / "cancelled").exists()


def test_a_run_is_protected_also_when_the_one_after_it_has_ended(folder, first, start):
    second = start("second")
    second.kill()
    second.wait()
    start("third")
    assert not (folder / "cancelled").exists()


def test_the_jobs_of_a_killed_run_are_cancelled_also_beside_one_that_is_alive(folder, first, start):
    start("second")
    first.kill()
    first.wait()
    start("third")
    assert (folder / "cancelled").read_text() == "7\n"


def test_the_jobs_of_a_killed_run_are_cancelled_though_its_programs_live_on(folder, first, start):
    lock = folder / slurm_jobs.RUNS / "first"
    held = [fd for fd in os.listdir(f"/proc/{first.pid}/fd") if points_to(first.pid, fd, lock)]
    flags = Path(f"/proc/{first.pid}/fdinfo/{held[0]}").read_text().split("flags:")[1].split()[0]
    assert int(flags, 8) & os.O_CLOEXEC
    first.kill()
    first.wait()
    start("second")
    assert (folder / "cancelled").read_text() == "7\n"


def test_files_of_runs_that_ended_long_ago_are_removed(folder, first, start):
    runs = folder / slurm_jobs.RUNS
    (runs / "ended").touch()
    for name in ("first", "ended"):
        os.utime(runs / name, (0, 0))
    start("second")
    assert {path.name for path in runs.iterdir()} == {"first", "second"}


def points_to(pid: int, fd: str, path: Path) -> bool:
    return os.path.realpath(f"/proc/{pid}/fd/{fd}") == str(path.resolve())


def test_where_slurm_does_not_answer_a_run_on_it_is_refused_in_one_line(folder):
    program(folder / "bin" / "squeue", "echo 'slurm_load_jobs error: no controller' >&2; exit 1")
    with pytest.raises(
        WorkflowError, match="squeue failed.*no controller; jobs of a killed run.*; run again"
    ) as error:
        slurm_jobs.begin(run_on_slurm("second"))
    assert "\n" not in str(error.value)


def test_where_slurm_does_not_say_how_long_it_knows_jobs_a_run_is_refused_in_one_line(folder):
    program(folder / "bin" / "scontrol", "exit 1")
    with pytest.raises(WorkflowError, match="MinJobAge.*run again when SLURM answers") as error:
        slurm_jobs.begin(run_on_slurm("second"))
    assert "\n" not in str(error.value)


def test_a_run_without_the_limit_of_members_at_once_is_refused_in_one_line(folder):
    with pytest.raises(WorkflowError, match="--resources abreast=1 gpu=1") as error:
        slurm_jobs.begin(run_on_slurm("second", gpu=1))
    assert "\n" not in str(error.value)


def test_a_run_without_slurm_does_not_ask_it(folder):
    program(folder / "bin" / "squeue", f"touch {folder}/asked; exit 1")
    (folder / "Snakefile").write_text(SNAKEFILE)
    result = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "1"], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert (folder / "made").exists() and not (folder / "asked").exists()
