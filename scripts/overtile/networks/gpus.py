"""Which GPUs a process may use: never one that another process of the same user has.

Each GPU has a file, and who uses the GPU holds a lock on it. The system frees the lock when the
process ends, however it ends.
"""

import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from overtile.errors import InputError
from overtile.stores.folder_lock import try_lock

FOLDER = "OVERTILE_GPU_LOCKS"
"""Environment variable with another folder for the files."""

SECONDS_BETWEEN_LOOKS = 1

_held: dict[str, int] = {}
"""GPUs of this process, with the open files that lock them: open until the process ends."""


def claim(names: Sequence[str], count: int = 1) -> tuple[int, ...]:
    """Take up to `count` of the GPUs that have these names; return their numbers in the list.

    names: as `gpu_names` gives them. Takes the first free ones, and keeps them as long as the
    process lives; a second call gives those that it has. If all are taken, says so and waits until
    one is free. Raises ValueError if there is none to wait for.
    """
    if not names or count < 1:
        raise ValueError(f"{count} of {len(names)} GPUs; both must be at least 1")
    folder = _lock_folder()
    has_said = False
    while True:
        mine = [number for number, name in enumerate(names) if name in _held]
        for number, name in enumerate(names):
            if len(mine) < count and number not in mine and _try_to_lock(folder, name):
                mine.append(number)
        if mine:
            return tuple(sorted(mine[:count]))
        if not has_said:
            has_said = True
            print(_who_has(folder, names), file=sys.stderr, flush=True)
        time.sleep(SECONDS_BETWEEN_LOOKS)


def gpu_names() -> list[str]:
    """A name for each GPU that torch sees, by torch's numbers: the same one in all processes.

    Numbers would not do: they depend on CUDA_VISIBLE_DEVICES, which SLURM sets for each job.
    """
    import torch

    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    if visible[0].startswith("MIG-"):
        return visible[:1]  # CUDA shows one slice to a process, and may give it the whole GPU's ID
    count = torch.cuda.device_count()
    return [str(torch.cuda.get_device_properties(number).uuid) for number in range(count)]


def _lock_folder() -> Path:
    """The folder of this user's locks, made if need be.

    Not under TMPDIR or XDG_RUNTIME_DIR, which differ between the jobs of one user.
    """
    folder = Path(os.environ.get(FOLDER) or f"/tmp/overtile-gpus-{os.getuid()}")
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700, parents=True)
    if folder.is_symlink() or not folder.is_dir() or folder.stat().st_uid != os.getuid():
        raise InputError(
            f"{folder}: locks of GPUs need a folder that belongs to this user; this is another "
            f"user's, a file or a link; remove it, or set {FOLDER} to another folder"
        )
    return folder


def _try_to_lock(folder: Path, name: str) -> bool:
    """Lock a GPU's file if nobody has, and write into it who has it now."""
    file = try_lock(_lock_file(folder, name), 0o600)
    if file is None:
        return False
    _held[name] = file
    # Only a note for who waits: on a full disk the lock holds without it.
    with suppress(OSError):
        os.ftruncate(file, 0)
        os.write(file, str(os.getpid()).encode())
    return True


def _lock_file(folder: Path, name: str) -> Path:
    return folder / f"{name.replace(os.sep, '_')}.lock"


def _who_has(folder: Path, names: Sequence[str]) -> str:
    owners = [_lock_file(folder, name).read_text() or "?" for name in names]
    return (
        f"GPUs: all {len(names)} are in use by other runs (processes {', '.join(owners)}); "
        "waiting until one is free"
    )
