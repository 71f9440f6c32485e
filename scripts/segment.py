"""Turn probabilities into a class map and numbered objects."""

import sys

from overtile import cli


def build_parser():
    """Command line of this step."""
    parser = cli.new_parser("segment.py", __doc__)
    parser.add_argument("--probabilities", type=cli.path, required=True, help="from predict.py")
    parser.add_argument(
        "--segmentation",
        type=cli.path,
        required=True,
        help="label store to write, e.g. S.ome.zarr/labels/MODEL",
    )
    parser.add_argument(
        "--min-object-px", type=int, default=0, help="smaller objects become background"
    )
    return parser


def run(args):
    """Read probabilities shard by shard and write the label store."""
    from overtile.code_digest import code_digest
    from overtile.errors import InputError
    from overtile.inference.segment import write_segmentation
    from overtile.stores.digest import digest_of
    from overtile.stores.store import Store, store_path

    if args.min_object_px < 0:
        raise InputError(f"--min-object-px: is {args.min_object_px}; allowed: 0 and above")
    probabilities = Store.open(args.probabilities, "probabilities")
    key = digest_of(probabilities.digest, args.min_object_px, code_digest(__file__))
    write_segmentation(probabilities, store_path(args.segmentation), key, args.min_object_px)


def main(arguments=None):
    """Run from the command line; return the exit code."""
    return cli.execute(build_parser(), run, arguments)


if __name__ == "__main__":
    sys.exit(main())
