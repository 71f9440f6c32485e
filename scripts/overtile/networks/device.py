"""Where a network runs and in which arithmetic, decided once and said aloud."""

import ctypes
import os
import socket
import sys
from contextlib import nullcontext
from dataclasses import dataclass, replace

import torch

from overtile.errors import InputError
from overtile.networks.gpu_policy import gpu_status, resolve
from overtile.networks.gpus import claim, gpu_names

WORKER = "OVERTILE_WORKER"
"""Number of a worker that was started on the machine of its run."""


@dataclass(frozen=True)
class Device:
    """A torch device with its arithmetic: fp32, or bf16 under autocast.

    gpus: numbers of the GPUs that its run has claimed on its machine; `torch` is the first.
    run: the process that chose it. Where it comes to any other one, that is a worker.
    """

    torch: torch.device
    precision: str
    threads: int
    gpus: tuple[int, ...] = ()
    run: str = ""

    def here(self) -> "Device":
        """This device as the calling process has it.

        Workers on the machine of their run take its GPUs in turn. A worker elsewhere, in a SLURM
        job of its own, claims one there; its run has claimed none, and itself only looks at
        networks, on the processor. Raises InputError where a worker sees no GPU.
        """
        prepare_torch(self.torch.type, self.threads)
        if self.torch.type != "cuda":
            return self
        if self.run == _this_process():
            return self if self.gpus else replace(self, torch=torch.device("cpu"))
        gpus = self.gpus or _claim_here()
        turn = int(os.environ.get(WORKER, 0))
        return replace(self, torch=_use(gpus[turn % len(gpus)]), gpus=gpus)

    def autocast(self):
        """The context in which networks run."""
        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.torch.type, dtype=torch.bfloat16)


def choose_device(device: str, precision: str, threads: int, processes: int = 1) -> Device:
    """Resolve "auto", claim GPUs, and make torch repeatable there (gpu_policy.py, gpus.py).

    processes: how many of this run are on this machine, to claim as many GPUs if they are free, and
    at least one; 0 if its networks run elsewhere. Raises InputError if a GPU should be used and is
    not seen, and for "auto" if networks run elsewhere: who starts them may be on a login node.
    """
    if processes:
        device = resolve(device, gpu_status())
    elif device == "auto":
        raise InputError(
            "--device: is auto, but the networks run on other machines, which may have other "
            "devices; allowed: cuda or cpu"
        )
    prepare_torch(device, threads)
    gpus = claim(gpu_names(), processes) if device == "cuda" and processes else ()
    where = _use(gpus[0]) if gpus else torch.device(device)
    # Only now: torch answers for the GPU in use.
    if precision == "auto":
        precision = "bf16" if _has_bf16(device) else "fp32"
    return Device(where, precision, threads, gpus, _this_process())


def _this_process() -> str:
    """A name that no other process has, on any machine, as long as this one runs."""
    return f"{socket.gethostname()}:{os.getpid()}"


def _claim_here() -> tuple[int, ...]:
    """Claim a GPU for this worker, on whose machine nobody has looked yet."""
    resolve("cuda", gpu_status())
    return claim(gpu_names())


def _use(number: int) -> torch.device:
    """A GPU, for this process also where torch does not ask which."""
    torch.cuda.set_device(number)
    return torch.device("cuda", number)


def say_device(device: Device, setting: str) -> None:
    """Say once where the network runs, for the log."""
    name = "the processor"
    if device.torch.type == "cuda":
        gpus = [f"GPU {n} ({torch.cuda.get_device_name(n)})" for n in device.gpus]
        name = ", ".join(gpus) or "GPUs of other machines"
    elif setting == "auto":
        name += ", because no GPU is seen (with --device cuda this is an error)"
    print(f"network: on {name}, in {device.precision}", file=sys.stderr, flush=True)


def prepare_torch(device: str, threads: int) -> None:
    """Make torch repeatable in this process, and its large maps cheap on the processor."""
    torch.set_num_threads(threads)
    if device == "cpu":
        keep_freed_memory()
    # As use_deterministic_algorithms(True), which imports torch's compiler: two seconds more.
    torch.set_deterministic_debug_mode("error")
    # torch's types lack this setting.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
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
