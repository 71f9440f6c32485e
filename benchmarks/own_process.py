"""Run something in a process of its own, as memory and allocators are of a whole process."""

import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"


def in_own_process(function: Callable, *arguments):
    """What a function returns in a fresh process.

    The peak of a process that is started later is never below this one's: what is large is made
    elsewhere.
    """
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def measure_step(script: str, *flags: object) -> tuple[float, float]:
    """Seconds and peak resident bytes of one of the scripts; ends the program if it fails."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, str(SCRIPTS / script), *map(str, flags)])
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{script} failed")
    return time.perf_counter() - start, usage.ru_maxrss * 1024
