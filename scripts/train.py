"""Train one fold of a plan; a killed training continues from its last epoch."""

import sys

from overtile import cli, outputs
from overtile.settings.archive import Archive
from overtile.settings.flags import add_settings


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
    parser.add_argument("--model", type=outputs.FOLD, required=True, help="folder of the fold")
    parser.add_argument("--fold", type=int, default=0, help="which fold of the plan")
    add_settings(parser, Archive, "retrain_on_code_change")
    cli.add_device(parser)
    return parser


def run(args):
    """Open the slides of the fold and train, unless that was done."""
    from overtile.code_digest import code_digest
    from overtile.errors import InputError
    from overtile.networks.device import choose_device, say_device
    from overtile.planning.reading import read_plan
    from overtile.progress import progress
    from overtile.stores.digest import digest_file
    from overtile.stores.run_log import log_start
    from overtile.training.checkpoint import Origin, read_checkpoint
    from overtile.training.finished import find_finished, keys_of
    from overtile.training.loop import train_fold
    from overtile.training.samples import open_slides, refuse_unlike

    plan = read_plan(args.plan)
    code = code_digest(__file__, [plan.loss, plan.family, "layers"])
    if not 0 <= args.fold < len(plan.folds):
        raise InputError(f"--fold: is {args.fold}; allowed: 0 to {len(plan.folds) - 1}")
    slides = open_slides(args.images, args.labels, args.weights)
    missing = [name for name in plan.folds[args.fold].slides if name not in slides]
    if missing:
        raise InputError(f"--images: slides of the plan are missing: {', '.join(missing)}")
    refuse_unlike(plan, [slides[name] for name in plan.folds[args.fold].slides])
    keys = keys_of(plan, args.fold, slides)
    state = read_checkpoint(args.model)
    only = code if args.retrain_on_code_change else None
    origin = find_finished(args.model, args.fold, plan.epochs, state, keys, only)
    is_done = origin is not None
    if is_done:
        log_start(args.model, origin.key, is_fresh=False, code=code)
        label = f"train fold {args.fold}"
        with progress(plan.epochs, label=label, unit="epoch", start=plan.epochs):
            pass  # it says that all is done
    else:
        device = choose_device(args.device, args.precision, args.threads)
        made_by = (code, device.torch.type, device.precision)
        origin = Origin(keys(*made_by)[0], *made_by)
        say_device(device, args.device)
        ours = state if state is not None and state.origin == origin else None
        train_fold(plan, args.fold, slides, args.model, origin, ours, device)
    return {
        "device": origin.device,
        "precision": origin.precision,
        "plan": digest_file(args.plan),
        "trained": not is_done,
    }


def main(arguments=None):
    """Run from the command line; return the exit code."""
    return cli.execute(build_parser(), run, arguments, into="model")


if __name__ == "__main__":
    sys.exit(main())
