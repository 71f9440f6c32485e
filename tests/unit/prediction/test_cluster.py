"""Workers of a cluster share one store: the same bytes, whoever dies on the way."""

import json
import math
import os
import shlex
import signal
import stat
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from overtile import progress
from overtile.errors import InputError
from overtile.networks import device as devices
from overtile.networks.device import WORKER, Device
from overtile.prediction import cluster
from overtile.prediction.cluster import open_cluster
from overtile.stores import layout
from overtile.stores.writer import StoreWriter

CPU = Device(torch.device("cpu"), "fp32", 1)
OME = {"multiscales": [{"datasets": [{"path": "0"}]}]}
SHAPE = (1, 32, 32)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Shards of 8 x 8 pixels: sixteen blocks."""
    monkeypatch.setattr(layout, "PICTURE_CHUNK", (1, 4, 4))
    monkeypatch.setattr(layout, "PICTURE_SHARD", (1, 8, 8))


@pytest.fixture(autouse=True)
def no_lines_of_progress(monkeypatch):
    """However slow the machine is: standard error is empty where nobody says anything else."""
    monkeypatch.setattr(progress, "SECONDS_WORTH_A_LINE", math.inf)
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", math.inf)


@pytest.fixture(scope="module")
def two_workers():
    """A client of two worker processes."""
    with open_cluster("local", 2, CPU, 1.0, []) as client:
        client.wait_for_workers(2, timeout=120)
        yield client


def squares(notes: Path, deadly=None, deaths=0, seconds=0.02):
    """A computation that notes who worked when; one block kills its first workers.

    Made of builtins and closures only: workers of a test cannot import the test.
    """
    notes.mkdir(exist_ok=True)

    def compute(block):
        began = time.monotonic()
        if block.index == deadly:
            for death in range(deaths):
                try:
                    (notes / f"death{death}").touch(exist_ok=False)
                except FileExistsError:
                    continue
                os.kill(os.getpid(), signal.SIGKILL)
        places = np.indices(block.shape) + np.reshape(block.start, (-1, 1, 1, 1))
        while time.monotonic() < began + seconds:
            pass
        who = {"process": os.getpid(), "began": began, "ended": time.monotonic()}
        (notes / f"{block.index}.{time.monotonic_ns()}.json").write_text(json.dumps(who))
        return (places[1] * 1000 + places[2]).astype(np.uint16), {}

    return compute


def notes_of(folder: Path) -> list[dict]:
    return [json.loads(file.read_text()) for file in folder.glob("*.json")]


def write(folder: Path, compute, client=None) -> dict[str, bytes]:
    """Write and commit a store; return every file but the journal."""
    writer = StoreWriter(folder, "k", "labels")
    writer.add_array("0", SHAPE, np.uint16, "zyx")
    writer.fill("0", compute, label="test", client=client)
    writer.commit(OME, pixel_size_um=None)
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "journal.jsonl"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_two_workers_share_the_blocks_and_write_the_bytes_of_one_process(two_workers, tmp_path):
    expected = write(tmp_path / "one" / "s", squares(tmp_path / "alone"))
    found = write(tmp_path / "two" / "s", squares(tmp_path / "notes"), two_workers)
    assert found == expected
    assert len(expected) == 16 + 2
    notes = notes_of(tmp_path / "notes")
    assert len(notes) == 16
    processes = {note["process"] for note in notes}
    assert len(processes) == 2
    assert os.getpid() not in processes


def test_a_worker_has_one_block_at_a_time_while_the_other_works(two_workers, tmp_path):
    write(tmp_path / "s", squares(tmp_path / "notes"), two_workers)
    notes = sorted(notes_of(tmp_path / "notes"), key=lambda note: note["began"])
    for process in {note["process"] for note in notes}:
        own = [note for note in notes if note["process"] == process]
        assert all(a["ended"] <= b["began"] for a, b in zip(own, own[1:], strict=False))
    assert any(a["ended"] > b["began"] for a, b in zip(notes, notes[1:], strict=False))


def test_no_more_blocks_than_workers_are_on_the_cluster(two_workers, tmp_path, monkeypatch):
    submitted, most = [], 0
    submit = two_workers.submit

    def count(*arguments, **options):
        nonlocal most
        submitted.append(submit(*arguments, **options))
        most = max(most, sum(not future.done() for future in submitted))
        return submitted[-1]

    monkeypatch.setattr(two_workers, "submit", count)
    write(tmp_path / "s", squares(tmp_path / "notes"), two_workers)
    assert len(submitted) == 16
    assert most == 2


def test_each_worker_has_a_number_and_takes_the_gpu_of_that_number(two_workers, monkeypatch):
    numbers = two_workers.run(lambda: os.environ["OVERTILE_WORKER"])
    assert sorted(numbers.values()) == ["0", "1"]
    assert WORKER == "OVERTILE_WORKER"
    monkeypatch.setattr(devices, "prepare_torch", lambda device, threads: None)
    monkeypatch.setattr(torch.cuda, "set_device", lambda number: None)
    gpu = Device(torch.device("cuda"), "bf16", 1, gpus=(0, 1, 2))
    taken = []
    for number in range(5):
        monkeypatch.setenv(WORKER, str(number))
        taken.append(gpu.here())
    assert [device.torch.index for device in taken] == [0, 1, 2, 0, 1]
    assert {(device.precision, device.threads) for device in taken} == {("bf16", 1)}


def test_the_blocks_of_a_worker_that_is_killed_are_computed_by_another(tmp_path, capfd):
    expected = write(tmp_path / "one" / "s", squares(tmp_path / "alone"))
    compute = squares(tmp_path / "notes", deadly=(0, 1, 1), deaths=1)
    with open_cluster("local", 2, CPU, 1.0, []) as client:
        assert write(tmp_path / "two" / "s", compute, client) == expected
    assert (tmp_path / "notes" / "death0").exists()
    assert len(notes_of(tmp_path / "notes")) in (16, 17)  # one of the dead may not be noted yet
    assert capfd.readouterr().err == ""


def test_a_block_that_kills_worker_after_worker_is_named_in_one_line_and_others_are_kept(
    tmp_path, capfd
):
    compute = squares(tmp_path / "notes", deadly=(0, 1, 1), deaths=100)
    message = (
        r"block at \(0, 8, 8\) .z, y, x. px: 4 workers ended at this block.*--slurm-flags=--mem="
    )
    with (
        pytest.raises(InputError, match=message),
        open_cluster("local", 2, CPU, 1.0, []) as client,
    ):
        write(tmp_path / "s", compute, client)
    lines = (tmp_path / "s" / "journal.jsonl").read_text().splitlines()
    kept = [line for line in lines if '"block"' in line]
    assert len(kept) >= 4
    assert "distributed" not in capfd.readouterr().err
    again = squares(tmp_path / "again")
    write(tmp_path / "s", again)
    assert len(notes_of(tmp_path / "again")) == 16 - len(kept)


def test_an_error_of_a_computation_is_told_as_it_is_and_once(two_workers, tmp_path, capfd):
    def refuse(block):
        from overtile.errors import InputError

        raise InputError(f"block {block.index}: no")

    with pytest.raises(InputError, match="block .0, ., .*: no"):
        write(tmp_path / "s", refuse, two_workers)
    assert two_workers.gather(two_workers.map(str, range(9))) == list("012345678")
    assert capfd.readouterr().err == ""


def test_if_no_worker_appears_it_says_so(monkeypatch):
    local = cluster._local_cluster
    monkeypatch.setattr(cluster, "SECONDS_TO_START", 0.2)
    monkeypatch.setattr(cluster, "_local_cluster", lambda _, *more: local(0, *more))
    with (
        pytest.raises(InputError, match="--cluster local: no worker has started within 0.2 s"),
        open_cluster("local", 2, CPU, 1.0, []),
    ):
        pass


def test_one_local_worker_needs_no_cluster():
    with open_cluster("local", 1, CPU, 1.0, []) as client:
        assert client is None


def test_sigterm_ends_in_order_so_that_workers_are_told():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended, cluster._ended_in_order():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)  # never reached the end: the signal comes first
    assert ended.value.code == 143
    assert signal.getsignal(signal.SIGTERM) == before


SBATCH = """\
import os, subprocess, sys
from itertools import count
from pathlib import Path
here = Path(__file__).parent
if "--test-only" in sys.argv:
    (here / "tried.sh").write_text(sys.stdin.read())
    sys.exit(0)
for number in count(1):
    script = here / f"job{number}.sh"
    try:
        script.touch(exist_ok=False)  # two may be submitted at the same time
        break
    except FileExistsError:
        pass
script.write_text(Path(sys.argv[-1]).read_text())
job = subprocess.Popen(
    ["bash", str(script)], start_new_session=True, cwd=os.getcwd(),
    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
)
(here / f"pid{number}").write_text(str(job.pid))
print(f"Submitted batch job {number}")
"""

SCANCEL = """\
import os, signal, sys
from pathlib import Path
os.killpg(int((Path(__file__).parent / f"pid{sys.argv[1]}").read_text()), signal.SIGTERM)
"""


@pytest.fixture
def slurm(tmp_path, monkeypatch) -> Path:
    """A stand-in for SLURM: a folder on PATH with sbatch and scancel that run jobs here."""
    folder = tmp_path / "slurm"
    folder.mkdir()
    for name, text in {"sbatch": SBATCH, "scancel": SCANCEL}.items():
        program(folder / name, text)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return folder


def program(path: Path, text: str) -> None:
    path.write_text(f"#!{sys.executable}\n{text}")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_jobs_of_slurm_write_the_same_bytes_are_cancelled_and_leave_only_logs(slurm, tmp_path):
    expected = write(tmp_path / "one" / "s", squares(tmp_path / "alone"))
    with open_cluster("slurm", 2, CPU, 1.0, []) as client:
        client.wait_for_workers(2, timeout=120)
        assert write(tmp_path / "two" / "s", squares(tmp_path / "notes"), client) == expected
    processes = [int(file.read_text()) for file in slurm.glob("pid*")]
    assert len(processes) == 2
    until = time.monotonic() + 30
    while any(map(is_running, processes)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(map(is_running, processes))
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["logs"]


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def job_script(slurm):
    """The script of a job that is never started."""
    program(slurm / "sbatch", 'print("Submitted batch job 1")')
    program(slurm / "scancel", "")

    def text(device, memory_gb, flags):
        with cluster._slurm_cluster(1, device, memory_gb, flags) as started:
            return started.job_script()

    return text


def test_a_job_asks_for_cores_half_as_much_memory_again_and_a_gpu_only_where_networks_run_on_gpus(
    job_script,
):
    gpu = Device(torch.device("cuda"), "bf16", 3)
    flags = ["--partition=long", "--time=2-00:00:00"]
    of_gpu = job_script(gpu, 6.0, flags).splitlines()
    for line in ("-n 1", "--cpus-per-task=3", "--mem=9G", "--gpus=1", "--no-requeue", *flags):
        assert f"#SBATCH {line}" in of_gpu
    assert not any(line.startswith("#SBATCH -t") for line in of_gpu)
    of_cpu = job_script(CPU, 0.5, []).splitlines()
    assert "#SBATCH --cpus-per-task=1" in of_cpu
    assert "#SBATCH --mem=716M" in of_cpu
    assert not any("gpu" in line for line in of_cpu)


def test_a_job_finds_the_library_and_offers_one_block(job_script):
    script = job_script(CPU, 1.0, [])
    library = shlex.quote(str(Path(cluster.__file__).parents[2]))
    assert f"export PYTHONPATH={library}" in script
    assert "--resources block=1" in script


@pytest.mark.parametrize("flag", ["--comment=$(touch x)`touch x`; touch x", "--comment='\"#|&"])
def test_strange_characters_of_a_flag_stay_in_a_comment_of_the_script(job_script, flag):
    plain, strange = (job_script(CPU, 1.0, flags).splitlines() for flags in ([], [flag]))
    added = [line for line in strange if line.startswith("#SBATCH") and line not in plain]
    assert added == [f"#SBATCH {flag}"]
    is_command = [line for line in strange if not line.startswith("#")]
    assert len(is_command) == len([line for line in plain if not line.startswith("#")])


@pytest.mark.parametrize(
    "flag", ["--partition=a\nrm -rf x", "-p\ra", "-p a\x00", "-p\u2028a", "partition=a", "", "-"]
)
def test_what_is_not_one_line_of_a_flag_is_refused(slurm, flag):
    with (
        pytest.raises(InputError, match="--slurm-flags: .* is not a flag of sbatch"),
        open_cluster("slurm", 2, CPU, 1.0, [flag]),
    ):
        pass
    assert not (slurm / "tried.sh").exists()


def test_what_slurm_says_against_a_job_is_told_in_one_line(slurm):
    program(slurm / "sbatch", 'import sys; sys.exit("sbatch: error: invalid partition\\n nope")')
    message = "SLURM says: sbatch: error: invalid partition nope; change --slurm-flags"
    with (
        pytest.raises(InputError, match=message),
        open_cluster("slurm", 2, CPU, 1.0, ["--partition=nope"]),
    ):
        pass


def test_without_slurm_it_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="no sbatch on this"), open_cluster("slurm", 2, CPU, 1, []):
        pass


def test_what_cannot_be_loaded_in_a_worker_is_told_in_one_line(two_workers, tmp_path, capfd):
    def load():
        from overtile.errors import InputError

        raise InputError("package: no GPU is free")

    class Networks:
        """Loaded in the worker, as a `Predictor` is."""

        def __reduce__(self):
            return load, ()

        def __call__(self, block):
            """Never reached."""

    with pytest.raises(InputError, match="package: no GPU is free"):
        write(tmp_path / "s", Networks(), two_workers)
    assert two_workers.gather(two_workers.map(str, range(9))) == list("012345678")
    assert capfd.readouterr().err == ""
