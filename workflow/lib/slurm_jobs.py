"""Jobs that a killed Snakemake has left in SLURM's queue."""

import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

from snakemake.exceptions import WorkflowError

LOGS = Path(".snakemake", "slurm_logs")
"""Where SLURM's own output goes, and by which a folder's jobs are known."""

LOCK = Path(".snakemake", "slurm.lock")
"""Every run on SLURM holds it shared as long as it lives; one that gets it whole is alone."""

SECONDS_TO_END = 300
"""For processes of a cancelled job to end, also on a node that answers slowly."""


def cancel_left_jobs(workflow) -> None:
    """Cancel what a killed run has left in SLURM's queue for this folder, and wait for its end.

    workflow: Snakemake's own, in its `onstart`. Does nothing unless this run submits to SLURM.
    While another run in this folder is alive its jobs cannot be told from those of a killed one,
    and all are left alone. Raises WorkflowError if SLURM does not answer, or jobs do not end.
    """
    if workflow.executor_plugin.name != "slurm":
        return
    folder = Path.cwd()
    # Never closed: the kernel lets go when this process ends, however it ends. Programs that it
    # starts do not inherit it (PEP 446), or one that outlives it would seem to be a run.
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("another run in this folder is alive: jobs in SLURM's queue are left alone")
    except OSError as error:
        say(f"jobs in SLURM's queue are left alone: {LOCK} cannot be locked: {error.strerror}")
        return
    else:
        end_jobs(folder)
    fcntl.flock(lock, fcntl.LOCK_SH)


def end_jobs(folder: Path) -> None:
    """Cancel a folder's jobs, and wait until the last process of theirs has ended."""
    left = left_jobs(folder)
    if not left:
        return
    say(f"cancelling {len(left)} SLURM jobs of a run that was killed")
    ask("scancel", *left)
    end = time.monotonic() + SECONDS_TO_END
    while left := left_jobs(folder):
        if time.monotonic() > end:
            raise WorkflowError(
                f"SLURM jobs {', '.join(left)} of a run that was killed do not end; "
                "run again when squeue lists them no more"
            )
        time.sleep(1)


def left_jobs(folder: Path) -> list[str]:
    """Numbers of this user's jobs that wait or run, and whose output goes to a folder's logs."""
    logs = (folder / LOGS).resolve()
    if not logs.exists():
        return []
    width = 30
    text = ask("squeue", "--me", "--noheader", f"--Format=JobID:{width},StdOut:4096")
    jobs = [(line[:width].strip(), Path(line[width:].strip())) for line in text.splitlines()]
    return [number for number, output in jobs if output.is_relative_to(logs)]


def ask(*command: str) -> str:
    """Run one of SLURM's programs; return what it prints."""
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        reason = (getattr(error, "stderr", "") or str(error)).strip().splitlines()[-1]
        raise WorkflowError(
            f"{command[0]} failed, and jobs of a killed run may be in SLURM's queue: {reason}; "
            "run again when SLURM answers"
        ) from None


def say(line: str) -> None:
    """Tell the user one line."""
    print(line, file=sys.stderr, flush=True)
