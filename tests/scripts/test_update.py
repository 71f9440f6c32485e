"""A timer's run: alone in its folder, and safe after a kill."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import update as update_script

from overtile.stores import folder_lock

UPDATE = Path(__file__).resolve().parents[2] / "scripts" / "update.py"
LOCK = ".snakemake/update.lock"
WAITING = """
rule all:
    input:
        "done.txt",

rule wait:
    "Says that it has begun, and ends as soon as `go` is there."
    output:
        "done.txt",
    shell:
        "echo $PPID > begun; while [ ! -e go ]; do sleep 0.02; done; touch {output}"
"""


@pytest.fixture
def archive(tmp_path):
    """A folder with a workflow of one job that ends when it is told to."""
    (tmp_path / "Snakefile").write_text(WAITING)
    yield tmp_path
    (tmp_path / "go").touch()


def command(folder: Path) -> list[str]:
    """The call of a timer."""
    flags = ("--directory", str(folder), "--snakefile", str(folder / "Snakefile"))
    return [sys.executable, str(UPDATE), *flags, "--", "--cores", "1", "--quiet"]


def update(folder: Path) -> subprocess.CompletedProcess:
    """Run to the end."""
    return subprocess.run(command(folder), capture_output=True, text=True)


def update_when_free(folder: Path) -> subprocess.CompletedProcess:
    """Run to the end, as soon as nobody else is at work."""
    until = time.monotonic() + 120
    while (result := update(folder)).returncode == 75:
        assert time.monotonic() < until, result.stderr
    return result


def start(call: list[str], folder: Path) -> subprocess.Popen:
    """Begin a run, and wait until its job works."""
    (folder / "begun").unlink(missing_ok=True)
    quiet = subprocess.DEVNULL
    process = psutil.Popen(call, cwd=folder, stdout=quiet, stderr=quiet)
    while not (folder / "begun").exists():
        assert process.poll() is None
        time.sleep(0.01)
    return process


def kill(process: psutil.Process) -> None:
    """Kill a process and all its descendants."""
    end(process, psutil.Process.kill)


def end(process: psutil.Process, how: Callable[[psutil.Process], None]) -> None:
    """End a process and all its descendants, and wait until they are gone."""
    ending = [process, *process.children(recursive=True)]
    for one in ending:
        with suppress(psutil.NoSuchProcess):
            how(one)
    psutil.wait_procs(ending, timeout=10)  # where nobody reaps orphans they never go


def test_a_second_run_at_the_same_time_does_nothing_and_says_so_with_code_75(archive):
    first = start(command(archive), archive)
    second = update(archive)
    assert second.returncode == 75
    (line,) = second.stderr.splitlines()
    assert line.startswith("update.py: ") and "a run is still active, since 20" in line
    assert f"process {first.pid} on " in line and str(archive) in line
    assert first.poll() is None
    (archive / "go").touch()
    assert first.wait() == 0 and (archive / "done.txt").exists()


def test_after_a_run_the_next_one_finds_nothing_to_do(archive):
    (archive / "go").touch()
    assert update(archive).returncode == 0
    made = (archive / "done.txt").stat().st_mtime_ns
    assert update(archive).returncode == 0
    assert (archive / "done.txt").stat().st_mtime_ns == made
    assert (archive / LOCK).read_text() == ""


def test_a_killed_run_leaves_a_lock_that_stops_snakemake_but_not_the_next_update(archive):
    kill(start(command(archive), archive))
    (archive / "go").touch()
    by_hand = [sys.executable, "-m", "snakemake", "--cores", "1", "--rerun-incomplete"]
    refused = subprocess.run(by_hand, cwd=archive, capture_output=True, text=True)
    assert refused.returncode == 1 and "cannot be locked" in refused.stderr
    assert update(archive).returncode == 0
    assert (archive / "done.txt").exists()


def test_a_run_whose_snakemake_alone_was_killed_is_unlocked_too(archive):
    process = start(command(archive), archive)
    (snakemake,) = process.children()
    kill(snakemake)
    assert process.wait() == 1
    (archive / "go").touch()
    assert update(archive).returncode == 0


def test_a_lock_outlives_an_update_that_was_killed_while_its_snakemake_goes_on(archive):
    process = start(command(archive), archive)
    (snakemake,) = process.children()
    process.kill()
    process.wait()
    second = update(archive)
    assert second.returncode == 75 and LOCK in second.stderr
    (archive / "go").touch()
    assert update_when_free(archive).returncode == 0
    assert not snakemake.is_running() or snakemake.status() == psutil.STATUS_ZOMBIE
    assert (archive / "done.txt").exists()


def test_a_run_that_was_started_by_hand_is_left_alone(archive):
    by_hand = start([sys.executable, "-m", "snakemake", "--cores", "1"], archive)
    result = update(archive)
    assert result.returncode == 75
    (line,) = result.stderr.splitlines()
    assert f"started by hand is still active, process {by_hand.pid}" in line
    assert any((archive / ".snakemake" / "locks").iterdir())
    assert not (archive / LOCK).read_text()
    (archive / "go").touch()
    assert by_hand.wait() == 0


def test_a_folder_called_snakemake_is_no_run_by_hand(archive):
    folder = archive / "snakemake"
    folder.mkdir()
    (folder / "Snakefile").write_text(WAITING)
    (folder / "go").touch()
    result = subprocess.run(command(folder), cwd=folder, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


PYTHON = "/usr/bin/python3.11"


@pytest.fixture
def process(tmp_path, monkeypatch):
    """Make up a process that works in a folder: process("snakemake", "--cores", "1")."""
    monkeypatch.setattr(folder_lock, "PROC", tmp_path / "proc")

    def make(*words: str, number: int = 2**22 + 1) -> None:
        entry = tmp_path / "proc" / str(number)
        entry.mkdir(parents=True)
        (entry / "cmdline").write_text("".join(f"{word}\0" for word in words))
        (entry / "cwd").symlink_to(tmp_path)

    return make


@pytest.mark.parametrize(
    ("words", "runs_snakemake"),
    [
        (["snakemake", "--cores", "1"], True),
        (["/opt/bin/snakemake"], True),
        ([PYTHON, "/opt/bin/snakemake", "--cores", "1"], True),
        ([PYTHON, "-m", "snakemake"], True),
        ([PYTHON, "-W", "ignore", "-u", "-Im", "snakemake"], True),
        ([PYTHON, "update.py", "--directory", "/data/snakemake"], False),
        ([PYTHON, "-m", "pytest", "snakemake"], False),
        (["ls", "snakemake"], False),
        (["vim", "-m", "snakemake"], False),
        ([PYTHON], False),
        ([], False),
    ],
)
def test_a_process_runs_what_its_first_word_or_its_python_runs(
    process, tmp_path, words, runs_snakemake
):
    process(*words)
    found = folder_lock.processes_in(tmp_path, "snakemake")
    assert found == ([2**22 + 1] if runs_snakemake else [])
    assert folder_lock.processes_in(tmp_path / "proc", "snakemake") == []


def test_a_process_does_not_find_itself(process, tmp_path):
    process("snakemake", number=os.getpid())
    assert folder_lock.processes_in(tmp_path, "snakemake") == []


def test_after_a_kill_a_snakemake_whose_folder_is_hidden_is_for_a_person_to_look_at(
    process, archive, monkeypatch, capsys
):
    """Another user's, or one in a container: it might be this folder that it works in."""

    def refuse(*_):
        raise PermissionError

    process("snakemake", "--cores", "8")
    monkeypatch.setattr(Path, "samefile", refuse)
    assert folder_lock.processes_in(archive, "snakemake") == []
    (archive / ".snakemake").mkdir()
    (archive / LOCK).write_text('{"process": 1, "host": "a", "since": "2026"}\n')
    flags = ["--directory", str(archive), "--snakefile", str(archive / "Snakefile")]
    assert update_script.main(flags) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"process {2**22 + 1} is a snakemake" in line and LOCK in line
    assert (archive / LOCK).read_text()


def test_a_full_disk_does_not_make_a_killed_run_seem_done(tmp_path, monkeypatch):
    path = tmp_path / "lock"
    path.write_text("killed\n")
    with folder_lock.hold_folder(path) as held:
        monkeypatch.setattr(folder_lock.json, "dumps", lambda who: "x" * 2**20)
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1, limits[1]))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        try:
            with pytest.raises(OSError):
                held.run(["true"])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    with folder_lock.hold_folder(path) as held:
        assert held.was_killed
        assert held.run(["true"]) == 0
        held.done()
    with folder_lock.hold_folder(path) as held:
        assert not held.was_killed


def test_a_link_planted_for_the_lock_is_not_written_through(archive, tmp_path):
    (tmp_path / "precious").write_text("precious")
    (archive / LOCK).parent.mkdir(exist_ok=True)
    (archive / LOCK).symlink_to(tmp_path / "precious")
    result = update(archive)
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert f"{archive / LOCK}: is a link" in line and "remove it" in line
    assert (tmp_path / "precious").read_text() == "precious"


def test_a_lock_that_a_killed_run_by_hand_has_left_is_not_removed(archive):
    kill(start([sys.executable, "-m", "snakemake", "--cores", "1"], archive))
    (archive / "go").touch()
    result = update(archive)
    assert result.returncode == 1 and "cannot be locked" in result.stderr
    assert any((archive / ".snakemake" / "locks").iterdir())


def test_a_failing_workflow_ends_with_code_1_and_does_not_count_as_killed(archive):
    text = (archive / "Snakefile").read_text()
    (archive / "Snakefile").write_text(text.replace("touch {output}", "false"))
    (archive / "go").touch()
    result = update(archive)
    assert result.returncode == 1
    assert "snakemake ended with exit code 1; correct" in result.stderr.splitlines()[-1]
    assert (archive / LOCK).read_text() == ""


def test_a_run_that_cannot_be_unlocked_is_still_to_be_unlocked_next_time(archive):
    kill(start(command(archive), archive))
    text = (archive / "Snakefile").read_text()
    (archive / "Snakefile").write_text('raise ValueError("not yet corrected")\n' + text)
    assert update(archive).returncode == 1
    assert json.loads((archive / LOCK).read_text())["process"] > 0
    (archive / "Snakefile").write_text(text)
    (archive / "go").touch()
    assert update(archive).returncode == 0


def test_a_stopped_timer_stops_its_jobs_and_the_next_run_goes_on(archive):
    """What systemd does: SIGTERM to all processes of the service at once."""
    process = start(command(archive), archive)
    end(process, psutil.Process.terminate)
    (archive / "go").touch()
    assert update_when_free(archive).returncode == 0
    assert (archive / "done.txt").exists()


def test_a_folder_that_is_not_there_is_one_line(step, tmp_path):
    result = step("update", "--directory", tmp_path / "no")
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert "no such folder" in line and os.listdir(tmp_path) == []
