"""Where a network runs and in which arithmetic, decided once and said aloud."""

import os
from contextlib import nullcontext
from dataclasses import dataclass

import torch

from overtile.errors import InputError


@dataclass(frozen=True)
class Device:
    """A torch device with its arithmetic: fp32, or bf16 under autocast."""

    torch: torch.device
    precision: str

    def autocast(self):
        """The context in which networks run."""
        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.torch.type, dtype=torch.bfloat16)


def choose_device(device: str, precision: str, threads: int) -> Device:
    """Resolve "auto", and make torch repeatable on that device.

    Raises InputError if CUDA is asked for and not there: never hours on the processor by accident.
    """
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False
    if device == "cuda" and not torch.cuda.is_available():
        build = torch.version.cuda or "a build without CUDA"
        raise InputError(
            f"--device: cuda was asked for, but torch {torch.__version__} ({build}) sees no GPU; "
            "check the driver (nvidia-smi) and that the environment was made on a GPU machine, "
            "or ask for cpu"
        )
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if precision == "auto":
        precision = "bf16" if _has_bf16(device) else "fp32"
    if device == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.backends.cudnn.benchmark = False
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
    return Device(torch.device(device), precision)


def _has_bf16(device: str) -> bool:
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.ops.mkldnn._is_mkldnn_bf16_supported()
