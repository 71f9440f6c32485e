"""How slides are predicted, and what of it a prediction keeps: settings."""

from dataclasses import dataclass
from typing import Annotated, Literal

from overtile.settings.declared import Section, setting
from overtile.settings.ranges import Positive, Range, Real

Keep = Literal["probabilities", "classes"]
Symmetries = Literal["none", "flips", "flips_and_turns"]
Background = Literal["none", "otsu", "triangle", "fill"]
PixelSize = Literal["refuse", "resample", "ignore"]


@dataclass(frozen=True)
class Predicting(Section):
    """How slides are predicted."""

    FIRST = frozenset(
        (
            *("memory_gb", "block_px", "keep", "test_time_augmentation", "uncertainty"),
            *("background", "fill_value", "pixel_size"),
        )
    )

    memory_gb: Positive = setting(
        4.0,
        "Memory that tiles must fit into, of the host and of the GPU. Each worker takes this much. "
        "A value that leads to other tiles predicts slides again.",
        unit="10^9 bytes",
    )
    block_px: Annotated[int, Range(16)] | None = setting(
        None,
        "Edge of the tiles that the network sees at once. Without it, memory_gb decides. Another "
        "value predicts slides again. It changes speed and memory; it changes the result only with "
        "norm instance.",
        unit="px",
    )
    keep: Keep = setting(
        "probabilities",
        "What is stored of each pixel. classes: only the most probable class. This takes less "
        "space, but segmentation can then use no threshold.",
    )
    test_time_augmentation: Symmetries = setting(
        "none",
        "Average over mirrored and turned tiles. flips: mirrored tiles; takes 4 times as long, 8 "
        "in volumes. flips_and_turns: turned tiles too; takes 8 times as long, 16 in volumes.",
    )
    uncertainty: bool = setting(
        False,
        "Store one more channel: how far the averaged networks and the mirrored or turned tiles "
        "disagree.",
    )
    background: Background = setting(
        "none",
        "How to find background, which is not predicted. otsu, triangle: pixels that differ "
        "little from the edge of the slide; the threshold is found in a small copy of the slide. "
        "fill: pixels whose channels are all fill_value. A mask replaces this.",
    )
    fill_value: Real = setting(0, "Value of empty pixels, for background fill.")
    pixel_size: PixelSize = setting(
        "refuse",
        "What to do with a slide whose pixels are 1.2 times larger or smaller than those of all "
        "training slides. refuse: stop. resample: predict it at the training slides' pixel size, "
        "and bring the result back to its own pixels. ignore: predict it as it is.",
    )


@dataclass(frozen=True)
class Wanted(Section):
    """What a prediction keeps: probabilities or only classes, of which averages.

    These are the names in keys of results. symmetries: the test_time_augmentation of `Predicting`;
    see `geometry.symmetry`.
    """

    FIRST = frozenset(("keep", "symmetries", "uncertainty"))

    keep: str = Predicting.keep
    symmetries: str = Predicting.test_time_augmentation
    uncertainty: bool = Predicting.uncertainty
