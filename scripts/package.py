"""Put the trained folds of a plan into one folder for reuse, with a model card."""

import sys

from overtile import cli


def build_parser():
    """Command line of this step."""
    parser = cli.new_parser("package.py", __doc__)
    parser.add_argument("--plan", type=cli.path, required=True, help="plan.yaml from plan.py")
    parser.add_argument(
        "--folds", type=cli.path, nargs="+", required=True, help="folders written by train.py"
    )
    parser.add_argument("--package", type=cli.path, required=True, help="folder to write")
    return parser


def run(args):
    """Copy plan and weights, write the card."""
    from overtile.inference.package import write_package
    from overtile.training.plan import read_plan

    write_package(read_plan(args.plan), args.folds, args.package)


def main(arguments=None):
    """Run from the command line; return the exit code."""
    return cli.execute(build_parser(), run, arguments)


if __name__ == "__main__":
    sys.exit(main())
