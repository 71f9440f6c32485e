"""Whether a slide is like those that a model was trained on, and what to do where it is not."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from overtile.errors import InputError
from overtile.planning.plan import Plan
from overtile.prediction.resampled import Scaling
from overtile.stores.store import Store

SIZE_TOLERANCE = 1.2
"""Pixel sizes that differ by less than this factor count as the same."""

MAX_RATIO = 64
"""Larger quotients of pixel sizes are wrong units, not other magnifications."""


def refuse_others(image: Store, plan: Plan) -> None:
    """Raise InputError for a slide of other channels or axes than a model takes."""
    channels, ndim = plan.architecture.in_channels, plan.geometry.ndim
    if image.array.shape[0] != channels:
        raise InputError(
            f"{image.path}: has {image.array.shape[0]} channels, the model takes "
            f"{channels}; predict slides like those it was trained on"
        )
    if ndim == 3 and image.shape[0] == 1:
        raise InputError(
            f"{image.path}: has one plane, the model takes volumes (ndim 3); "
            "predict a stack, or train a model with ndim 2"
        )


def choose_scaling(image: Store, plan: Plan, setting: str) -> Scaling | None:
    """How the pixels of a slide become those of a model; None to take them as they are.

    setting: "ignore" never compares. "refuse" raises InputError for a slide whose pixels are
    larger or smaller than those of all training slides by more than SIZE_TOLERANCE, along an axis
    of the network; what is not known it lets pass. "resample" gives such a slide the geometric mean
    of the training slides' sizes, along each axis of the network, and raises InputError where a
    size is not known, as then nobody can say what was wanted, or where sizes are so far apart that
    units must be wrong.
    """
    if setting == "ignore":
        return None
    size = image.attributes["pixel_size_um"]
    known = [s.pixel_size_um for s in plan.slides if s.pixel_size_um]
    if size is None or not known:
        if setting == "resample":
            raise InputError(_unknown(image, size))
        return None
    ndim = plan.geometry.ndim
    low, high = np.min(known, axis=0)[-ndim:], np.max(known, axis=0)[-ndim:]
    edges = np.array(size[-ndim:])
    if not ((edges < low / SIZE_TOLERANCE) | (edges > high * SIZE_TOLERANCE)).any():
        return None
    told = f"{image.path}: pixels are {_text(edges)} um, the model was trained on "
    if setting == "refuse":
        raise InputError(
            f"{told}{_text(low)} to {_text(high)} um; set prediction.pixel_size (--pixel-size) to "
            "resample, or to ignore if the difference does not matter"
        )
    wanted = np.exp(np.log(known).mean(axis=0))[-ndim:]
    ratio = wanted / edges
    if max(ratio.max(), 1 / ratio.min()) > MAX_RATIO:
        raise InputError(
            f"{told}{_text(wanted)} um; allowed: up to {MAX_RATIO} times larger or smaller; check "
            "the unit, and set pixel_size_um of the slide in the sheet"
        )
    z, y, x = [1.0] * (3 - ndim) + ratio.tolist()
    return Scaling(image.shape, (z, y, x))


def choose_common_scaling(image: Store, plans: Sequence[Plan], setting: str) -> Scaling | None:
    """As `choose_scaling`, for models that are averaged: the slide must suit each of them.

    Raises InputError for models between whose pixel sizes there is no common one.
    """
    scalings = [choose_scaling(image, plan, setting) for plan in plans]
    ratios = np.array([s.ratio if s else (1.0, 1.0, 1.0) for s in scalings])
    if (ratios.max(axis=0) > SIZE_TOLERANCE * ratios.min(axis=0)).any():
        raise InputError(
            f"{image.path}: the models need different pixel sizes: the slide would be resampled by "
            f"{' and '.join(_text(ratio[1:]) for ratio in ratios)}; allowed: factors at most "
            f"{SIZE_TOLERANCE} times apart; average models of one pixel size"
        )
    pooled = tuple(slide for plan in plans for slide in plan.slides)
    return choose_scaling(image, replace(plans[0], slides=pooled), setting)


def predicted_um(image: Store, scaling: Scaling | None) -> list[float] | None:
    """The pixel size (z, y, x) in which a network sees a slide; None where it is not known."""
    size = image.attributes["pixel_size_um"]
    if size is None or scaling is None:
        return size
    return [float(f"{s * r:.6g}") for s, r in zip(size, scaling.ratio, strict=True)]


def _unknown(image: Store, size: list[float] | None) -> str:
    if size is None:
        return (
            f"{image.path}: has no pixel size, so it cannot be resampled to the model's; give its "
            "pixel_size_um in the sheet, or set prediction.pixel_size to refuse or ignore: both "
            "accept unknown sizes"
        )
    return (
        f"{image.path}: cannot be resampled, because no training slide has a pixel size; give "
        "their pixel_size_um in the sheet and train again, or set prediction.pixel_size to refuse "
        "or ignore: both accept unknown sizes"
    )


def _text(edges: np.ndarray) -> str:
    return " x ".join(f"{edge:g}" for edge in edges)
