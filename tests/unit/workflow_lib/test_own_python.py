"""Which Python rules run: that of Snakemake, but in conda environments theirs."""

import os
import shutil
import sys
from pathlib import Path

import pytest
from snakemake.exceptions import WorkflowError
from snakemake.settings.types import DeploymentMethod

from overtile_workflow.environments import put_own_python_first

CONDA = {DeploymentMethod.CONDA}
WITHOUT_CONDA = ({DeploymentMethod.APPTAINER}, {DeploymentMethod.ENV_MODULES}, set())


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A search path on which another python, or none, comes first."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return str(tmp_path)


@pytest.mark.parametrize("deployment", WITHOUT_CONDA)
def test_rules_run_the_python_of_snakemake_where_there_are_no_conda_environments(
    elsewhere, deployment
):
    put_own_python_first(deployment)
    put_own_python_first(deployment)
    assert os.environ["PATH"].split(os.pathsep) == [str(Path(sys.executable).parent), elsewhere]
    assert Path(shutil.which("python")).samefile(sys.executable)


def test_conda_environments_bring_their_own(elsewhere):
    put_own_python_first(CONDA | {DeploymentMethod.APPTAINER})
    assert os.environ["PATH"] == elsewhere


def test_a_python_of_another_name_is_refused(elsewhere, monkeypatch):
    monkeypatch.setattr(sys, "executable", f"{elsewhere}/bin/python3.99")
    with pytest.raises(WorkflowError, match="rules call the program python"):
        put_own_python_first(set())
