"""Snakemake as it is, but that it asks SLURM once a second how jobs are.

The profile's status checks spare a scheduler of thousands of users, each 10 s later than the one
before; tests would wait for them more than for jobs.
"""

import sys

from snakemake.cli import main
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

RemoteExecutor.next_seconds_between_status_checks = property(
    lambda executor: 1, lambda executor, seconds: None
)

if __name__ == "__main__":
    sys.exit(main())
