"""What values may be: ranges of numbers, choices, patterns of texts, lengths of lists.

They stand in the types of fields, as in `sigma_px: Positive`. A number without a range is 0 or
above.
"""

from dataclasses import dataclass
from typing import Annotated, Literal, get_args

LARGEST = 1e300
"""No number may be larger, so that arithmetic with it stays finite."""

DEEPEST = 7
"""Poolings at most: each doubles the margin, which is 1,024 px or more with 8."""

WIDEST = 1024
"""Channels of the first level at most; the paper has 64."""

MOST_CLASSES = 255
"""Class maps are uint8, and 255 marks pixels to ignore."""

LONGEST_NAME = 200
"""Characters of a slide's, a class's or a file's name at most."""


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
        if self.high < LARGEST and not (self.above or self.below):
            return f"{self.low:g} to {self.high}"
        low = f"above {self.low:g}" if self.above else f"{self.low:g} and above"
        high = f"below {self.high:g}" if self.below else f"up to {self.high:g}"
        if self.high == LARGEST:
            high = "finite"
        return high if self.low == -LARGEST else f"{low}, {high}"


@dataclass(frozen=True)
class Pattern:
    """Texts that a configuration may have: a regular expression, and the same in words."""

    regex: str
    words: str

    def __str__(self) -> str:
        """What is allowed, in words."""
        return self.words


@dataclass(frozen=True)
class Length:
    """Lists of `low` to `high` values; differ: each value stands in them once."""

    low: int = 0
    high: int | None = None
    differ: bool = False

    def __contains__(self, count: int) -> bool:
        """Whether a list may have so many values."""
        return self.low <= count and (self.high is None or count <= self.high)

    def __str__(self) -> str:
        """What is allowed, in words."""
        return f"{self.low} or more" if self.high is None else f"{self.low} to {self.high}"


ABOVE_0 = Range(above=True)
DEPTHS = Range(1, DEEPEST)
CLASS_COUNTS = Range(2, MOST_CLASSES)

Real = Annotated[float, Range(-LARGEST)]
Positive = Annotated[float, ABOVE_0]
Fraction = Annotated[float, Range(0, 1, above=True, below=True)]
Share = Annotated[float, Range(0, 1, below=True)]
Natural = Annotated[int, Range(1)]
Count = Annotated[int, Range(1, 10**9)]
EdgePx = Annotated[int, Range(1, 10**6)]

Axes = Literal[2, 3]
Width = Annotated[int, Range(1, WIDEST)]
Depth = Annotated[int, DEPTHS]
ClassCount = Annotated[int, CLASS_COUNTS]
Channels = Annotated[int, Range(1, 4096)]
BatchTiles = Annotated[int, Range(1, 4096)]
# Training multiplies it by a million, and torch takes seeds of 64 bits.
Seed = Annotated[int, Range(0, 10**13)]
Pool = Annotated[int, Range(1, 4)]
Kernel = Literal[1, 3, 5, 7]
Norm = Literal["none", "batch", "instance"]
Loss = Literal["cross_entropy", "cross_entropy_dice"]
Optimiser = Literal["adam", "sgd"]

NORMS = get_args(Norm)

PLAIN_NAME = "[A-Za-z0-9][A-Za-z0-9._-]{0,79}"
PLAIN_WORDS = "1 to 80 letters, digits, '-', '_' and '.', the first a letter or digit"
ClassName = Annotated[str, Pattern(f"^{PLAIN_NAME}$", PLAIN_WORDS)]
# Results of a model lie beside the reference labels and the root file of a store.
NOT_FREE = "not reference, not zarr.json"
ModelName = Annotated[
    str, Pattern(rf"^(?!(reference|zarr\.json)$){PLAIN_NAME}$", f"{PLAIN_WORDS}; {NOT_FREE}")
]


def is_name(text: str) -> bool:
    """Whether a text can name a slide or a class: in a table's column, in a path, in a message."""
    return 0 < len(text) <= LONGEST_NAME and text.isprintable() and text == text.strip()
