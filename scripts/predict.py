"""Predict the class probabilities of a slide, tile by tile without seams."""

import sys

from overtile import cli, outputs
from overtile.settings.flags import add_settings
from overtile.settings.prediction import Predicting


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
    parser.add_argument(
        "--probabilities", type=outputs.STORE, required=True, help="P.ome.zarr to write"
    )
    parser.add_argument(
        "--mask", type=cli.path, help="look only where this picture or label store is not 0"
    )
    parser.epilog = "a negative fill value needs an equals sign, as in --fill-value=-3.4e+38"
    add_settings(parser, Predicting)
    parser.add_argument(
        "--workers",
        type=cli.at_least_one,
        default=1,
        help="processes that share one large slide; on one machine, each takes --memory-gb",
    )
    parser.add_argument(
        "--cluster",
        choices=("local", "slurm"),
        default="local",
        help="where workers run: on this machine, or each as a job of its own",
    )
    parser.add_argument(
        "--slurm-flags",
        nargs="+",
        action="extend",
        default=[],
        metavar="FLAG",
        help="flags of sbatch for these jobs, for example --slurm-flags=--partition=gpu",
    )
    cli.add_device(parser)
    return parser


def run(args):
    """Load the models and predict the slide shard by shard."""
    from contextlib import ExitStack

    from overtile.code_digest import code_digest
    from overtile.ingest.label_files import open_labels, remove_temporary
    from overtile.networks.device import choose_device, say_device
    from overtile.prediction.cluster import open_cluster
    from overtile.prediction.options import choose_foreground, choose_tiling, prediction_key
    from overtile.prediction.pixel_size import choose_common_scaling, refuse_others
    from overtile.prediction.predictor import Predictor
    from overtile.prediction.slide import Prediction, write_prediction
    from overtile.settings.keys import key_values
    from overtile.settings.prediction import Wanted
    from overtile.stores.store import Store, store_path

    image = Store.open(args.image.resolve(), "picture")
    here = args.workers if args.cluster == "local" else 0
    device = choose_device(args.device, args.precision, args.threads, here)
    wanted = Wanted(args.keep, args.test_time_augmentation, args.uncertainty)
    predictor = Predictor([path.resolve() for path in args.model], device, wanted)
    refuse_others(image, predictor.plan)
    scaling = choose_common_scaling(image, predictor.plans, args.pixel_size)
    seen_px = (scaling or image).shape
    tiling = choose_tiling(predictor, seen_px, args.memory_gb, args.block_px)
    folder = store_path(args.probabilities).resolve()
    where = (args.background, args.fill_value)
    with ExitStack() as stack:
        mask = args.mask and stack.enter_context(open_labels(args.mask, "binary", folder))
        inputs = _digest_mask(args.mask)
        foreground, foreground_key = choose_foreground(image, mask, *where)
        prediction = Prediction(image, predictor, tiling, foreground, scaling)
        code = code_digest(__file__, [predictor.plan.family, "layers"])
        key = prediction_key(prediction, foreground_key, code)
        workers = (args.cluster, args.workers, device, args.memory_gb, args.slurm_flags)
        client = stack.enter_context(open_cluster(*workers))
        say_device(device, args.device)
        write_prediction(prediction, folder, key, client, wanted=key_values(wanted))
    remove_temporary(folder)
    return {"device": device.torch.type, "precision": device.precision, "inputs": inputs}


def _digest_mask(mask):
    """SHA-256 by path of the mask's file, of a store that of its root; empty without a mask."""
    from overtile.stores.digest import digest_file
    from overtile.stores.store import ROOT

    if mask is None:
        return {}
    file = mask / ROOT if mask.is_dir() else mask
    return {str(file.resolve()): digest_file(file)}


def main(arguments=None):
    """Run from the command line; return the exit code."""
    return cli.execute(build_parser(), run, arguments, into="probabilities")


if __name__ == "__main__":
    sys.exit(main())
