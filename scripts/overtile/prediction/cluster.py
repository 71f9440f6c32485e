"""Several processes or nodes that predict one slide together, through Dask."""

import logging
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import overtile
from overtile.errors import InputError
from overtile.networks.device import WORKER, Device
from overtile.stores.scheduling import ONE_BLOCK

if TYPE_CHECKING:
    import distributed

SECONDS_TO_START = 600

SECONDS_BETWEEN_LOOKS = 30
"""After so long a worker that is gone for good is started again."""

LOGS = Path("logs", "slurm_workers")
"""Under the working directory: what workers that are SLURM jobs print, to look at if they fail."""

QUIET = logging.CRITICAL
"""Of Dask's own log: what a computation raises and which workers die reaches the client anyway."""

SLURM_MEMORY = 1.5
"""What a job asks for, in --memory-gb: SLURM kills at once what is above, and predictions vary."""

FLAG = re.compile(r"-[^\x00-\x1f\x7f\x85\u2028\u2029]+")


@contextmanager
def open_cluster(
    kind: str, workers: int, device: Device, memory_gb: float, slurm_flags: list[str]
) -> Iterator["distributed.Client | None"]:
    """A client of a cluster with so many workers, each for one block at a time; None for one.

    kind: "local" starts processes on this machine, which share its GPUs in turn; "slurm" submits
    one job per worker, with `slurm_flags` (as for sbatch) beside cores, memory and, where networks
    run on GPUs, one GPU each. A worker that is lost is replaced. Raises InputError if no worker
    appears, or SLURM refuses the jobs.
    """
    if workers == 1 and kind == "local":
        yield None
        return
    from distributed import Client

    logging.getLogger("distributed").setLevel(QUIET)  # also while the cluster is being closed
    make = {"local": _local_cluster, "slurm": _slurm_cluster}[kind]
    with (
        _ended_in_order(),
        _quiet_workers(),
        make(workers, device, memory_gb, slurm_flags) as cluster,
    ):
        _replace_lost(cluster, workers)
        with Client(cluster) as client:
            try:
                client.wait_for_workers(1, timeout=SECONDS_TO_START)
            except TimeoutError:
                raise InputError(
                    f"--cluster {kind}: no worker has started within {SECONDS_TO_START} s; look at "
                    f"squeue and {LOGS}, or ask for less with --slurm-flags"
                ) from None
            yield client


@contextmanager
def _ended_in_order() -> Iterator[None]:
    """Let SIGTERM end the program as an exception does, so that jobs of workers are cancelled."""
    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _quiet_workers() -> Iterator[None]:
    """Let workers log nothing of Dask's: `silence_logs` begins later, and ends before they do."""
    import dask

    key = "distributed.nanny.pre-spawn-environ"
    level = {"DASK_LOGGING__DISTRIBUTED": logging.getLevelName(QUIET).lower()}
    with dask.config.set({key: dask.config.get(key) | level}):
        yield


def _replace_lost(cluster: "distributed.SpecCluster", workers: int) -> None:
    """Start workers again that are gone for good: Dask itself would go on with those left."""
    from tornado.ioloop import PeriodicCallback

    look = PeriodicCallback(partial(cluster.scale, workers), 1000 * SECONDS_BETWEEN_LOOKS)
    if cluster.loop is not None:  # it is there as long as the cluster is open
        cluster.loop.add_callback(look.start)


def _local_cluster(
    workers: int, device: Device, memory_gb: float, slurm_flags: list[str]
) -> "distributed.SpecCluster":
    """Worker processes on this machine, which end at once when this process does.

    Each has a number, by which `Device.here` chooses its GPU. `dask-cuda` would do no more than
    that here, but ties Dask to the version that RAPIDS asks for, and starts only where GPUs are.
    """
    from distributed import Nanny, Scheduler, SpecCluster

    def options(number: int) -> dict:
        return {
            "nthreads": 1,
            "resources": {ONE_BLOCK: 1},
            "env": {WORKER: str(number)},
            "memory_limit": 0,
            "host": "127.0.0.1",
            "silence_logs": QUIET,
        }

    return SpecCluster(
        workers={n: {"cls": Nanny, "options": options(n)} for n in range(workers)},
        scheduler={
            "cls": Scheduler,
            "options": {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"},
        },
        silence_logs=QUIET,
    )


def _slurm_cluster(
    workers: int, device: Device, memory_gb: float, slurm_flags: list[str]
) -> "distributed.SpecCluster":
    """One SLURM job per worker. Dask's own settings for jobqueue.slurm hold, but for its time."""
    from dask_jobqueue import SLURMCluster

    for flag in slurm_flags:
        if not FLAG.fullmatch(flag):
            raise InputError(
                f"--slurm-flags: {flag!r} is not a flag of sbatch; allowed: one line that begins "
                "with -, as in --slurm-flags=--partition=gpu"
            )
    gpu = ["--gpus=1"] if device.torch.type == "cuda" else []
    library = shlex.quote(str(Path(overtile.__file__).parents[1]))
    cluster = SLURMCluster(
        cores=1,
        job_cpu=device.threads,
        processes=1,
        memory=f"{SLURM_MEMORY * memory_gb} GB",
        job_name="overtile",
        log_directory=os.fspath(LOGS),
        worker_extra_args=["--resources", f"{ONE_BLOCK}=1", "--memory-limit", "0"],
        job_script_prologue=[f"export PYTHONPATH={library}${{PYTHONPATH:+:$PYTHONPATH}}"],
        job_directives_skip=["#SBATCH -t"],  # Dask's half an hour; the partition knows better
        job_extra_directives=["--no-requeue", *gpu, *slurm_flags],
        scheduler_options={"dashboard_address": "127.0.0.1:0"},
        silence_logs=QUIET,
    )
    try:
        _try_to_submit(cluster.job_script())
    except InputError:
        cluster.close()
        raise
    cluster.scale(workers)
    return cluster


def _try_to_submit(script: str) -> None:
    """Raise InputError if SLURM would refuse a job."""
    command = ["sbatch", "--test-only"]
    try:
        tried = subprocess.run(command, input=script, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise InputError(
            "--cluster slurm: no sbatch on this machine; run it on one with SLURM"
        ) from None
    if tried.returncode != 0:
        said = " ".join(tried.stderr.split())
        raise InputError(f"--cluster slurm: SLURM says: {said}; change --slurm-flags")
