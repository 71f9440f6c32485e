"""Write one synthetic slide and its reference labels as OME-TIFF files."""

import sys

from overtile import cli, outputs


def build_parser():
    """Command line of this step."""
    parser = cli.new_parser("demo.py", __doc__)
    parser.add_argument("--seed", type=int, required=True, help="same seed, same files; 0 or more")
    tiff = outputs.file(".tif", ".tiff")
    parser.add_argument("--image", type=tiff, required=True, help="OME-TIFF to write, uint16")
    parser.add_argument(
        "--labels", type=tiff, required=True, help="OME-TIFF of cell numbers to write, uint16"
    )
    parser.add_argument("--size-px", type=int, default=1024, help="side of the slide")
    return parser


def run(args):
    """Draw the slide and write both files, whole or not at all."""
    import uuid

    import tifffile

    from overtile.demo import make_slide
    from overtile.errors import InputError
    from overtile.stores.files import replace_when_done

    try:
        image, labels = make_slide(args.seed, (args.size_px, args.size_px))
    except ValueError as error:
        raise InputError(f"--seed {args.seed} --size-px {args.size_px}: {error}") from error
    for path, picture in ((args.image, image), (args.labels, labels)):
        identity = f"overtile demo {args.seed} {args.size_px} {path.name}"
        with replace_when_done(path) as temporary, open(temporary, "wb") as file:
            tifffile.imwrite(
                file,
                picture,
                ome=True,
                tile=(256, 256),
                compression="zlib",
                metadata={
                    "axes": "YX",
                    "UUID": str(uuid.uuid5(uuid.NAMESPACE_URL, identity)),
                    "Name": path.name,
                    "PhysicalSizeX": 0.5,
                    "PhysicalSizeXUnit": "µm",
                    "PhysicalSizeY": 0.5,
                    "PhysicalSizeYUnit": "µm",
                },
            )


def main(arguments=None):
    """Run from the command line; return the exit code."""
    return cli.execute(build_parser(), run, arguments)


if __name__ == "__main__":
    sys.exit(main())
