"""Run something in a process of its own, as memory and allocators are of a whole process."""

import multiprocessing
from collections.abc import Callable


def in_own_process(function: Callable, *arguments):
    """What a function returns in a fresh process.

    The peak of a process that is started later is never below this one's: what is large is made
    elsewhere.
    """
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)
