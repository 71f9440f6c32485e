"""Whether a network may run on a GPU, and whether it may run without: a table, no surprises."""

import os
from dataclasses import dataclass
from pathlib import Path

from overtile.errors import InputError

KERNEL_LIST = Path("/proc/driver/nvidia/gpus")
"""A folder for each GPU that NVIDIA's kernel module drives."""

INSTALL_CUDA = (
    "install torch's CUDA build (with conda: envs/gpu.yaml; if the machine that makes the "
    "environment has no GPU, set CONDA_OVERRIDE_CUDA=12.9 first), or ask for cpu"
)


@dataclass(frozen=True)
class GpuStatus:
    """What torch, the machine and SLURM say of GPUs.

    build: torch's version, and its CUDA version, None for a build without. gpus: how many torch
    sees. has_gpu: whether the machine has one. visible: CUDA_VISIBLE_DEVICES, None if not set.
    is_given: whether SLURM says that it gave this job a GPU.
    """

    torch: str
    cuda: str | None
    gpus: int
    has_gpu: bool
    visible: str | None
    is_given: bool

    @property
    def is_named(self) -> bool:
        """Whether somebody said which GPU to use: CUDA reads up to the first that is none."""
        first = (self.visible or "").split(",")[0].strip()
        return first.isdigit() or first.startswith(("GPU-", "MIG-"))

    @property
    def is_hidden(self) -> bool:
        """Whether somebody said that no GPU is to be seen, in one of the two ways to say so.

        Others hide all too, but by accident: a name that is none, or the "NoDevFiles" that some
        versions of SLURM set for a job on a GPU node that asked for no GPU.
        """
        return self.visible is not None and self.visible.strip() in ("", "-1")

    @property
    def is_expected(self) -> bool:
        """Whether a network on the processor would be an accident."""
        return self.is_given or self.is_named or (self.has_gpu and not self.is_hidden)


def gpu_status() -> GpuStatus:
    """What this process sees."""
    import torch

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return GpuStatus(
        torch=torch.__version__,
        cuda=torch.version.cuda or torch.version.hip,
        gpus=gpus,
        has_gpu=gpus > 0 or has_nvidia_gpu(),
        visible=os.environ.get("CUDA_VISIBLE_DEVICES"),
        is_given=bool(os.environ.get("SLURM_JOB_GPUS") or os.environ.get("SLURM_STEP_GPUS")),
    )


def resolve(setting: str, status: GpuStatus) -> str:
    """Where to run, "cuda" or "cpu", for the setting "auto", "cuda" or "cpu".

    Raises InputError where a GPU was asked for and is not seen, and for "auto" where there is one
    that torch cannot use, or should be one because SLURM gave it or CUDA_VISIBLE_DEVICES names it:
    that would be hours on the processor by accident. On a machine without GPU, or where
    CUDA_VISIBLE_DEVICES is empty or -1, "auto" is the processor.
    """
    if setting == "cpu":
        return "cpu"
    if status.gpus:
        return "cuda"
    if setting == "auto" and not status.is_expected:
        return "cpu"
    raise InputError(
        f"--device: {_reason_for_gpu(setting, status)}, but {_reason_for_none(status)}"
    )


def _reason_for_gpu(setting: str, status: GpuStatus) -> str:
    if setting == "cuda":
        return "cuda was asked for"
    if status.is_given:
        return "SLURM gave this job a GPU"
    if status.has_gpu:
        return "this machine has an NVIDIA GPU"
    return f"CUDA_VISIBLE_DEVICES={status.visible!r} names a GPU"


def _reason_for_none(status: GpuStatus) -> str:
    if status.cuda is None:
        return (
            f"torch {status.torch} is a build without CUDA; this happens when the environment is "
            f"made on a login node; {INSTALL_CUDA}"
        )
    seen = f"torch {status.torch} (CUDA {status.cuda}) sees none"
    if status.is_hidden:
        return f"CUDA_VISIBLE_DEVICES={status.visible!r} hides all GPUs; unset it, or ask for cpu"
    if status.visible is not None and not status.is_named:
        return (
            f"CUDA_VISIBLE_DEVICES={status.visible!r} names no GPU; SLURM may set this if a "
            "job asked for no GPU; ask SLURM for one (--gpus=1), or name one (0), or ask for cpu"
        )
    if status.visible is not None:
        return (
            f"{seen} with CUDA_VISIBLE_DEVICES={status.visible!r}; name a GPU that nvidia-smi "
            "lists, or ask for cpu"
        )
    if status.has_gpu:
        return f"{seen}; the driver may be too old for this CUDA (nvidia-smi), or ask for cpu"
    return f"{seen} on this machine; run it where nvidia-smi lists one, or ask for cpu"


def has_nvidia_gpu() -> bool:
    """Whether the machine has an NVIDIA GPU, by its driver and not by torch.

    The kernel also lists GPUs that this job may not use. NVIDIA's library knows those that Windows
    shares with its Linux, of which the kernel has no list.
    """
    return any(KERNEL_LIST.glob("*")) or _count_by_nvml() > 0


def _count_by_nvml() -> int:
    """How many GPUs NVIDIA's library lists; 0 where it is missing or finds no driver."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return 0
    try:
        return pynvml.nvmlDeviceGetCount()
    finally:
        pynvml.nvmlShutdown()
