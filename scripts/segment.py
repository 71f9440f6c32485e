"""Turn probabilities into a class map and numbered objects.

In this order: class map, seeds, growth of seeds, holes, borders, least size.
"""

import sys

from overtile import cli, outputs
from overtile.settings.flags import add_settings, settings_from
from overtile.settings.segmentation import Segmenting


def build_parser():
    """Command line of this step."""
    parser = cli.new_parser("segment.py", __doc__)
    parser.add_argument("--probabilities", type=cli.path, required=True, help="from predict.py")
    parser.add_argument(
        "--segmentation",
        type=outputs.STORE,
        required=True,
        help="label store to write, e.g. S.ome.zarr/labels/MODEL",
    )
    parser.add_argument(
        "--objects",
        type=outputs.file(".parquet"),
        help="table to write, O.parquet, with a row per object",
    )
    add_settings(parser, Segmenting)
    return parser


def run(args):
    """Read probabilities shard by shard and write the label store."""
    from overtile.code_digest import code_digest
    from overtile.objects.segmentation import write_segmentation
    from overtile.settings.keys import key_values
    from overtile.stores.digest import digest_file, digest_of
    from overtile.stores.store import Store, store_path

    how = settings_from(args, Segmenting)
    probabilities = Store.open(args.probabilities, "probabilities")
    code = code_digest(__file__, how.stages)
    key = digest_of(probabilities.digest, key_values(how), code)
    folder = store_path(args.segmentation)
    write_segmentation(probabilities, folder, key, how)
    if args.objects:
        from overtile.exports.table import write_table
        from overtile.objects.measurements import measure_objects

        labels = Store.open(folder, "labels")
        has_values = probabilities.attributes.get("wanted", {}).get("keep") != "classes"
        found = measure_objects(labels, probabilities if has_values else None)
        write_table(args.objects, found, probabilities.name)
        return {"also": [digest_file(args.objects)]}
    return None


def main(arguments=None):
    """Run from the command line; return the exit code."""
    return cli.execute(build_parser(), run, arguments, into="segmentation")


if __name__ == "__main__":
    sys.exit(main())
