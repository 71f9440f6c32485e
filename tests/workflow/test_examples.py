"""Shipped configurations, as the README runs them."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "config" / "examples" / "isbi2012" / "config.yaml"


def dry_run(*flags: object) -> str:
    """What a dry run with shell commands prints."""
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--dry-run", "-p", *flags]
    result = subprocess.run(list(map(str, command)), cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout + result.stderr


def test_the_demonstration_needs_nothing_but_a_clone(tmp_path):
    output = dry_run("--directory", tmp_path, "--configfile", ROOT / "config" / "config.yaml")
    assert output.count("rule make_demo_slide:") == 8


@pytest.mark.parametrize("where", ["root", "elsewhere"])
def test_an_example_is_not_mixed_with_the_demonstrations_settings(data, tmp_path, where):
    directory = () if where == "root" else ("--directory", tmp_path)
    output = dry_run(
        *directory, "--configfile", EXAMPLE, "--config", f"data={data / 'em_isbi2012'}"
    )
    example = yaml.safe_load(EXAMPLE.read_text())["models"]["unet"]
    assert f"width: {example['width']}" in output
    assert "norm: none" in output and "dropout: 0.5" in output
