"""Whose jobs a run cancels when it starts; a squeue of two lines stands for SLURM's."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from snakemake.exceptions import WorkflowError

import slurm_jobs

SLURM = SimpleNamespace(executor_plugin=SimpleNamespace(name="slurm"))

RUN = """
import sys
from types import SimpleNamespace
from slurm_jobs import cancel_left_jobs
cancel_left_jobs(SimpleNamespace(executor_plugin=SimpleNamespace(name="slurm")))
print("started", flush=True)
sys.stdin.read()
"""
"""A run that is alive until its input ends."""

SNAKEFILE = """
from slurm_jobs import cancel_left_jobs

onstart:
    cancel_left_jobs(workflow)

rule made:
    output: "made"
    shell: "touch {output}"
"""


def program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A folder that has used SLURM, with job 7 in the queue, and job 8 of another folder."""
    logs = tmp_path / slurm_jobs.LOGS
    logs.mkdir(parents=True)
    (tmp_path / "queue").write_text(f"{7:<30}{logs}/a/7.log\n{8:<30}/elsewhere/8.log\n")
    (tmp_path / "bin").mkdir()
    program(tmp_path / "bin" / "squeue", f"cat {tmp_path}/queue")
    program(
        tmp_path / "bin" / "scancel",
        f'echo "$@" >> {tmp_path}/cancelled\nsed -i "/^7 /d" {tmp_path}/queue',
    )
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(Path(slurm_jobs.__file__).parent))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def start(folder):
    """Start a run in the folder; return it when it is ready to submit."""
    runs = []

    def start() -> subprocess.Popen:
        runs.append(
            subprocess.Popen(
                [sys.executable, "-c", RUN],
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


def queue_again(folder: Path) -> None:
    """Let the first job wait again, as if a run had submitted it."""
    (folder / "cancelled").unlink()
    with open(folder / "queue", "a") as file:
        file.write(f"{7:<30}{folder / slurm_jobs.LOGS}/a/7.log\n")


def test_the_jobs_of_this_folder_alone_are_cancelled(folder, start):
    start()
    assert (folder / "cancelled").read_text() == "7\n"


def test_the_jobs_of_a_run_that_is_alive_are_left_alone(folder, start, capfd):
    start()
    queue_again(folder)
    start()
    assert not (folder / "cancelled").exists()
    assert "another run in this folder is alive" in capfd.readouterr().err


def test_a_run_is_protected_also_when_the_one_before_it_has_ended(folder, start):
    first = start()
    queue_again(folder)
    start()
    first.kill()
    first.wait()
    start()
    assert not (folder / "cancelled").exists()


def test_the_jobs_of_a_killed_run_are_cancelled_though_its_programs_live_on(folder, start):
    first = start()
    queue_again(folder)
    lock = folder / slurm_jobs.LOCK
    held = [fd for fd in os.listdir(f"/proc/{first.pid}/fd") if points_to(first.pid, fd, lock)]
    flags = Path(f"/proc/{first.pid}/fdinfo/{held[0]}").read_text().split("flags:")[1].split()[0]
    assert int(flags, 8) & os.O_CLOEXEC
    first.kill()
    first.wait()
    start()
    assert (folder / "cancelled").read_text() == "7\n"


def points_to(pid: int, fd: str, path: Path) -> bool:
    return os.path.realpath(f"/proc/{pid}/fd/{fd}") == str(path.resolve())


def test_where_slurm_does_not_answer_a_run_on_it_is_refused_in_one_line(folder):
    program(folder / "bin" / "squeue", "echo 'slurm_load_jobs error: no controller' >&2; exit 1")
    with pytest.raises(WorkflowError, match="squeue failed.*no controller; run again") as error:
        slurm_jobs.cancel_left_jobs(SLURM)
    assert "\n" not in str(error.value)


def test_a_run_without_slurm_does_not_ask_it(folder):
    program(folder / "bin" / "squeue", f"touch {folder}/asked; exit 1")
    (folder / "Snakefile").write_text(SNAKEFILE)
    result = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "1"], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert (folder / "made").exists() and not (folder / "asked").exists()
