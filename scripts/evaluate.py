"""Score a segmentation against its reference labels."""

import sys

from overtile import cli, outputs
from overtile.settings.evaluation import Evaluating
from overtile.settings.flags import add_settings


def build_parser():
    """Command line of this step."""
    parser = cli.new_parser("evaluate.py", __doc__)
    parser.add_argument(
        "--reference", type=cli.path, required=True, help="label store, or a TIFF or PNG"
    )
    parser.add_argument(
        "--segmentation", type=cli.path, required=True, help="label store, or a TIFF or PNG"
    )
    parser.add_argument(
        "--scores", type=outputs.file(".json"), required=True, help="JSON file to write"
    )
    add_settings(parser, Evaluating)
    parser.add_argument(
        "--kind",
        choices=("instances", "binary"),
        default="instances",
        help="meaning of plain files; binary: objects are connected components",
    )
    parser.add_argument("--slide", default="", help="name to note in the scores")
    parser.add_argument("--model-name", default="", help="model to note in the scores")
    return parser


def run(args):
    """Compare the two block by block and write the scores."""
    from overtile.ingest.label_files import open_labels
    from overtile.metrics.compare import compare
    from overtile.stores.digest import digest_file, sealed
    from overtile.stores.files import write_json

    with (
        open_labels(args.reference, args.kind) as reference,
        open_labels(args.segmentation, args.kind) as segmentation,
    ):
        scores = compare(reference, segmentation, args.iou_threshold)
    scores = {"slide": args.slide, "model": args.model_name, **scores}
    write_json(args.scores, sealed(scores))
    return {"content": digest_file(args.scores)}


def main(arguments=None):
    """Run from the command line; return the exit code."""
    return cli.execute(build_parser(), run, arguments)


if __name__ == "__main__":
    sys.exit(main())
