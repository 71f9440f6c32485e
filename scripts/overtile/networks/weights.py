"""Network weights as safetensors: files that hold numbers and nothing to execute."""

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save

from overtile.errors import InputError
from overtile.networks.family import AnyFamily, Decisions
from overtile.stores.files import replace_when_done


def pack_weights(tensors: dict[str, torch.Tensor]) -> bytes:
    """A network's weights as a file.

    Parameters
    ----------
    tensors : dict
        A `state_dict`, on any device and in any layout.

    Returns
    -------
    bytes
        Of a safetensors file: the same ones every time.
    """
    return save({name: t.detach().cpu().contiguous() for name, t in tensors.items()})


def save_weights(path: Path, network: torch.nn.Module) -> None:
    """Save a network's weights as safetensors."""
    with replace_when_done(path) as temporary:
        temporary.write_bytes(pack_weights(network.state_dict()))


def load_network(path: Path, family: AnyFamily, decided: Decisions) -> torch.nn.Module:
    """A network with the weights saved by `save_weights`.

    The file's list of names and shapes is compared before anything is built.

    Parameters
    ----------
    path : Path
        A safetensors file.
    family, decided
        The kind of network, and what it decided.

    Returns
    -------
    nn.Module
        On the processor, in training mode.

    Raises
    ------
    InputError
        One line, if the weights are of another network, or the file is none of weights.
    """
    with torch.device("meta"):  # shapes without numbers
        wanted = {n: tuple(t.shape) for n, t in family.build(decided).state_dict().items()}
    try:
        with safe_open(path, "pt") as file:
            found = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        _refuse_others(path, found, wanted)
        network = family.build(decided)
        network.load_state_dict(load_file(path))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; package the model again") from None
    except (RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path}: does not fit the network of its plan ({reason})") from None
    return network


def _refuse_others(path: Path, found: dict, wanted: dict) -> None:
    """Raise InputError for the first tensor that is not as wanted."""
    for name in (*wanted, *found):
        if found.get(name) != wanted.get(name):
            has, needs = (shapes.get(name, "none") for shapes in (found, wanted))
            raise InputError(
                f"{path}: does not fit the network of its plan ({name} is {has}, expected "
                f"{needs}); package the model again"
            )
