"""Make every decision of a training from its slides and settings, and write the plan."""

import sys

from overtile import cli, outputs


def build_parser():
    """Command line of this step."""
    parser = cli.new_parser("plan.py", __doc__)
    # The system's limits on a command line are reached by a thousand slides.
    parser.fromfile_prefix_chars = "@"
    parser.epilog = "@FILE stands for the arguments in a file, one a line."
    parser.add_argument(
        "--images",
        type=cli.path,
        nargs="*",
        default=[],
        help="stores of the training slides",
    )
    parser.add_argument(
        "--validation", type=cli.path, nargs="*", default=[], help="stores of validation slides"
    )
    parser.add_argument(
        "--labels",
        type=cli.path,
        nargs="+",
        help="label stores to train on: of all images, then of all validation slides; without it, "
        "labels/reference in each",
    )
    parser.add_argument(
        "--groups",
        nargs="+",
        metavar="GROUP",
        help="group (patient, animal, plate) of each training slide; without it, each slide is "
        "its own group",
    )
    parser.add_argument(
        "--settings", type=cli.path, required=True, help="settings of one model, YAML"
    )
    parser.add_argument(
        "--plan", type=outputs.file(".yaml", ".yml"), required=True, help="plan.yaml to write"
    )
    return parser


def run(args):
    """Look at the training slides and write the plan."""
    from overtile.errors import InputError
    from overtile.planning.decisions import make_plan
    from overtile.settings.model import read_settings
    from overtile.stores.digest import digest_file
    from overtile.stores.store import Store, labels_of
    from overtile.stores.yaml_files import read_yaml, write_yaml

    if not args.images:
        raise InputError(
            "--images: no training slides; in the sheet, add labels and split train to some rows"
        )
    settings = read_settings(read_yaml(args.settings), str(args.settings))
    train = [Store.open(path, "picture") for path in args.images]
    validation = [Store.open(path, "picture") for path in args.validation]
    groups = args.groups or [store.name for store in train]
    if len(groups) != len(train):
        raise InputError(
            f"--groups: {len(groups)} groups for {len(train)} slides; give one per slide"
        )
    labels = labels_of([*train, *validation], args.labels)
    write_yaml(args.plan, make_plan(train, validation, labels, groups, settings).written())
    return {"content": digest_file(args.plan)}


def main(arguments=None):
    """Run from the command line; return the exit code."""
    return cli.execute(build_parser(), run, arguments)


if __name__ == "__main__":
    sys.exit(main())
