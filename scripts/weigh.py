"""Compute the weight map of a slide's labels: class balance and borders between touching cells."""

import sys

from overtile import cli


def build_parser():
    """Command line of this step."""
    parser = cli.new_parser("weigh.py", __doc__)
    parser.add_argument(
        "--labels", type=cli.path, required=True, help="label store, or TIFF or PNG of instances"
    )
    parser.add_argument("--weights", type=cli.path, required=True, help="W.zarr to write")
    parser.add_argument(
        "--plan", type=cli.path, help="take w0, sigma, class weights and axes from a plan"
    )
    parser.add_argument("--w0", type=cli.positive, default=10.0, help="height of the border term")
    parser.add_argument(
        "--sigma-px", type=cli.positive, default=5.0, help="width of the border term, in pixels"
    )
    parser.add_argument(
        "--class-weights",
        type=cli.not_negative,
        nargs="+",
        metavar="WEIGHT",
        help="w_c of background and each class; without it they balance this slide's classes",
    )
    parser.add_argument(
        "--ndim", type=int, choices=(2, 3), default=2, help="2: planes are independent; 3: volume"
    )
    return parser


def run(args):
    """Read the labels shard by shard and write the weights."""
    from overtile.code_digest import code_digest
    from overtile.errors import InputError
    from overtile.geometry.borders import class_weights
    from overtile.stores.digest import digest_of
    from overtile.stores.plain import open_labels
    from overtile.stores.store import store_path
    from overtile.stores.weights import write_weights
    from overtile.training.plan import read_plan

    with open_labels(args.labels, "instances") as reference:
        attributes = reference.label_classes().attributes
        if args.plan:
            plan = read_plan(args.plan)
            weights, spacing = plan["weights"], plan["spacing"]
        else:
            balanced = class_weights(attributes["class_counts"])
            weights = {
                "w0": args.w0,
                "sigma_px": args.sigma_px,
                "class_weights": args.class_weights or balanced,
            }
            size = reference.pixel_size_um[-args.ndim :]
            spacing = [edge / min(size[-2:]) for edge in size]
        names = attributes["class_names"]
        if len(weights["class_weights"]) != len(names):
            raise InputError(
                f"--class-weights: {len(weights['class_weights'])} values, but {args.labels} has "
                f"{len(names)} classes ({', '.join(names)}); give one each"
            )
        key = digest_of(
            reference.digest, attributes["digest"], weights, spacing, code_digest(__file__)
        )
        write_weights(reference, store_path(args.weights), key, weights, spacing)


def main(arguments=None):
    """Run from the command line; return the exit code."""
    return cli.execute(build_parser(), run, arguments)


if __name__ == "__main__":
    sys.exit(main())
