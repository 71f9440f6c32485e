"""Threads that share a network: blocks one after the other, none half done beside another."""

import threading
from concurrent.futures import ThreadPoolExecutor

from overtile.prediction.network_lock import NetworkLock


def test_the_tiles_of_a_block_are_not_parted_by_those_of_another():
    lock, seen = NetworkLock(), []
    both_are_there = threading.Barrier(3)

    def run(name):
        with lock.block():
            both_are_there.wait()
            for _ in range(50):
                with lock.tile():
                    seen.append(name)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(run, "abc"))
    runs = [name for place, name in enumerate(seen) if place == 0 or seen[place - 1] != name]
    assert sorted(runs) == ["a", "b", "c"]
    assert len(seen) == 150


def test_a_block_without_tiles_waits_for_nobody():
    lock = NetworkLock()
    with ThreadPoolExecutor(1) as pool, lock.block(), lock.tile():

        def empty():
            with lock.block():
                return True

        assert pool.submit(empty).result(timeout=60)


def test_a_block_that_fails_gives_the_network_to_the_next():
    lock = NetworkLock()

    def fail():
        with lock.block(), lock.tile():
            raise ValueError

    def run():
        with lock.block(), lock.tile():
            return "ran"

    with ThreadPoolExecutor(2) as pool:
        assert isinstance(pool.submit(fail).exception(), ValueError)
        assert pool.submit(run).result(timeout=60) == "ran"


def test_tiles_outside_blocks_run_one_at_a_time():
    lock, running = NetworkLock(), []

    def run(_):
        with lock.tile():
            running.append(1)
            assert len(running) == 1
            running.pop()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(run, range(200)))
