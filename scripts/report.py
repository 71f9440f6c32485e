"""Write the report of an archive: one page of scores, pictures, learning curves and counts."""

import sys

from overtile import cli, outputs
from overtile.settings.archive import Archive
from overtile.settings.flags import add_settings


def build_parser():
    """Command line of this step."""
    parser = cli.new_parser("report.py", __doc__)
    parser.add_argument(
        "--scores",
        type=cli.path,
        nargs="*",
        default=[],
        help="JSON files of evaluate.py, or folders with them",
    )
    parser.add_argument(
        "--report", type=outputs.file(".html"), required=True, help="HTML page to write"
    )
    parser.add_argument(
        "--table", type=outputs.file(".tsv"), help="scores.tsv to write, a row per slide"
    )
    parser.add_argument(
        "--sheet", type=cli.path, help="slides.tsv: which slides count, in what order and split"
    )
    parser.add_argument(
        "--slides", type=cli.path, help="folder of {slide}.ome.zarr, for counts and pictures"
    )
    parser.add_argument(
        "--models",
        type=cli.path,
        nargs="*",
        default=[],
        metavar="DIR",
        help="folders of models, with plan.yaml and folds, for learning curves and settings",
    )
    parser.add_argument(
        "--weights", type=cli.path, nargs="*", default=[], help="a weight map per model, to show"
    )
    parser.add_argument(
        "--targets", type=cli.path, nargs="*", default=[], help="labels that each of these is for"
    )
    add_settings(parser, Archive, "title")
    parser.add_argument(
        "--reference-name", default="reference", help="label store that holds the reference"
    )
    return parser


def run(args):
    """Bring everything together and write page and table."""
    from pathlib import Path

    from overtile.code_digest import code_digest
    from overtile.provenance import versions
    from overtile.reporting.inputs import load_archive
    from overtile.reporting.models import read_model
    from overtile.reporting.table import as_tsv
    from overtile.stores.digest import digest_file
    from overtile.stores.files import write_text

    sheet_digest = digest_file(args.sheet) if args.sheet else None
    training = Path(__file__).with_name("train.py")
    models = [
        read_model(folder, lambda *chosen: code_digest(training, [*chosen, "layers"]))
        for folder in args.models
    ]
    names = [model.name for model in models]
    archive = load_archive(args.scores, args.sheet, args.slides, names, args.reference_name)
    from overtile.reporting.page import headline_text, render_page  # late: they draw
    from overtile.reporting.weights import draw_figures

    table_name = args.table.name if args.table else None
    figures = draw_figures(models, args.weights, args.targets, args.slides)
    page = render_page(archive, models, versions(), args.title, table_name, figures)
    if args.table:
        write_text(args.table, as_tsv(archive))
    write_text(args.report, page)
    print(f"report: {args.report}")
    print(headline_text(archive))
    return {
        "content": digest_file(args.report),
        "also": [digest_file(args.table)] if args.table else [],
        "inputs": {str(args.sheet.resolve()): sheet_digest} if args.sheet else {},
    }


def main(arguments=None):
    """Run from the command line; return the exit code."""
    return cli.execute(build_parser(), run, arguments)


if __name__ == "__main__":
    sys.exit(main())
