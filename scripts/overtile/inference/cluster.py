"""Several processes or nodes that predict one slide together, through Dask."""

from collections.abc import Iterator
from contextlib import contextmanager

from overtile.errors import InputError
from overtile.networks.device import WORKER, Device
from overtile.stores.writer import ONE_BLOCK

SECONDS_TO_START = 600


@contextmanager
def open_cluster(
    kind: str, workers: int, device: Device, memory_gb: float, slurm_flags: list[str]
) -> Iterator["distributed.Client | None"]:  # noqa: F821
    """A client of a cluster with so many workers, each for one block at a time; None for one.

    kind: "local" starts processes on this machine, which share its GPUs in turn; "slurm" submits
    one job per worker, with `slurm_flags` (as for sbatch) beside cores, memory and, where networks
    run on GPUs, one GPU each. Raises InputError if no worker appears.
    """
    if workers == 1 and kind == "local":
        yield None
        return
    from distributed import Client

    make = {"local": _local_cluster, "slurm": _slurm_cluster}[kind]
    with make(workers, device, memory_gb, slurm_flags) as cluster, Client(cluster) as client:
        try:
            client.wait_for_workers(1, timeout=SECONDS_TO_START)
        except TimeoutError:
            raise InputError(
                f"--cluster {kind}: no worker within {SECONDS_TO_START} s; look at squeue, or ask "
                "for less with --slurm-flags"
            ) from None
        yield client


def _local_cluster(workers: int, device: Device, memory_gb: float, slurm_flags: list[str]):
    """Worker processes on this machine."""
    from distributed import Nanny, Scheduler, SpecCluster

    def options(number: int) -> dict:
        return {
            "nthreads": 1,
            "resources": {ONE_BLOCK: 1},
            "env": {WORKER: str(number)},
            "memory_limit": 0,
            "host": "127.0.0.1",
        }

    return SpecCluster(
        workers={n: {"cls": Nanny, "options": options(n)} for n in range(workers)},
        scheduler={"cls": Scheduler, "options": {"host": "127.0.0.1", "dashboard": False}},
    )


def _slurm_cluster(workers: int, device: Device, memory_gb: float, slurm_flags: list[str]):
    """One SLURM job per worker."""
    from dask_jobqueue import SLURMCluster

    gpu = ["--gpus=1"] if device.torch.type == "cuda" else []
    cluster = SLURMCluster(
        cores=1,
        job_cpu=device.threads,
        processes=1,
        memory=f"{memory_gb} GB",
        worker_extra_args=["--resources", f"{ONE_BLOCK}=1", "--memory-limit", "0"],
        job_extra_directives=[*gpu, *slurm_flags],
    )
    cluster.scale(workers)
    return cluster
