"""Describe a result folder as an RO-Crate: slides, models, code, versions, commands and times."""

import sys

from overtile import cli, outputs
from overtile.settings.archive import Archive
from overtile.settings.flags import add_settings


def build_parser():
    """Command line of this step."""
    parser = cli.new_parser("crate.py", __doc__)
    parser.add_argument("--results", type=cli.path, required=True, help="folder to describe")
    parser.add_argument(
        "--crate",
        type=outputs.file("ro-crate-metadata.json", ".json"),
        required=True,
        help="ro-crate-metadata.json to write into it",
    )
    parser.add_argument("--sheet", type=cli.path, required=True, help="slides.tsv of the results")
    parser.add_argument(
        "--models", nargs="*", default=[], metavar="NAME", help="models of the results"
    )
    parser.add_argument(
        "--snakefile", type=cli.path, required=True, help="the workflow that made the results"
    )
    parser.add_argument(
        "--config", type=cli.path, required=True, help="its configuration, inside the folder"
    )
    add_settings(parser, Archive, "title", "licence")
    parser.add_argument("--snakemake", default="unknown", help="version that ran the workflow")
    return parser


def run(args):
    """Copy workflow and sheet into the folder, look at every result, write the crate."""
    import json
    from shutil import copyfile

    from overtile.errors import InputError
    from overtile.ingest.catalogue import read_sheet
    from overtile.provenance import read_runs
    from overtile.reporting.crate import Crate
    from overtile.reporting.provenance_graph import newest_inputs, walk_results
    from overtile.stores.digest import digest_file, digest_of_digests
    from overtile.stores.files import replace_when_done, write_text

    slides = read_sheet(args.sheet)
    home, workflow = args.results.resolve(), args.config.resolve().parent
    if not workflow.is_relative_to(home):
        raise InputError(
            f"{args.config}: --config is not in --results {args.results}; copy it there"
        )
    rules = sorted((args.snakefile.parent / "workflow" / "rules").glob("*.smk"))
    version = digest_of_digests(map(digest_file, [args.snakefile, *rules]))[:16]
    for source in (args.snakefile, args.sheet):
        target = workflow / source.name
        if target.resolve() != source.resolve():
            with replace_when_done(target) as temporary:
                copyfile(source, temporary)
    results = list(walk_results(args.results, slides, args.models, read_runs))
    crate = Crate(args.title, args.licence, newest_inputs(results))
    for result in results:
        crate.add(result)
    given = [
        (path.resolve().relative_to(home).as_posix(), name, digest_file(path))
        for path, name in (
            (args.config, "configuration"),
            (workflow / args.sheet.name, "sheet of slides"),
        )
    ]
    inside = (workflow / args.snakefile.name).relative_to(home).as_posix()
    crate.add_workflow(inside, version, given, args.snakemake)
    text = json.dumps(crate.to_json(), indent=1, sort_keys=True, ensure_ascii=False)
    write_text(args.crate, text + "\n")


def main(arguments=None):
    """Run from the command line; return the exit code."""
    return cli.execute(build_parser(), run, arguments)


if __name__ == "__main__":
    sys.exit(main())
