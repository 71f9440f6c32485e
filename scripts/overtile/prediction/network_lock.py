"""Threads that share a network: each block of a slide has it until it is done."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class NetworkLock:
    """Lets one block at a time run its tiles, while the others read ahead or write.

    A block takes the lock with its first tile, so that what it needs is read before. If it gave the
    lock back after each tile, a kill would find all blocks half done instead of one.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._mine = threading.local()

    @contextmanager
    def block(self) -> Iterator[None]:
        """All tiles run inside, by this thread, are of one block."""
        self._mine.has_begun = False
        try:
            yield
        finally:
            if self._mine.has_begun:
                self._lock.release()
            del self._mine.has_begun

    @contextmanager
    def tile(self) -> Iterator[None]:
        """One tile runs, as soon as this thread has the lock."""
        with self._lock:
            if not getattr(self._mine, "has_begun", True):
                self._lock.acquire()
                self._mine.has_begun = True
            yield
