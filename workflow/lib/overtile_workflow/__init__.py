"""What rules ask: the configuration, the sheet, environments, jobs in SLURM's queue.

A package, so that a workflow which uses this one as a module may have a `settings` of its own.
"""
