"""GPUs on one machine: processes that see the same ones take different ones. Needs no GPU."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from overtile.errors import InputError
from overtile.networks import gpus

SCRIPTS = Path(__file__).resolve().parents[3] / "scripts"

HOLD = """
import sys
from overtile.networks.gpus import claim
count, *names = sys.argv[1:]
print(*claim(names, int(count)), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def start(tmp_path):
    """Start a process that claims GPUs, says which, and holds them until it is ended."""
    running = []

    def run(*names: str, count: int = 1, **options) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(count), *names],
            env=os.environ | {"PYTHONPATH": str(SCRIPTS), gpus.FOLDER: str(tmp_path / "locks")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )
        running.append(process)
        return process

    yield run
    for process in running:
        with process:
            process.kill()


def got(process: subprocess.Popen) -> list[int]:
    """Numbers of the GPUs that a process has, as soon as it has them."""
    return [int(word) for word in process.stdout.readline().split()]


def test_processes_at_once_all_get_another_gpu(start):
    names = [f"GPU-{letter}" for letter in "abcde"]
    assert sorted(sum(map(got, [start(*names) for _ in names]), [])) == [0, 1, 2, 3, 4]


def test_a_gpu_has_one_file_whatever_its_number(start):
    assert got(start("GPU-a", "GPU-b")) == [0]
    assert got(start("GPU-b", "GPU-a")) == [0]
    assert got(start("GPU-a", "GPU-b", "GPU-c")) == [2]


@pytest.mark.parametrize("ended", ["kill", "terminate", "its work is done"])
def test_who_finds_no_free_gpu_says_so_waits_and_gets_that_of_a_process_that_ends(start, ended):
    first, second = start("GPU-a", "GPU-b"), start("GPU-a", "GPU-b")
    owned = {process.pid: got(process) for process in (first, second)}
    waiting = start("GPU-a", "GPU-b")
    said = waiting.stderr.readline()
    assert "all 2 are in use" in said
    assert all(str(pid) in said for pid in owned)
    if ended == "its work is done":
        second.stdin.close()
    else:
        getattr(second, ended)()
    assert got(waiting) == owned[second.pid]
    assert first.poll() is None


def test_a_run_of_several_processes_takes_what_is_free_and_waits_for_no_more(start):
    assert got(start("GPU-a", "GPU-b", "GPU-c")) == [0]
    assert got(start("GPU-a", "GPU-b", "GPU-c", count=8)) == [1, 2]


def test_who_cannot_write_a_byte_has_its_gpu_all_the_same(start):
    def as_on_a_full_disk():
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    assert got(start("GPU-a", preexec_fn=as_on_a_full_disk)) == [0]
    waiting = start("GPU-a")
    assert "all 1 are in use by other runs (processes ?)" in waiting.stderr.readline()


def test_a_program_started_by_who_has_a_gpu_does_not_keep_it(tmp_path, monkeypatch):
    monkeypatch.setattr(gpus, "_held", {})
    assert gpus._try_to_lock(tmp_path, "GPU-a")
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, close_fds=False) as child:
        assert not gpus._try_to_lock(tmp_path, "GPU-a")
        os.close(gpus._held.pop("GPU-a"))  # what the system does when the process ends
        assert gpus._try_to_lock(tmp_path, "GPU-a")
        child.kill()


def test_a_second_claim_gives_what_the_process_has(tmp_path, monkeypatch):
    monkeypatch.setenv(gpus.FOLDER, str(tmp_path / "locks"))
    monkeypatch.setattr(gpus, "_held", {})
    assert gpus.claim(["GPU-a", "GPU-b"]) == gpus.claim(["GPU-a", "GPU-b"]) == (0,)
    assert gpus.claim(["GPU-b", "GPU-a"]) == (1,)
    assert gpus.claim(["GPU-a", "GPU-b"], 2) == (0, 1)


@pytest.mark.parametrize(("names", "count"), [([], 1), (["GPU-a"], 0)])
def test_nothing_is_waited_for_that_cannot_come(names, count):
    with pytest.raises(ValueError, match="at least 1"):
        gpus.claim(names, count)


def test_a_folder_of_somebody_else_is_refused(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    (tmp_path / "file").touch()
    for name in ("link", "file"):
        monkeypatch.setenv(gpus.FOLDER, str(tmp_path / name))
        with pytest.raises(InputError, match=gpus.FOLDER):
            gpus.claim(["GPU-a"])


def test_a_link_planted_for_a_gpus_file_is_not_written_through(tmp_path, monkeypatch):
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "GPU-a.lock").symlink_to(tmp_path / "precious")
    monkeypatch.setenv(gpus.FOLDER, str(tmp_path))
    with pytest.raises(InputError, match="GPU-a.lock: is a link.*remove it"):
        gpus.claim(["GPU-a"])
    assert (tmp_path / "precious").read_text() == "precious"


def test_a_slice_of_a_gpu_has_its_own_name(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-7")
    assert gpus.gpu_names() == ["MIG-7"]
