"""Checkpoints: written whole or not at all, read without executing anything."""

import pickle
import zipfile
from pathlib import Path

import torch

from overtile.stores.files import replace_when_done


def save_checkpoint(path: Path, state: dict) -> None:
    """Save tensors and plain values for resuming."""
    with replace_when_done(path) as temporary:
        torch.save(state, temporary)


def load_checkpoint(path: Path, key: str) -> dict | None:
    """The checkpoint of an interrupted training under this key, or None.

    One that is damaged or belongs to other inputs, settings or code counts as none.
    """
    if not zipfile.is_zipfile(path):
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError):
        return None
    return state if state.get("key") == key else None
