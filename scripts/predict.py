"""Predict the class probabilities of a slide, tile by tile without seams."""

import sys

from overtile import cli


def build_parser():
    """Command line of this step."""
    parser = cli.new_parser("predict.py", __doc__)
    parser.add_argument("--image", type=cli.path, required=True, help="store of the slide")
    parser.add_argument(
        "--model",
        type=cli.path,
        nargs="+",
        required=True,
        help="packaged models; several are averaged",
    )
    parser.add_argument("--probabilities", type=cli.path, required=True, help="P.ome.zarr to write")
    parser.add_argument(
        "--block-px",
        type=int,
        default=512,
        help="edge of the tiles that the network sees at once; changes speed and memory only",
    )
    cli.add_device(parser)
    return parser


def run(args):
    """Load the models and predict the slide shard by shard."""
    from overtile.code_digest import code_digest
    from overtile.errors import InputError
    from overtile.inference.predict import write_probabilities
    from overtile.inference.predictor import Predictor
    from overtile.networks.device import choose_device
    from overtile.stores.digest import digest_of
    from overtile.stores.store import Store, store_path

    if args.block_px < 1:
        raise InputError(f"--block-px: is {args.block_px}; allowed: 1 and above")
    image = Store.open(args.image, "picture")
    device = choose_device(args.device, args.precision, args.threads)
    predictor = Predictor(args.model, device)
    key = digest_of(
        *(image.digest, predictor.digests, args.block_px),
        *(device.torch.type, device.precision, code_digest(__file__)),
    )
    write_probabilities(image, predictor, store_path(args.probabilities), key, args.block_px)


def main(arguments=None):
    """Run from the command line; return the exit code."""
    return cli.execute(build_parser(), run, arguments)


if __name__ == "__main__":
    sys.exit(main())
