"""Compute the weight map of a slide's labels: class balance and borders between touching cells."""

import sys

from overtile import cli, outputs
from overtile.settings.flags import add_settings
from overtile.settings.model import Settings


def build_parser():
    """Command line of this step."""
    parser = cli.new_parser("weigh.py", __doc__)
    parser.add_argument(
        "--labels", type=cli.path, required=True, help="label store, or TIFF or PNG of instances"
    )
    parser.add_argument("--weights", type=outputs.STORE, required=True, help="W.zarr to write")
    parser.add_argument(
        "--plan", type=cli.path, help="take everything below, but for --threads, from a plan"
    )
    add_settings(parser, Settings, "w0", "ndim")
    sigma = parser.add_mutually_exclusive_group()
    add_settings(sigma, Settings, "sigma_px", "sigma_um")
    add_settings(parser, Settings, "border_tolerance", also="--tolerance")
    parser.add_argument(
        "--class-weights",
        type=cli.not_negative,
        nargs="+",
        metavar="WEIGHT",
        help="w_c of background and each class; without it they balance this slide's classes",
    )
    cli.add_threads(parser)
    return parser


def run(args):
    """Read the labels shard by shard and write the weights."""
    from dataclasses import asdict

    from overtile.code_digest import code_digest
    from overtile.errors import InputError
    from overtile.ingest.label_files import open_labels
    from overtile.planning.reading import read_plan
    from overtile.stores.digest import digest_of
    from overtile.stores.store import store_path
    from overtile.targets.class_balance import class_weights
    from overtile.targets.weights import choose_weighting, write_weights

    with open_labels(args.labels, "instances") as labels:
        attributes = labels.label_classes().attributes
        if args.plan:
            plan = read_plan(args.plan)
            weighting = choose_weighting(
                labels, **vars(plan.weights), spacing=plan.spacing, name=str(args.labels)
            )
        else:
            size = labels.pixel_size_um[-args.ndim :]
            weighting = choose_weighting(
                labels,
                class_weights=args.class_weights or class_weights(attributes["class_counts"]),
                w0=args.w0,
                sigma_px=args.sigma_px,
                sigma_um=args.sigma_um,
                tolerance=args.border_tolerance,
                spacing=[edge / min(size[-2:]) for edge in size],
                name=str(args.labels),
            )
        names, given = attributes["class_names"], weighting.class_weights
        if len(given) != len(names):
            raise InputError(
                f"class weights: {len(given)} values, but {args.labels} has "
                f"{len(names)} classes ({', '.join(names)}); give one per class"
            )
        key = digest_of(
            labels.digest, attributes["digest"], asdict(weighting), code_digest(__file__)
        )
        write_weights(labels, store_path(args.weights), key, weighting, args.threads)


def main(arguments=None):
    """Run from the command line; return the exit code."""
    return cli.execute(build_parser(), run, arguments, into="weights")


if __name__ == "__main__":
    sys.exit(main())
