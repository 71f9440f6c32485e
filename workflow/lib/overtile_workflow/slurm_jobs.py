"""What a run on SLURM does before its first job: check limits, end what killed runs have left."""

import fcntl
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

from snakemake.exceptions import WorkflowError

LOGS = Path(".snakemake", "slurm_logs")
"""Where SLURM's own output goes, and by which a folder's jobs are known."""

RUNS = Path(".snakemake", "slurm_runs")
"""A file for each run, named as its jobs are; the run holds its lock as long as it lives."""

SECONDS_TO_END = 300
"""For processes of a cancelled job to end, also on a node that answers slowly."""

SECONDS_TO_KEEP = 30 * 24 * 3600
"""How long the file of a run that has ended stays: longer than its jobs could."""

SUBMITTED = SimpleNamespace(is_local=False)
"""Stands for any job that goes to SLURM."""


def begin(workflow) -> None:
    """Cancel what killed runs have left in SLURM's queue for this folder, and wait for its end.

    workflow: Snakemake's own, in its `onstart`. Does nothing unless this run submits to SLURM.
    Jobs of other runs in this folder that are alive are left alone. Raises WorkflowError if SLURM
    does not answer, if jobs do not end, or if groups would ask for the memory of all members.
    """
    if workflow.executor_plugin.name != "slurm":
        return
    check_limits(workflow)
    ask_age_once()
    # The plugin makes the name of this run's jobs before onstart.
    run = open_run(RUNS / workflow.scheduler.get_executor(SUBMITTED).run_uuid)
    try:
        fcntl.flock(run, fcntl.LOCK_EX)
        end_jobs(Path.cwd())
    except OSError as error:
        say(f"jobs in SLURM's queue are not cancelled: {RUNS} cannot be locked: {error.strerror}")


def check_limits(workflow) -> None:
    """Raise WorkflowError if a group's members would run at the same time."""
    is_limited = "abreast" in workflow.global_resources
    if not is_limited or not workflow.resource_scopes.is_local("abreast"):
        raise WorkflowError(
            "resources: abreast=1 with scope local is missing; without it, a job of 50 slides asks "
            "for the memory of all 50; use --workflow-profile workflow/profiles/slurm. If you give "
            "--resources or --set-resource-scopes, they replace those of the profile: then "
            "write --resources abreast=1 gpu=1 and --set-resource-scopes abreast=local"
        )


def open_run(path: Path) -> int:
    """Open the file of this run; return its descriptor, which is never closed.

    So the kernel frees its lock when this process ends, however it ends. Programs that it starts do
    not inherit it (PEP 446), or one that outlives it would seem to be a run.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW)
    except OSError as error:
        raise WorkflowError(f"{path}: {error.strerror}; remove it, and run again") from None


def ask_age_once() -> None:
    """Let the plugin know how long squeue lists jobs that ended, without asking for it ever again.

    It asks each time, and takes sacct as soon as SLURM does not answer once: where that has no
    database, it would be asked without end.
    """
    import snakemake_executor_plugin_slurm as plugin

    seconds = plugin.get_min_job_age()
    if seconds is None:
        raise WorkflowError(
            "scontrol show config does not show MinJobAge; without it, ended jobs can be missed; "
            "run again when SLURM answers"
        )
    plugin.get_min_job_age = lambda: seconds


def is_alive(run: Path) -> bool:
    """Whether some process holds the lock of a run's file."""
    try:
        with open(run, "r+") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def end_jobs(folder: Path) -> None:
    """Cancel a folder's jobs of runs that have ended, and wait until their last process has."""
    left = left_jobs(folder)
    if left:
        say(f"cancelling {len(left)} SLURM jobs of a run that was killed")
        ask("scancel", *left)
    end = time.monotonic() + SECONDS_TO_END
    while left:
        if time.monotonic() > end:
            raise WorkflowError(
                f"SLURM jobs {', '.join(left)} of a run that was killed do not end; "
                "run again when squeue no longer lists them"
            )
        time.sleep(1)
        left = left_jobs(folder)
    for path in (folder / RUNS).iterdir():
        with suppress(FileNotFoundError):  # another run was faster
            if time.time() - path.stat().st_mtime > SECONDS_TO_KEEP and not is_alive(path):
                path.unlink()


def left_jobs(folder: Path) -> list[str]:
    """Numbers of this user's jobs that wait or run, of a run in a folder that has ended."""
    logs = (folder / LOGS).resolve()
    widths = {"JobID": 30, "Name": 255, "StdOut": 4096}
    columns = ",".join(f"{column}:{width}" for column, width in widths.items())
    jobs = []
    for line in ask("squeue", "--me", "--noheader", f"--Format={columns}").splitlines():
        number, run, output = line[:30].strip(), line[30:285].strip(), Path(line[285:].strip())
        if output.is_relative_to(logs) and not is_alive(folder / RUNS / run):
            jobs.append(number)
    return jobs


def ask(*command: str) -> str:
    """Run one of SLURM's programs; return what it prints."""
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        reason = (getattr(error, "stderr", "") or str(error)).strip().splitlines()[-1]
        raise WorkflowError(
            f"{command[0]} failed: {reason}; jobs of a killed run may still be in SLURM's queue; "
            "run again when SLURM answers"
        ) from None


def say(line: str) -> None:
    """Tell the user one line."""
    print(line, file=sys.stderr, flush=True)
