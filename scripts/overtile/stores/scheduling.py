"""Who writes which block when: threads of this process, or workers of a Dask cluster."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from overtile.errors import InputError
from overtile.geometry.spans import Block

if TYPE_CHECKING:
    import distributed

Write = Callable[[Block], dict]
"""Computes and writes one block; gives the record that says it is done."""

Note = Callable[[Block, dict], None]
"""Told of each block as it ends, always in the calling process."""

ONE_BLOCK = "block"
"""What each worker of a cluster offers once, so that it has one block at a time."""

BLOCKS_AHEAD = 64
"""Blocks that Dask's threads are given at a time, so that the graph stays small for any number."""

SECONDS_WITHOUT_WORKERS = 3600


def write_in_threads(
    workers: int,
    write: Write,
    todo: Sequence[Block],
    note: Note,
) -> None:
    """Let threads write blocks, and note each as it ends.

    Where a block fails, those that others are writing are finished and noted before the error is
    raised: nothing is written after it.
    """
    from dask.threaded import get

    def step(block: Block) -> None:
        note(block, write(block))

    with ThreadPoolExecutor(workers) as threads:
        for start in range(0, len(todo), BLOCKS_AHEAD):
            graph = {n: (step, block) for n, block in enumerate(todo[start : start + BLOCKS_AHEAD])}
            get(graph, list(graph), pool=threads)


def write_on_cluster(
    client: "distributed.Client",
    write: Write,
    todo: Sequence[Block],
    note: Note,
) -> None:
    """Let a cluster's workers write blocks, one each at a time, and note each as it ends.

    A worker that is lost has its block given to another one. No worker has a second block waiting:
    a kill could cost both, and a block would be blamed for the death of a worker that never began
    it. Raises InputError for a block that loses worker after worker, and if none is left for an
    hour.
    """
    from distributed import KilledWorker, wait

    work = _share(client, write)
    waiting = iter(todo)
    running: dict[distributed.Future, Block] = {}
    while True:
        free = max(1, _count_workers(client)) - len(running)
        for block in islice(waiting, max(0, free)):
            future = client.submit(work, block, pure=False, resources={ONE_BLOCK: 1})
            running[future] = block
        if not running:
            return
        try:
            ended = wait(list(running), SECONDS_WITHOUT_WORKERS, return_when="FIRST_COMPLETED").done
        except TimeoutError:
            if _count_workers(client):
                continue
            raise InputError(
                f"no worker left for {SECONDS_WITHOUT_WORKERS} s; look at squeue, then run again: "
                "finished blocks are kept"
            ) from None
        for future in ended:
            block = running.pop(future)
            try:
                note(block, future.result())
            except KilledWorker as error:
                raise _deadly(block, error.allowed_failures + 1) from None


def _deadly(block: Block, workers: int) -> InputError:
    """The error of a block that lost so many workers."""
    return InputError(
        f"block at {block.start} (z, y, x) px: {workers} workers ended at this block, probably "
        "for lack of memory; give each worker more (--slurm-flags=--mem=...) or use fewer "
        "--workers on one machine, then run again: finished blocks are kept if --memory-gb stays "
        "the same"
    )


def _count_workers(client: "distributed.Client") -> int:
    return len(client.cluster.scheduler_info["workers"])


def _share(client: "distributed.Client", write: Write) -> Write:
    """Send `write` once to each worker, and to each that comes later; return a short way to it.

    It may hold a mask of many MB, too much to travel with every block. A worker unpacks it with its
    first block: networks are loaded in that block's thread, and an error there reaches the caller.
    """
    from distributed import WorkerPlugin, get_worker
    from distributed.protocol.pickle import dumps, loads

    name_of_work = f"overtile-{uuid4()}"
    packed_write = dumps(lambda: write)  # a closure: by value, whatever modules a worker has

    class Work(WorkerPlugin):
        name = name_of_work
        packed, write = packed_write, None

        def teardown(self, worker) -> None:
            # A worker without its scheduler must not go on writing: another run may have begun.
            os._exit(0)

    def write_by_plugin(block: Block) -> dict:
        plugin: Any = get_worker().plugins[name_of_work]
        if plugin.write is None:
            plugin.write = loads(plugin.packed)()
        return plugin.write(block)

    client.register_plugin(Work())
    return write_by_plugin
