"""The command line that the workflow gives to predict.py."""

import shlex
import subprocess
import sys
from pathlib import Path

import predict
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("fill_value", [0, -3.4e38])
def test_any_fill_value_of_the_configuration_reaches_the_script(tmp_path, fill_value):
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--dry-run", "-p"]
    prediction = {"prediction": {"background": "fill", "fill_value": fill_value}}
    (tmp_path / "more.yaml").write_text(yaml.safe_dump(prediction))
    files = [ROOT / "config" / "config.yaml", tmp_path / "more.yaml"]
    command = [*command, "--directory", tmp_path, "--configfile", *files]
    result = subprocess.run(list(map(str, command)), cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    line = next(line for line in result.stdout.splitlines() if "predict.py --image" in line)
    arguments = line.partition("predict.py ")[2].partition(" 2>&1")[0]
    args = predict.build_parser().parse_args(shlex.split(arguments))
    assert (args.background, args.fill_value) == ("fill", fill_value)
