"""Checks of what no other linter knows: rules and shipped configurations.

Run by `make lint`. Ends with exit code 1 and one line per fault.
"""

import subprocess
import sys
from pathlib import Path

import yaml

from faults import tell
from overtile_workflow.settings import check_settings, load_schema

ROOT = Path(__file__).resolve().parents[1]


def lint_rules() -> list[str]:
    """What `snakemake --lint` finds."""
    result = subprocess.run(
        [sys.executable, "-m", "snakemake", "--lint"], cwd=ROOT, capture_output=True, text=True
    )
    return [] if result.returncode == 0 else [result.stderr + result.stdout]


def lint_configurations() -> list[str]:
    """Faults of every shipped configuration, and keys that config/README.md does not explain."""
    schema = load_schema(ROOT / "workflow" / "schemas" / "config.schema.yaml")
    faults = []
    for path in sorted(ROOT.glob("config/**/*.yaml")):
        try:
            check_settings(yaml.safe_load(path.read_text()), schema, str(path.relative_to(ROOT)))
        except ValueError as error:
            faults.append(str(error))
    explained = (ROOT / "config" / "README.md").read_text()
    faults += [
        f"config/README.md: does not explain the key {key!r}"
        for key in sorted(_keys(schema) | _keys(schema["$defs"]["model"]))
        if f"`{key}`" not in explained
    ]
    return faults


def _keys(schema: dict) -> set[str]:
    """Names of all keys that a schema allows, at any depth."""
    found = set()
    for name, part in schema.get("properties", {}).items():
        found |= {name} | _keys(part)
    return found


def main() -> int:
    """Print all faults; return the exit code."""
    return tell("rules and configurations", [*lint_rules(), *lint_configurations()])


if __name__ == "__main__":
    sys.exit(main())
