"""Train one fold of a plan; a killed training goes on from its last epoch."""

import sys

from overtile import cli


def build_parser():
    """Command line of this step."""
    parser = cli.new_parser("train.py", __doc__)
    # The system's limits on a command line are reached by a thousand slides.
    parser.fromfile_prefix_chars = "@"
    parser.epilog = "@FILE stands for the arguments in a file, one a line."
    parser.add_argument("--plan", type=cli.path, required=True, help="plan.yaml from plan.py")
    parser.add_argument(
        "--images",
        type=cli.path,
        nargs="+",
        required=True,
        help="stores of all slides that the plan names",
    )
    parser.add_argument(
        "--weights",
        type=cli.path,
        nargs="+",
        required=True,
        help="weight maps of these slides, in the same order",
    )
    parser.add_argument(
        "--labels",
        type=cli.path,
        nargs="+",
        help="label stores to learn, in the same order; without it labels/reference inside each",
    )
    parser.add_argument("--model", type=cli.path, required=True, help="folder of the fold")
    parser.add_argument("--fold", type=int, default=0, help="which fold of the plan")
    cli.add_device(parser)
    return parser


def run(args):
    """Open the slides of the fold and train."""
    from overtile.code_digest import code_digest
    from overtile.errors import InputError
    from overtile.networks.device import choose_device, say_device
    from overtile.planning.reading import read_plan
    from overtile.stores.digest import digest_of
    from overtile.stores.store import Store, labels_of
    from overtile.training.loop import train_fold
    from overtile.training.samples import Slide

    plan = read_plan(args.plan)
    if not 0 <= args.fold < len(plan.folds):
        raise InputError(f"--fold: is {args.fold}; allowed: 0 to {len(plan.folds) - 1}")
    if len(args.images) != len(args.weights):
        raise InputError(
            f"--weights: {len(args.weights)} maps for {len(args.images)} images; give one each"
        )
    images = [Store.open(path, "picture") for path in args.images]
    slides = {}
    for image, labels, path in zip(
        images, labels_of(images, args.labels), args.weights, strict=True
    ):
        if image.name in slides:
            raise InputError(f"--images: two slides are called {image.name}; rename one")
        slides[image.name] = Slide.open(image, labels, Store.open(path, "weights"))
    fold = plan.folds[args.fold]
    missing = [name for name in fold.slides if name not in slides]
    if missing:
        raise InputError(f"--images: slides of the plan are missing: {', '.join(missing)}")
    device = choose_device(args.device, args.precision, args.threads)
    used = [slides[name] for name in fold.slides]
    digests = [(s.image.digest, s.classes.digest, s.weights.digest) for s in used]
    key = digest_of(
        plan.identity(),
        *(args.fold, digests, device.torch.type, device.precision, code_digest(__file__)),
    )
    say_device(device, args.device)
    train_fold(
        plan,
        args.fold,
        used[: len(fold.train)],
        used[len(fold.train) :],
        args.model,
        key,
        device,
    )
    return {"device": device.torch.type, "precision": device.precision}


def main(arguments=None):
    """Run from the command line; return the exit code."""
    return cli.execute(build_parser(), run, arguments, into="model")


if __name__ == "__main__":
    sys.exit(main())
