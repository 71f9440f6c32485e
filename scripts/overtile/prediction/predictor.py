"""Networks of one or several packages, as one function from pixels to what is stored."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from overtile.errors import InputError
from overtile.geometry.symmetry import Symmetry, symmetries
from overtile.networks.architecture import Architecture
from overtile.networks.device import Device
from overtile.networks.fuse import ready_for_inference
from overtile.networks.weights import load_network
from overtile.packages.package import Package, read_package
from overtile.planning.plan import Plan
from overtile.prediction.grid import TileTooLarge
from overtile.prediction.sharing import Turns
from overtile.settings.prediction import Wanted

QUANTISATION = 255
"""Probabilities are stored as uint8: p = value / 255, off by at most 1 / 510."""


class Predictor:
    """Averages the class probabilities of all members of all packages, and of all symmetries.

    Safe to call from several threads: the network runs once at a time, in `turns`, and reading and
    writing go on meanwhile.
    """

    def __init__(self, packages: Sequence[Path], device: Device, wanted: Wanted = Wanted()):  # noqa: B008
        self._device = device
        self._wanted = wanted
        self.turns = Turns()
        self._networks: list[torch.nn.Module] = []
        self._names = ", ".join(map(str, packages))
        read = _read_alike(packages)
        self.plans = [package.plan for package in read]
        self.plan = self.plans[0]
        self.digests = [member.sha256 for package in read for member in package.members]
        self.architecture = self.plan.architecture
        self._symmetries = _usable_symmetries(self.architecture, wanted.symmetries)
        for path in (file for package in read for file in package.files):
            network = load_network(path, self.architecture)
            self._networks.append(ready_for_inference(network, device))

    @property
    def members(self) -> int:
        """How many networks are averaged."""
        return len(self._networks)

    @property
    def channels(self) -> int:
        """Channels of what a call returns."""
        classes = 1 if self._wanted.keep == "classes" else self.architecture.classes
        return classes + self._wanted.uncertainty

    @property
    def nothing(self) -> np.ndarray:
        """(channels,) uint8: what is stored where there is only background."""
        values = np.zeros(self.channels, np.uint8)
        if self._wanted.keep == "probabilities":
            values[0] = QUANTISATION
        return values

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Normalised (n, c, *input_px) float32 to (n, channels, *output_px) uint8.

        Rounded on the device: a quarter of the bytes to move. If the device's memory is not
        enough, the batch is halved, with the same result; raises TileTooLarge if it is not for a
        single tile.
        """
        return self._run(pixels, self._quantise)

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        """As a call, but float32 (n, classes, *output_px) before rounding, to be averaged.

        One more channel with the uncertainty, if wanted.
        """
        return self._run(pixels, lambda values: values)

    def stored(self, values: np.ndarray) -> np.ndarray:
        """What is stored of such values, (classes, *px) float32 to (channels, *px) uint8."""
        return self._quantise(torch.from_numpy(values)[None])[0].numpy()

    @torch.inference_mode()
    def _run(
        self, pixels: np.ndarray, finish: Callable[[torch.Tensor], torch.Tensor]
    ) -> np.ndarray:
        with self.turns.tile():
            return self._halving(pixels, finish)

    def _halving(self, pixels: np.ndarray, finish) -> np.ndarray:
        try:
            return finish(self._average(pixels)).cpu().numpy()
        except torch.OutOfMemoryError as error:
            said = str(error)
        torch.cuda.empty_cache()  # only here is what the failed try took free again
        if len(pixels) == 1:
            raise TileTooLarge(said)
        half = len(pixels) // 2
        parts = pixels[:half], pixels[half:]
        return np.concatenate([self._halving(part, finish) for part in parts])

    def _average(self, pixels: np.ndarray) -> torch.Tensor:
        """Mean probabilities over members and symmetries, and their spread if wanted."""
        mean, squares = None, None
        for symmetry in self._symmetries:
            turned = np.ascontiguousarray(symmetry.apply(pixels))
            batch = torch.from_numpy(turned).to(self._device.torch)
            for network in self._networks:
                p = _undo(symmetry, network(batch).float().softmax(dim=1))
                mean = p if mean is None else mean.add_(p)
                if self._wanted.uncertainty:
                    squares = p.square() if squares is None else squares.add_(p.square())
        count = len(self._symmetries) * len(self._networks)
        mean = mean / count
        if not mean.sum().isfinite():  # a sum of probabilities: only NaN makes it so
            raise InputError(
                f"{self._names}: the model gives no numbers (NaN) for some pixels; its weights "
                "are damaged, or training diverged; train again"
            )
        if squares is None:
            return mean
        variances = (squares / count - mean.square()).clamp_(min=0)
        return torch.cat([mean, (variances.sum(dim=1, keepdim=True) / 2).sqrt_()], dim=1)

    def _quantise(self, values: torch.Tensor) -> torch.Tensor:
        """What is stored of (n, classes, *px) float32, and of the uncertainty behind them."""
        if self._wanted.keep == "probabilities":
            return (values * QUANTISATION).round_().to(torch.uint8)
        classes = self.architecture.classes
        best = values[:, :classes].argmax(dim=1, keepdim=True)
        spread = (values[:, classes:] * QUANTISATION).round_()
        return torch.cat([best.to(torch.uint8), spread.to(torch.uint8)], dim=1)


def _undo(symmetry: Symmetry, probabilities: torch.Tensor) -> torch.Tensor:
    """The symmetry's undoing on a tensor (n, classes, *px)."""
    back = probabilities.transpose(-1, -2) if symmetry.swap else probabilities
    axes = [back.ndim - len(symmetry.flips) + i for i, flip in enumerate(symmetry.flips) if flip]
    return back.flip(axes) if axes else back.clone() if symmetry.swap else back


def _read_alike(packages: Sequence[Path]) -> list[Package]:
    """All packages, which must be of one kind; blended ones with tiles alike."""
    read = [read_package(folder) for folder in packages]
    kinds = [_kind(package.plan) for package in read]
    for folder, kind in zip(packages, kinds, strict=True):
        if kind != kinds[0]:
            raise InputError(
                f"{folder}: differs in network or classes from {packages[0]}, or in tiles that "
                "are blended; average models of one kind only"
            )
    return read


def _kind(plan: Plan) -> tuple:
    is_exact = plan.architecture.is_exact
    return plan.architecture, plan.classes, is_exact or plan.tile_output_px


def _usable_symmetries(architecture: Architecture, kind: str) -> Sequence[Symmetry]:
    """Symmetries of a kind; turning needs a network that treats y and x alike."""
    levels = [*architecture.pools, *architecture.kernels]
    if kind == "flips_and_turns" and any(level[-1] != level[-2] for level in levels):
        raise InputError(
            "test_time_augmentation is flips_and_turns, but the model pools y and x differently "
            "as its pixels are not square; allowed: none, flips"
        )
    return symmetries(kind, architecture.ndim)
