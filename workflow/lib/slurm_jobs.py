"""Jobs that a killed Snakemake has left in SLURM's queue."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

LOGS = Path(".snakemake", "slurm_logs")
"""Where SLURM's own output goes, and by which a folder's jobs are known."""

SECONDS_TO_END = 300
"""For processes of a cancelled job to end, also on a node that answers slowly."""


def cancel_left_jobs(folder: Path) -> None:
    """Cancel what still waits or runs for a folder, and wait until it has ended.

    To be called before anything is submitted, while this run holds Snakemake's lock of the folder:
    what there is then belongs to a run that is dead, and would write what this run writes. Does
    nothing where SLURM was never used. Raises RuntimeError if jobs do not end.
    """
    if not (folder / LOGS).exists() or shutil.which("squeue") is None:
        return
    left = left_jobs(folder)
    if not left:
        return
    print(f"cancelling {len(left)} SLURM jobs of a run that was killed", file=sys.stderr)
    subprocess.run(["scancel", *left], check=True)
    end = time.monotonic() + SECONDS_TO_END
    while left := left_jobs(folder):
        if time.monotonic() > end:
            raise RuntimeError(
                f"SLURM jobs {', '.join(left)} of a run that was killed do not end; "
                "wait until squeue lists them no more"
            )
        time.sleep(1)


def left_jobs(folder: Path) -> list[str]:
    """Numbers of this user's jobs that wait or run, and whose output goes to a folder's logs."""
    logs = (folder / LOGS).resolve()
    width = 30
    command = ["squeue", "--me", "--noheader", f"--Format=JobID:{width},StdOut:4096"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    jobs = [(line[:width].strip(), Path(line[width:].strip())) for line in text.splitlines()]
    return [number for number, output in jobs if output.is_relative_to(logs)]
