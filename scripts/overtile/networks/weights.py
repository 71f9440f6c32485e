"""Network weights as safetensors: files that hold numbers and nothing to execute."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from overtile.errors import InputError
from overtile.stores.files import replace_when_done


def save_weights(path: Path, network: torch.nn.Module) -> None:
    """Save a network's weights as safetensors, contiguous and on the processor."""
    tensors = {name: t.detach().cpu().contiguous() for name, t in network.state_dict().items()}
    with replace_when_done(path) as temporary:
        save_file(tensors, temporary)


def load_weights(path: Path, network: torch.nn.Module) -> None:
    """Load weights saved by `save_weights`; raise InputError if they are of another network."""
    try:
        network.load_state_dict(load_file(path))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; package the model again") from None
    except (RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path}: does not fit the network of its plan ({reason})") from None
