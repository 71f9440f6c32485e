"""Where a network runs and in which arithmetic, decided once and said aloud."""

import ctypes
import os
from contextlib import nullcontext
from dataclasses import dataclass

import torch

from overtile.errors import InputError

WORKER = "OVERTILE_WORKER"
"""Number of a worker on its machine: with several GPUs each takes another one."""


@dataclass(frozen=True)
class Device:
    """A torch device with its arithmetic: fp32, or bf16 under autocast."""

    torch: torch.device
    precision: str
    threads: int

    def here(self) -> "Device":
        """This device as the calling process has it: workers of one machine share its GPUs."""
        prepare_torch(self.torch.type, self.threads)
        if self.torch.type != "cuda":
            return self
        turn = os.environ.get(WORKER, "0")
        number = int(turn) % torch.cuda.device_count()
        return Device(torch.device("cuda", number), self.precision, self.threads)

    def autocast(self):
        """The context in which networks run."""
        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.torch.type, dtype=torch.bfloat16)


def choose_device(device: str, precision: str, threads: int) -> Device:
    """Resolve "auto", and make torch repeatable on that device.

    Raises InputError if CUDA is asked for and not there: never hours on the processor by accident.
    """
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
    prepare_torch(device, threads)
    return Device(torch.device(device), precision, threads)


def prepare_torch(device: str, threads: int) -> None:
    """Make torch repeatable in this process, and its large maps cheap on the processor."""
    torch.set_num_threads(threads)
    if device == "cpu":
        keep_freed_memory()
    # As use_deterministic_algorithms(True), which imports torch's compiler: two seconds more.
    torch.set_deterministic_debug_mode("error")
    torch.utils.deterministic.fill_uninitialized_memory = False
    if device == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.backends.cudnn.benchmark = False
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False


# mallopt(3)
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX, M_ARENA_MAX = -1, -2, -4, -8


def keep_freed_memory() -> None:
    """Let the C library keep what is freed for what comes next, where it is glibc.

    Each layer frees a map and asks for another one. By default maps above 32 MB come from the
    system and go back to it each time, which then fills them with zeros page by page: a third of
    the time of large tiles.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    mallopt(M_MMAP_MAX, 0)
    mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
    mallopt(M_TOP_PAD, 64 * 2**20)
    mallopt(M_ARENA_MAX, 1)


def give_back_freed_memory() -> None:
    """Give the system what the C library has kept; to be called after each block of a slide.

    What threads put between freed maps leaves gaps in which no map fits any more: from block to
    block ever more would be kept, 1.6 GB in place of 0.95 after 16 blocks.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _has_bf16(device: str) -> bool:
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.ops.mkldnn._is_mkldnn_bf16_supported()
