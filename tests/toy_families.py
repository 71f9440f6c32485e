"""Families of networks as somebody might add them: one module, and nothing else is touched."""

from dataclasses import dataclass

import torch
from torch import nn

from overtile.networks.blocks import CONV, crop, initialise
from overtile.networks.channels import Channel, class_channels
from overtile.networks.family import Decided, Decisions, Facts, Family, Geometry
from overtile.settings.ranges import Width


@dataclass(frozen=True)
class ToySettings:
    """Settings of a model that decide about it."""

    width: Width


@dataclass(frozen=True)
class ToyArchitecture(Decisions):
    """Two padded convolutions with kernels of 3. width: channels between them."""

    width: Width


class Padded(nn.Module):
    """As large as its input, but for the pixels at its edges that saw padding."""

    def __init__(self, decided: ToyArchitecture, channels: int):
        super().__init__()
        convolution = CONV[decided.ndim]
        self.layers = nn.Sequential(
            convolution(decided.in_channels, decided.width, 3, padding=1),
            nn.ReLU(inplace=True),
            convolution(decided.width, channels, 3, padding=1),
        )
        self.apply(initialise)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(n, in_channels, *input_px) -> (n, channels, *output_px)."""
        return crop(self.layers(x), [n - 4 for n in x.shape[2:]])


class ToyFamily(Family[ToySettings, ToyArchitecture]):
    """Classes alone."""

    Settings = ToySettings
    Decisions = ToyArchitecture

    def decide(self, facts: Facts, wanted: ToySettings) -> Decided[ToyArchitecture]:
        """As wanted."""
        known = (facts.ndim, facts.in_channels, facts.classes)
        return Decided(ToyArchitecture(*known, wanted.width), {"width": "as set"})

    def geometry(self, decided: ToyArchitecture) -> Geometry:
        """Its receptive field is 5 px."""
        ndim = decided.ndim
        return Geometry(ndim, margin_px=(2,) * ndim, stride=(1,) * ndim, least_px=(1,) * ndim)

    def describe(self, decided: ToyArchitecture) -> str:
        """In a few words."""
        return f"toy (width {decided.width})"

    def check(self, decided: ToyArchitecture, where: str) -> None:
        """Any width fits."""

    def build(self, decided: ToyArchitecture) -> nn.Module:
        """Make the network."""
        return Padded(decided, decided.classes)


class DistanceFamily(ToyFamily):
    """Classes, and how far it is to the border of a cell, in tenths of a pixel."""

    def channels(self, decided: ToyArchitecture, classes):
        """Classes first."""
        return (*class_channels(classes), Channel("distance", "distance", 0.1))

    def build(self, decided: ToyArchitecture) -> nn.Module:
        """Make the network."""
        return Padded(decided, decided.classes + 1)


TOY = ToyFamily()
DISTANCE = DistanceFamily()
