"""Turn probabilities into a class map and numbered objects.

In this order: class map, seeds, growth of seeds, holes, borders, least size.
"""

import sys

from overtile import cli, outputs


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
    parser.add_argument(
        "--threshold",
        type=cli.fraction,
        help="foreground is what has at least this probability; without it, what is more probable "
        "than background as a single class",
    )
    parser.add_argument(
        "--seed-threshold",
        type=cli.fraction,
        help="objects grow from where the foreground has at least this probability; without it, "
        "they are connected components",
    )
    _add_pixels(parser, "--min-seed-px", "smaller seeds are no seeds")
    parser.add_argument(
        "--grow-px",
        type=cli.at_least_one,
        default=16,
        help="how far objects grow from their seeds; what they do not reach becomes background",
    )
    _add_pixels(parser, "--max-hole-px", "holes of up to so many pixels are filled")
    _add_pixels(parser, "--border-px", "gaps between objects of up to so many pixels are closed")
    _add_pixels(parser, "--min-object-px", "smaller objects become background")
    parser.add_argument(
        "--min-object-um",
        type=cli.positive,
        help="the same in micrometres: um^2 of a picture, um^3 of a volume",
    )
    return parser


def _add_pixels(parser, flag, meaning):
    parser.add_argument(flag, type=cli.zero_or_more, default=0, help=meaning)


def run(args):
    """Read probabilities shard by shard and write the label store."""
    from dataclasses import fields

    from overtile.code_digest import code_digest
    from overtile.objects.segmentation import write_segmentation
    from overtile.settings.keys import key_values
    from overtile.settings.segmentation import Segmenting
    from overtile.stores.digest import digest_file, digest_of
    from overtile.stores.store import Store, store_path

    how = Segmenting(**{field.name: getattr(args, field.name) for field in fields(Segmenting)})
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
