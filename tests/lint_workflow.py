"""Checks of what no other linter knows: rules and shipped configurations.

Run by `make lint`. Ends with exit code 1 and one line per fault.
"""

import subprocess
import sys
from pathlib import Path

import yaml

from faults import tell
from generated import stale
from overtile_workflow.settings import check_settings, load_schema

ROOT = Path(__file__).resolve().parents[1]


def lint_rules() -> list[str]:
    """What `snakemake --lint` finds."""
    result = subprocess.run(
        [sys.executable, "-m", "snakemake", "--lint"], cwd=ROOT, capture_output=True, text=True
    )
    return [] if result.returncode == 0 else [result.stderr + result.stdout]


def lint_configurations() -> list[str]:
    """Faults of every shipped configuration, and files about it that are out of date."""
    schema = load_schema(ROOT / "workflow" / "schemas" / "config.schema.yaml")
    faults = []
    for path in sorted(ROOT.glob("config/**/*.yaml")):
        try:
            check_settings(yaml.safe_load(path.read_text()), schema, str(path.relative_to(ROOT)))
        except ValueError as error:
            faults.append(str(error))
    return [*faults, *stale()]


def main() -> int:
    """Print all faults; return the exit code."""
    return tell("rules and configurations", [*lint_rules(), *lint_configurations()])


if __name__ == "__main__":
    sys.exit(main())
