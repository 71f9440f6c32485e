"""Convert a raw picture, or its labels, to a chunked OME-Zarr store."""

import sys

from overtile import cli, outputs
from overtile.settings.flags import add_settings, settings_from
from overtile.settings.labels import Labels


def build_parser():
    """Command line of this step."""
    parser = cli.new_parser("ingest.py", __doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--image", type=cli.path, help="raw picture: TIFF, PNG or NIfTI")
    source.add_argument("--labels", type=cli.path, help="raw labels: TIFF, PNG or NIfTI")
    parser.add_argument(
        "--store",
        type=outputs.STORE,
        required=True,
        help="S.ome.zarr, or for labels S.ome.zarr/labels/reference; its zarr.json works too",
    )
    parser.add_argument(
        "--pixel-size-um",
        type=cli.positive,
        nargs="+",
        metavar="EDGE",
        help="pixel edges Y X or Z Y X in micrometres, instead of the file's own",
    )
    parser.add_argument("--channels", nargs="+", metavar="NAME", help="a name for each channel")
    add_settings(parser, Labels, are_optional=True)  # with --labels only
    return parser


def run(args):
    """Read the raw file block by block and write the store."""
    from pathlib import Path

    from overtile.code_digest import code_digest
    from overtile.errors import InputError
    from overtile.ingest.pictures import picture_pixel_size_um, write_picture
    from overtile.ingest.references import labelled_picture, write_reference
    from overtile.readers.opening import open_raw, reader_of
    from overtile.stores.digest import digest_file, digest_of
    from overtile.stores.store import store_path

    folder = store_path(args.store)
    raw = open_raw(args.image or args.labels)
    size = picture_pixel_size_um(raw, args.pixel_size_um)
    file_digest = digest_file(raw.path)
    facts = {"inputs": {str(Path(raw.path).resolve()): file_digest}}
    key_parts = [
        file_digest,
        code_digest(__file__, [reader_of(raw.path)]),
        size,
        args.channels,
        args.kind,
        args.classes,
        args.values,
        args.ignore,
    ]
    if args.image:
        write_picture(raw, folder, digest_of(*key_parts), size, args.channels or raw.channels)
        return facts
    if args.kind is None:
        raise InputError("--kind: missing; allowed with --labels: instances, binary, semantic")
    labels = settings_from(args, Labels)
    labels.check()
    picture = labelled_picture(raw, folder)
    if picture is not None:
        size = picture.attributes["pixel_size_um"]
    key = digest_of(*key_parts, size)
    names, values = list(labels.classes), list(labels.values or range(len(labels.classes)))
    write_reference(raw, folder, key, labels.kind, names, values, labels.ignore, size)
    return facts


def main(arguments=None):
    """Run from the command line; return the exit code."""
    return cli.execute(build_parser(), run, arguments, into="store")


if __name__ == "__main__":
    sys.exit(main())
