"""Write the objects of one slide for other programs: outlines for QuPath, or a TIFF of labels."""

import sys

from overtile import cli


def build_parser():
    """Command line of this step."""
    parser = cli.new_parser("export.py", __doc__)
    parser.add_argument(
        "--segmentation", type=cli.path, required=True, help="label store, or a TIFF or PNG"
    )
    parser.add_argument(
        "--geojson", type=cli.path, help="outlines to write, OUT.geojson, as QuPath reads them"
    )
    parser.add_argument("--tiff", type=cli.path, help="OME-TIFF to write, OUT.tif")
    parser.add_argument(
        "--what", choices=("objects", "classes"), default="objects", help="what the TIFF holds"
    )
    parser.add_argument(
        "--kind",
        choices=("instances", "binary"),
        default="instances",
        help="meaning of plain files; binary: objects are connected components",
    )
    return parser


def run(args):
    """Walk over the labels block by block and write what is asked for."""
    from overtile.errors import InputError
    from overtile.inference.geojson import write_geojson
    from overtile.inference.label_tiff import write_tiff
    from overtile.stores.digest import digest_file
    from overtile.stores.plain import open_labels

    if not args.geojson and not args.tiff:
        raise InputError("--geojson, --tiff: both missing; give the file to write, or both")
    with open_labels(args.segmentation, args.kind) as labels:
        classes = labels.label_classes()
        for store in (labels, classes):
            store.level(0)  # a lost shard is told before anything is written
        if args.geojson:
            write_geojson(labels, args.geojson)
        if args.tiff:
            write_tiff(labels if args.what == "objects" else classes, args.tiff)
        written = [digest_file(file) for file in (args.geojson, args.tiff) if file]
        return {"content": written[0], "also": written[1:], "read": labels.digest}


def main(arguments=None):
    """Run from the command line; return the exit code."""
    return cli.execute(build_parser(), run, arguments)


if __name__ == "__main__":
    sys.exit(main())
