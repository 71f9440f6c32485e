"""Networks of one or several packages, as one function from pixels to what is stored."""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch

from overtile.errors import InputError
from overtile.geometry.symmetry import Symmetry, symmetries
from overtile.networks.channels import STEPS, activate, count_classes, stored_channels
from overtile.networks.device import Device
from overtile.networks.family import Geometry
from overtile.networks.fuse import ready_for_inference
from overtile.networks.weights import load_network
from overtile.packages.package import Package, read_package
from overtile.planning.plan import Plan
from overtile.prediction.grid import TileTooLarge
from overtile.prediction.network_lock import NetworkLock
from overtile.settings.prediction import Wanted


class Predictor:
    """Averages what all members of all packages say, at all symmetries.

    Safe to call from several threads: the network runs once at a time, under `lock`, and reading
    and writing go on meanwhile.
    """

    def __init__(self, packages: Sequence[Path], device: Device, wanted: Wanted = Wanted()):  # noqa: B008
        self.packages, self.device, self.wanted = tuple(packages), device, wanted
        self._here = device.here()
        self.lock = NetworkLock()
        self._networks: list[torch.nn.Module] = []
        self._names = ", ".join(map(str, packages))
        read = _read_alike(packages)
        self.plans = [package.plan for package in read]
        self.plan = self.plans[0]
        self.digests = [member.sha256 for package in read for member in package.members]
        self.geometry = self.plan.geometry
        self._outputs = self.plan.channels
        self._classes = count_classes(self._outputs)
        self.channels = stored_channels(self._outputs, wanted.keep, wanted.uncertainty)
        self._symmetries = _usable_symmetries(self.geometry, wanted.symmetries)
        for path in (file for package in read for file in package.files):
            network = load_network(path, self.plan.network, self.plan.architecture)
            self._networks.append(ready_for_inference(network, self._here, self.geometry.ndim))

    def __reduce__(self) -> tuple:
        """How it gets to another process: it is loaded there, once."""
        return load_predictor, (self.packages, self.device, self.wanted)

    @property
    def members(self) -> int:
        """How many networks are averaged."""
        return len(self._networks)

    @property
    def nothing(self) -> np.ndarray:
        """(channels,) uint8: what is stored where there is only background."""
        values = np.zeros(len(self.channels), np.uint8)
        if self.wanted.keep == "probabilities":
            values[0] = STEPS
        return values

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Normalised (n, c, *input_px) float32 to (n, channels, *output_px) uint8.

        Rounded on the device: a quarter of the bytes to move. If the device's memory is not
        enough, the batch is halved, with the same result; raises TileTooLarge if it is not for a
        single tile.
        """
        return self._run(pixels, self._quantise)

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        """As a call, but float32 (n, channels, *output_px) before rounding, to be averaged.

        One more channel with the uncertainty, if wanted.
        """
        return self._run(pixels, lambda values: values)

    def stored(self, values: np.ndarray) -> np.ndarray:
        """What is stored of such values, both (channels, *px), the given ones float32."""
        return self._quantise(torch.from_numpy(values)[None])[0].numpy()

    @torch.inference_mode()
    def _run(
        self, pixels: np.ndarray, finish: Callable[[torch.Tensor], torch.Tensor]
    ) -> np.ndarray:
        with self.lock.tile():
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
        """Mean values over members and symmetries, and the spread of probabilities if wanted."""
        said = self._say_all(pixels)
        mean = next(said)
        squares = self._squares(mean)
        for values in said:
            mean.add_(values)
            squares.add_(self._squares(values))
        count = len(self._symmetries) * len(self._networks)
        mean = mean / count
        if not mean.sum().isfinite():  # probabilities are bounded: NaN, or a distance without bound
            raise InputError(
                f"{self._names}: the model gives no numbers (NaN) for some pixels; its weights "
                "are damaged, or training diverged; train again"
            )
        if not self.wanted.uncertainty:
            return mean
        variances = (squares / count - self._squares(mean)).clamp_(min=0)
        return torch.cat([mean, (variances.sum(dim=1, keepdim=True) / 2).sqrt_()], dim=1)

    def _say_all(self, pixels: np.ndarray) -> Iterator[torch.Tensor]:
        """What each member says at each symmetry, (n, channels, *output_px) float32."""
        for symmetry in self._symmetries:
            turned = torch.from_numpy(np.ascontiguousarray(symmetry.apply(pixels)))
            turned = turned.to(self._here.torch)
            for network in self._networks:
                yield _undo(symmetry, activate(network(turned).float(), self._outputs))

    def _squares(self, values: torch.Tensor) -> torch.Tensor:
        """Of the probabilities among some values; of none where no spread is wanted."""
        return values[:, : self._classes * self.wanted.uncertainty].square()

    def _quantise(self, values: torch.Tensor) -> torch.Tensor:
        """What is stored of (n, channels, *px) float32, and of the uncertainty behind them."""
        if self.wanted.keep == "classes":
            best = values[:, : self._classes].argmax(dim=1, keepdim=True)
            values = torch.cat([best.float(), values[:, self._classes :]], dim=1)
        steps = values.new_tensor([channel.steps for channel in self.channels])
        scaled = values * steps.reshape(-1, *[1] * (values.ndim - 2))
        return scaled.round_().clamp_(max=STEPS).to(torch.uint8)


@cache
def load_predictor(packages: tuple[Path, ...], device: Device, wanted: Wanted) -> Predictor:
    """The networks of some packages, in a worker: for all blocks that it gets."""
    return Predictor(packages, device, wanted)


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
                f"{folder}: its network, classes or size of blended tiles differ from those of "
                f"{packages[0]}; average only models in which they are the same"
            )
    return read


def _kind(plan: Plan) -> tuple:
    is_exact = plan.geometry.is_exact
    return plan.family, plan.architecture, plan.classes, is_exact or plan.tile_output_px


def _usable_symmetries(geometry: Geometry, kind: str) -> Sequence[Symmetry]:
    """Symmetries of a kind; turning needs a network that treats y and x alike."""
    if kind == "flips_and_turns" and not geometry.is_square:
        raise InputError(
            "test_time_augmentation is flips_and_turns, but the model pools y and x differently, "
            "because its pixels are not square; allowed: none, flips"
        )
    return symmetries(kind, geometry.ndim)
