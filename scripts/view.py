"""Show a slide in napari or Neuroglancer: picture, reference and every model's result.

Serves the store to this machine until it is stopped by Ctrl-C, and prints what to open.
"""

import sys

from overtile import cli


def build_parser():
    """Command line of this step."""
    parser = cli.new_parser("view.py", __doc__)
    parser.add_argument("--store", type=cli.path, required=True, help="S.ome.zarr, of a picture")
    parser.add_argument("--port", type=cli.zero_or_more, default=8000, help="0: any free one")
    parser.add_argument(
        "--neuroglancer",
        default="https://neuroglancer-demo.appspot.com",
        help="address of a Neuroglancer; no other page may read the store",
    )
    return parser


def run(args):
    """Serve the store, whose name is part of the address."""
    import asyncio
    from contextlib import suppress

    from overtile.exports.viewing import STATE, serve
    from overtile.stores.store import Store, finished_labels

    picture = Store.open(args.store, "picture")
    for store in (picture, *finished_labels(picture).values()):
        for level in range(store.levels):
            store.level(level)  # viewers show lost shards as black

    def say(address):
        print(f"napari --plugin napari-ome-zarr {address}")
        print(f"{args.neuroglancer.rstrip('/')}/#!{address}/{STATE}", flush=True)

    with suppress(KeyboardInterrupt):
        asyncio.run(serve(picture.path, args.port, args.neuroglancer, say))


def main(arguments=None):
    """Run from the command line; return the exit code."""
    return cli.execute(build_parser(), run, arguments)


if __name__ == "__main__":
    sys.exit(main())
