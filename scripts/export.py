"""Write the objects of one slide for other programs: outlines for QuPath, or a TIFF of labels."""

import sys

from overtile import cli, outputs


def build_parser():
    """Command line of this step."""
    parser = cli.new_parser("export.py", __doc__)
    parser.add_argument(
        "--segmentation", type=cli.path, required=True, help="label store, or a TIFF or PNG"
    )
    parser.add_argument(
        "--geojson",
        type=outputs.file(".geojson"),
        help="outlines to write, OUT.geojson, as QuPath reads them",
    )
    parser.add_argument(
        "--tiff", type=outputs.file(".tif", ".tiff"), help="OME-TIFF to write, OUT.tif"
    )
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
    from overtile.exports.formats import FORMATS
    from overtile.ingest.label_files import open_labels
    from overtile.stores.digest import digest_file

    files = {name: getattr(args, name) for name in FORMATS if getattr(args, name)}
    if not files:
        flags = ", ".join(f"--{name}" for name in FORMATS)
        raise InputError(f"{flags}: all are missing; give at least one")
    with open_labels(args.segmentation, args.kind) as labels:
        for store in (labels, labels.label_classes()):
            store.level(0)  # a lost shard is told before anything is written
        for name, file in files.items():
            FORMATS.load(name)(labels, file, args.what)
        written = [digest_file(file) for file in files.values()]
        return {"content": written[0], "also": written[1:], "read": labels.digest}


def main(arguments=None):
    """Run from the command line; return the exit code."""
    return cli.execute(build_parser(), run, arguments)


if __name__ == "__main__":
    sys.exit(main())
