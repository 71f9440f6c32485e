"""Run the workflow of an archive, unless another run is active. For timers."""

import sys

from overtile import cli

LOCK = ".snakemake/update.lock"


def build_parser():
    """Command line of this step."""
    parser = cli.new_parser("update.py", __doc__)
    parser.epilog = (
        "exit codes: 0 everything is up to date; 75 another run is active, nothing was done; "
        "1 something failed; 2 wrong command line"
    )
    parser.add_argument(
        "--directory",
        type=cli.path,
        default=cli.path("."),
        help="folder of the archive, with its results",
    )
    parser.add_argument(
        "--snakefile", type=cli.path, help="a workflow of your own; overtile's if left out"
    )
    parser.add_argument(
        "snakemake", nargs="*", metavar="FLAG", help="for snakemake, after --: -- --cores 8"
    )
    return parser


def run(args):
    """Lock the folder; unlock what a killed run has left; run Snakemake to its end."""
    from pathlib import Path

    from overtile.errors import InputError
    from overtile.stores.folder_lock import StillRunning, hold_folder, processes_in

    folder = args.directory.resolve()
    if not folder.is_dir():
        raise InputError(f"{args.directory}: no such folder; give the folder of the archive")
    workflow = args.snakefile or Path(__file__).resolve().parents[1] / "Snakefile"
    snakemake = [sys.executable, "-m", "snakemake", *args.snakemake]
    snakemake += ["--snakefile", str(workflow), "--directory", str(folder)]
    with hold_folder(folder / LOCK) as held:
        for process in processes_in(folder, "snakemake"):
            raise StillRunning(
                f"{folder}: a run that was started by hand is still active, process {process}; "
                "wait until it ends"
            )
        # Not before it is known that nobody relies on Snakemake's own lock.
        hidden = processes_in(folder, "snakemake", or_hidden=True) if held.was_killed else []
        for process in hidden:
            raise InputError(
                f"{folder}: the last run was killed, and process {process} is a snakemake that may "
                "work here: this user cannot see its folder; wait until it ends. If it works in "
                f"another folder, call snakemake --unlock here and delete {folder / LOCK}"
            )
        unlocked = held.run([*snakemake, "--unlock"]) if held.was_killed else 0
        code = unlocked or held.run([*snakemake, "--rerun-incomplete"])
        if code >= 0 and not unlocked:
            held.done()
    if code:
        raise InputError(
            f"{folder}: snakemake ended with exit code {code}; correct what it reports above "
            f"and in {folder / '.snakemake' / 'log'}, then run again"
        )


def main(arguments=None):
    """Run from the command line; return the exit code."""
    return cli.execute(build_parser(), run, arguments)


if __name__ == "__main__":
    sys.exit(main())
