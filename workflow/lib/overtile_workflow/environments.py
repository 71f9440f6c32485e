"""Which Python, and which conda environment, a rule runs in."""

import os
import sys
from collections.abc import Collection
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.settings.types import DeploymentMethod

STEPS = "../../envs/cpu.yaml"
"""Of all steps, also of those with a network where no GPU is to be used; as seen from a rule."""

NETWORKS = "../../envs/gpu.yaml"
"""Of steps that run a network on a GPU."""


def network_environment(device: str) -> str:
    """The environment of steps that run a network, by the setting `device`."""
    return STEPS if device == "cpu" else NETWORKS


def put_own_python_first(deployment: Collection) -> None:
    """Let rules run the Python that runs Snakemake, also where no environment is activated.

    deployment: what Snakemake sets up for rules; where these are conda environments nothing is
    done. Raises WorkflowError if that Python is not called python.
    """
    folder, before = Path(sys.executable).parent, os.environ.get("PATH", os.defpath)
    if DeploymentMethod.CONDA in deployment or before.split(os.pathsep)[0] == str(folder):
        return
    if not (folder / "python").exists():
        raise WorkflowError(
            f"{sys.executable}: rules call the program python, but {folder} "
            "has none; install Snakemake into a virtual environment (make env), or use --sdm conda"
        )
    os.environ["PATH"] = f"{folder}{os.pathsep}{before}"
