"""Run the true workflow on small true archives, from a copy of the project's files."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.warm import Warm

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("Snakefile", "workflow", "scripts", "envs", "config")
PYTHON = Warm("snakemake.cli")
"""It has imported Snakemake already; the jobs that Snakemake starts are processes as ever."""


@dataclass
class Project:
    """A copy of the workflow and an archive beside it."""

    root: Path
    archive: Path
    config_text: str

    def command(self, *flags: str) -> list[str]:
        """The words after `python` of the snakemake call of this archive."""
        fixed = ("--cores", "2", "--resources", "gpu=1", "--rerun-incomplete")
        config = ("--configfile", str(self.archive / "config.yaml"))
        return [
            *("-m", "snakemake", *flags, "--snakefile", str(self.root / "Snakefile")),
            *("--directory", str(self.archive), *fixed, *config),
        ]

    def snakemake(self, *flags: str) -> subprocess.CompletedProcess:
        """Run the workflow, with this interpreter's `python` first on the path."""
        return PYTHON.run(self.command(*flags), env=environment())

    def start(self) -> subprocess.Popen:
        """Start the workflow, in a process that may be killed, without waiting for it."""
        quiet, command = subprocess.DEVNULL, [sys.executable, *self.command()]
        return subprocess.Popen(command, stdout=quiet, stderr=quiet, env=environment())

    def run(self) -> dict[str, int]:
        """Run to the end; return how often each rule ran."""
        result = self.snakemake()
        assert result.returncode == 0, result.stdout + result.stderr
        return rules_run(result.stderr + result.stdout)

    def planned(self) -> dict[str, int]:
        """What a run would do now: how often each rule."""
        result = self.snakemake("--dry-run")
        assert result.returncode == 0, result.stdout + result.stderr
        return rules_run(result.stderr + result.stdout)

    def write_config(self, **changes: object) -> None:
        """Write the configuration, with top-level keys replaced."""
        values = yaml.safe_load(self.config_text) | changes
        (self.archive / "config.yaml").write_text(yaml.safe_dump(values))


def environment() -> dict[str, str]:
    """This process's environment, with this interpreter's folder first."""
    return os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def rules_run(output: str) -> dict[str, int]:
    """Rule names and counts from what snakemake printed, without `all`."""
    found: dict[str, int] = {}
    for name in re.findall(r"^ *(?:local)?(?:rule|checkpoint) (\w+):", output, re.M):
        found[name] = found.get(name, 0) + 1
    found.pop("all", None)
    return found


def copy_project(folder: Path, parts: Sequence[str] = PARTS) -> Path:
    """Copy what a clone holds into a folder."""
    for part in parts:
        source = ROOT / part
        if source.is_dir():
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, folder / part, ignore=ignore)
        else:
            shutil.copy(source, folder / part)
    share_compiled(folder)
    return folder


def share_compiled(folder: Path) -> None:
    """Let a copy find what is compiled already: that takes longer than small pictures."""
    compiled = Path("scripts", "overtile", "geometry", "__pycache__")
    (ROOT / compiled).mkdir(exist_ok=True)
    (folder / compiled).symlink_to(ROOT / compiled)


@pytest.fixture(scope="module")
def make_project(tmp_path_factory):
    """Make a project from a configuration and rows of the sheet."""

    def make(config: dict, rows: list[tuple], name: str = "project") -> Project:
        folder = tmp_path_factory.mktemp(name)
        (folder / "code").mkdir()
        archive = folder / "archive"
        archive.mkdir()
        text = json.dumps({**config, "slides": str(archive / "slides.tsv")})
        project = Project(copy_project(folder / "code"), archive, text)
        project.write_config()
        lines = ["\t".join(("slide", "image", "labels", "split", "group"))]
        lines += ["\t".join(map(str, row)) for row in rows]
        (archive / "slides.tsv").write_text("\n".join(lines) + "\n")
        return project

    return make
