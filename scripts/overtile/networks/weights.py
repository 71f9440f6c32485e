"""Network weights as safetensors: files that hold numbers and nothing to execute."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from overtile.errors import InputError
from overtile.stores.files import replace_when_done


def pack_weights(tensors: dict[str, torch.Tensor]) -> bytes:
    """A network's `state_dict` as the bytes of a safetensors file; the same bytes every time."""
    return save({name: t.detach().cpu().contiguous() for name, t in tensors.items()})


def save_weights(path: Path, network: torch.nn.Module) -> None:
    """Save a network's weights as safetensors."""
    with replace_when_done(path) as temporary:
        temporary.write_bytes(pack_weights(network.state_dict()))


def load_weights(path: Path, network: torch.nn.Module) -> None:
    """Load weights saved by `save_weights`; raise InputError if they are of another network."""
    try:
        network.load_state_dict(load_file(path))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; package the model again") from None
    except (RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path}: does not fit the network of its plan ({reason})") from None
