"""Files that follow from the declared settings: the schema of config.yaml, the tables of its page.

    python tests/generated.py          # which of them are out of date
    python tests/generated.py --write  # write them again

Run without flags by `make lint`; `make generated` writes.
"""

import argparse
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

from overtile.settings.schema import config_schema  # noqa: E402
from overtile.settings.tables import settings_tables  # noqa: E402

SCHEMA = ROOT / "workflow" / "schemas" / "config.schema.yaml"
PAGE = ROOT / "config" / "README.md"
HEADER = "# Written by `make generated` from scripts/overtile/settings. Change them there.\n"
MARKS = (
    "<!-- From here on written by `make generated` from scripts/overtile/settings. -->\n",
    "<!-- End of what `make generated` writes. -->\n",
)


class Dumper(yaml.SafeDumper):
    """Lists in one line."""


Dumper.add_representer(
    list, lambda dumper, values: dumper.represent_sequence("tag:yaml.org,2002:seq", values, True)
)


def schema_text() -> str:
    """What the schema's file must hold."""
    return HEADER + yaml.dump(config_schema(), Dumper=Dumper, sort_keys=False, width=100)


def page_text(page: str) -> str:
    """The configuration's page with the tables of today between its marks."""
    before, _, rest = page.partition(MARKS[0])
    _, mark, after = rest.partition(MARKS[1])
    if not mark:
        raise ValueError(f"{PAGE}: the two marks of the tables are missing; put them back")
    return f"{before}{MARKS[0]}\n{settings_tables()}\n{MARKS[1]}{after}"


def texts() -> dict[Path, str]:
    """Each file with what it must hold."""
    return {SCHEMA: schema_text(), PAGE: page_text(PAGE.read_text(encoding="utf-8"))}


def stale() -> list[str]:
    """Files that hold something else, a line for each."""
    return [
        f"{path.relative_to(ROOT)}: is out of date; run make generated"
        for path, text in texts().items()
        if path.read_text(encoding="utf-8") != text
    ]


def main() -> int:
    """Run from the command line; return the exit code."""
    from faults import tell

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true")
    if parser.parse_args().write:
        for path, text in texts().items():
            path.write_text(text, encoding="utf-8")
    return tell("generated files", stale())


if __name__ == "__main__":
    sys.exit(main())
