"""Make training labels: touching cells get a thin border of background between them."""

import sys

from overtile import cli, outputs
from overtile.settings.flags import add_settings
from overtile.settings.model import Settings
from overtile.settings.ranges import Range


def build_parser():
    """Command line of this step."""
    parser = cli.new_parser("separate.py", __doc__)
    parser.add_argument(
        "--labels", type=cli.path, required=True, help="label store, or TIFF or PNG of instances"
    )
    parser.add_argument(
        "--separated", type=outputs.STORE, required=True, help="label store to write, S.ome.zarr"
    )
    # With 0 there is nothing to separate.
    add_settings(parser, Settings, "separate_px", limit=Range(1))
    add_settings(parser, Settings, "ndim")
    cli.add_threads(parser)
    return parser


def run(args):
    """Read the labels shard by shard and write them separated."""
    from overtile.code_digest import code_digest
    from overtile.errors import InputError
    from overtile.ingest.label_files import open_labels
    from overtile.stores.digest import digest_of
    from overtile.stores.store import store_path
    from overtile.targets.separated import write_separated

    with open_labels(args.labels, "instances") as labels:
        kind = labels.attributes["kind"]
        if kind != "instances":
            raise InputError(
                f"{args.labels}: has {kind} labels; allowed: instances; only these can touch"
            )
        if "separate_px" in labels.attributes:
            raise InputError(f"{args.labels}: is already separated; give the labels it came from")
        key = digest_of(labels.digest, args.separate_px, args.ndim, code_digest(__file__))
        write_separated(
            labels, store_path(args.separated), key, args.separate_px, args.ndim, args.threads
        )


def main(arguments=None):
    """Run from the command line; return the exit code."""
    return cli.execute(build_parser(), run, arguments, into="separated")


if __name__ == "__main__":
    sys.exit(main())
