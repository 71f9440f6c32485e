"""Copy the trained folds of a plan into one folder, with a model card; or copy a package."""

import sys

from overtile import cli, outputs


def build_parser():
    """Command line of this step."""
    parser = cli.new_parser("package.py", __doc__)
    parser.add_argument(
        "--plan",
        type=outputs.file(".yaml", ".yml", only_with="adopt"),
        required=True,
        help="plan.yaml from plan.py; written by --adopt",
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--folds", type=cli.path, nargs="+", help="folders written by train.py")
    source.add_argument("--adopt", type=cli.path, help="a finished package, to copy and check")
    parser.add_argument(
        "--classes",
        nargs="+",
        metavar="NAME",
        help="with --adopt: classes that the package must have, in any order",
    )
    parser.add_argument("--package", type=outputs.PACKAGE, required=True, help="folder to write")
    return parser


def run(args):
    """Copy plan and weights, write the card."""
    from overtile.errors import InputError
    from overtile.packages.writing import copy_package, write_package
    from overtile.planning.reading import read_plan
    from overtile.stores.digest import digest_file

    if args.folds:
        if args.classes:
            raise InputError(
                "--classes: not allowed with --folds, which uses those of the plan; leave it out"
            )
        plan = read_plan(args.plan)
        from overtile.training.finished import complete, refuse_other_plan  # late: torch

        for fold in args.folds:
            complete(fold)
            refuse_other_plan(fold, args.plan, digest_file(args.plan))
        write_package(plan, args.folds, args.package)
        return {"content": digest_file(args.package / "plan.yaml")}
    source = copy_package(args.adopt, args.package, args.plan, args.classes)
    inputs = {str(source.resolve()): digest_file(source)}
    return {
        "content": digest_file(args.package / "plan.yaml"),
        "also": [digest_file(args.plan)],
        "inputs": inputs,
    }


def main(arguments=None):
    """Run from the command line; return the exit code."""
    return cli.execute(build_parser(), run, arguments)


if __name__ == "__main__":
    sys.exit(main())
