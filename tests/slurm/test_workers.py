"""`predict.py --cluster slurm`: the blocks of one slide on several nodes."""

import os
import subprocess
import sys
from pathlib import Path

from tests.contents import contents
from tests.slurm.cluster import NODES, until
from tests.slurm.conftest import ROOT


def test_two_nodes_of_which_one_loses_its_worker_write_the_bytes_of_one_process(
    slurm,
    predict_flags,
    probabilities,
    tmp_path,
):
    target = tmp_path / "p.ome.zarr"
    flags = predict_flags(target, "--cluster", "slurm", "--workers", "2")
    # One slot for each worker on a node: that both nodes work is not left to chance.
    command = [*map(str, flags), "--slurm-flags=--exclusive"]
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "scripts" / "predict.py"), *command],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )

    def workers():
        assert process.poll() is None, process.stderr.read()
        running = [job for job in slurm.jobs("RUNNING") if job["name"] == "overtile"]
        return running if len(running) == 2 else []

    first = until(workers, 60, "two workers run")
    assert {job["node"] for job in first} == set(NODES)

    def finished() -> int:
        assert process.poll() is None, "the prediction ended before a worker was cancelled"
        journal = target / "journal.jsonl"
        return journal.exists() and '"block"' in journal.read_text()

    until(finished, 120, "a block is finished")
    subprocess.run(["scancel", first[0]["id"]], check=True)
    error = process.communicate(timeout=240)[1]
    assert process.returncode == 0, error
    states = {job["id"]: job["state"] for job in slurm.jobs()}
    assert states[first[0]["id"]] == "CANCELLED"
    assert contents(target) == contents(probabilities)
    left = [job for job in slurm.jobs("PENDING,RUNNING") if job["name"] == "overtile"]
    assert not left
