"""Networks of one or several packages, as one function from pixels to probabilities."""

import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from overtile.errors import InputError
from overtile.inference.package import read_package
from overtile.networks.architecture import Architecture
from overtile.networks.device import Device
from overtile.networks.unet import CHANNELS_LAST, UNet
from overtile.networks.weights import load_weights


class Predictor:
    """Averages the class probabilities of all members of all packages.

    Safe to call from several threads: the network runs once at a time, and reading and writing
    go on meanwhile.
    """

    def __init__(self, packages: Sequence[Path], device: Device):
        self._device = device
        self._lock = threading.Lock()
        self._networks: list[UNet] = []
        plans = [read_package(folder) for folder in packages]
        for folder, plan in zip(packages, plans, strict=True):
            if (plan["architecture"], plan["classes"]) != (
                plans[0]["architecture"],
                plans[0]["classes"],
            ):
                raise InputError(
                    f"{folder}: differs in network or classes from {packages[0]}; "
                    "average models of one kind only"
                )
        self.plan = plans[0]
        self.digests = [m["sha256"] for plan in plans for m in plan["members"]]
        self.architecture = Architecture.from_dict(self.plan["architecture"])
        layout = CHANNELS_LAST[self.architecture.ndim]
        for folder, plan in zip(packages, plans, strict=True):
            folder = folder.parent if folder.is_file() else folder
            for member in plan["members"]:
                network = UNet(self.architecture)
                load_weights(folder / Path(member["file"]).name, network)
                network = network.to(device.torch, memory_format=layout)
                self._networks.append(network.eval())

    @torch.inference_mode()
    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Normalised (c, *input_px) float32 to (classes, *output_px) float32 probabilities."""
        with self._lock:
            layout = CHANNELS_LAST[self.architecture.ndim]
            batch = torch.from_numpy(pixels[None]).to(self._device.torch, memory_format=layout)
            total = None
            for network in self._networks:
                with self._device.autocast():
                    logits = network(batch)
                probability = logits.float().softmax(dim=1)
                total = probability if total is None else total + probability
            return (total[0] / len(self._networks)).cpu().numpy()
