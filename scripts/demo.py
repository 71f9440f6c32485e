"""Write one synthetic slide and its reference labels as OME-TIFF, for the demonstration."""

import argparse
import sys
from pathlib import Path


def build_parser() -> argparse.ArgumentParser:
    """Flags of this step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, required=True, help="same seed, same files; 0 or more")
    parser.add_argument("--image", type=Path, required=True, help="OME-TIFF to write, uint16 YX")
    parser.add_argument(
        "--labels", type=Path, required=True, help="OME-TIFF of cell numbers to write, uint16 YX"
    )
    parser.add_argument(
        "--size-px", type=int, default=1024, help="side of the slide (default: %(default)s)"
    )
    return parser


def run(args: argparse.Namespace) -> None:
    """Synthesise the slide, write both files beside their place, and move them there."""
    import os
    import uuid

    import tifffile

    from overtile.demo import make_slide
    from overtile.errors import InputError

    if args.image.resolve() == args.labels.resolve():
        raise InputError(f"--image and --labels are both {args.image}; give two different files")
    try:
        pictures = make_slide(args.seed, (args.size_px, args.size_px))
    except ValueError as error:
        raise InputError(f"--seed {args.seed} --size-px {args.size_px}: {error}") from error
    for path, name, picture in zip(
        (args.image, args.labels), ("image", "labels"), pictures, strict=True
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{os.getpid()}-{path.name}")
        identity = f"overtile demo {args.seed} {args.size_px} {name}"
        try:
            tifffile.imwrite(
                partial,
                picture,
                ome=True,
                tile=(256, 256),
                compression="zlib",
                metadata={
                    "axes": "YX",
                    "UUID": str(uuid.uuid5(uuid.NAMESPACE_URL, identity)),
                    "Name": f"demo seed {args.seed} {name}",
                    "PhysicalSizeX": 0.5,
                    "PhysicalSizeXUnit": "µm",
                    "PhysicalSizeY": 0.5,
                    "PhysicalSizeYUnit": "µm",
                },
            )
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)


def main(arguments: list[str] | None = None) -> int:
    """Run the step; returns the exit code."""
    from overtile.cli import execute

    return execute(build_parser(), run, arguments)


if __name__ == "__main__":
    sys.exit(main())
