"""What the keys of settings and plans may be: ranges of numbers, choices, patterns of names."""

from dataclasses import dataclass

LARGEST = 1e300
"""No number may be larger, so that arithmetic with it stays finite."""

DEEPEST = 7
"""Poolings at most: each doubles the margin, which is 1,024 px or more with 8."""

WIDEST = 1024
"""Channels of the first level at most; the paper has 64."""

MOST_CLASSES = 255
"""Class maps are uint8, and 255 marks pixels to ignore."""


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`; above, below: without these two themselves."""

    low: float = 0
    high: float = LARGEST
    above: bool = False
    below: bool = False

    def __contains__(self, value: float) -> bool:
        """Whether a number lies in the range; NaN lies in none."""
        is_low = value > self.low if self.above else value >= self.low
        return is_low and (value < self.high if self.below else value <= self.high)

    def __str__(self) -> str:
        """What is allowed, in words."""
        if self.high < LARGEST and not self.below:
            return f"{self.low:g} to {self.high}"
        low = f"above {self.low:g}" if self.above else f"{self.low:g} and above"
        high = f"below {self.high:g}" if self.below else "finite"
        return high if self.low == -LARGEST else f"{low}, {high}"


ABOVE_0 = Range(above=True)
FRACTION = Range(0, 1, above=True, below=True)
COUNT = Range(1, 10**9)
EDGE_PX = Range(1, 10**6)

RANGES = {
    "width": Range(1, WIDEST),
    "depth": Range(1, DEEPEST),
    "in_channels": Range(1, 4096),
    "classes": Range(2, MOST_CLASSES),
    "pools": Range(1, 4),
    "dropout": Range(0, 1, below=True),
    "spacing": ABOVE_0,
    "tile_px": EDGE_PX,
    "tile_input_px": EDGE_PX,
    "tile_output_px": EDGE_PX,
    "batch_tiles": Range(1, 4096),
    "epochs": COUNT,
    "steps_per_epoch": COUNT,
    "validation_tiles": COUNT,
    "folds": Range(1, 1000),
    # Training multiplies it by a million, and torch takes seeds of 64 bits.
    "seed": Range(0, 10**13),
    "learning_rate": ABOVE_0,
    "w0": ABOVE_0,
    "sigma_px": ABOVE_0,
    "sigma_um": ABOVE_0,
    "border_tolerance": FRACTION,
    "tolerance": FRACTION,
    "pixel_size_um": ABOVE_0,
    "shape_px": Range(1),
    "channels": Range(1),
    "mean": Range(-LARGEST),
}
"""By key; a number of a key that is not here is 0 or above."""

NORMS = ("none", "batch", "instance")
CHOICES = {
    "format": (1,),
    "ndim": (2, 3),
    "norm": NORMS,
    "kernels": (1, 3, 5, 7),
    "loss": ("cross_entropy", "cross_entropy_dice"),
    "optimiser": ("adam", "sgd"),
}
"""By key, where there are few."""

LONGEST_NAME = 200
"""Characters of a slide's, a class's or a file's name at most."""


def is_name(text: str) -> bool:
    """Whether a text can name a slide or a class: in a table's column, in a path, in a message."""
    return 0 < len(text) <= LONGEST_NAME and text.isprintable() and text == text.strip()
