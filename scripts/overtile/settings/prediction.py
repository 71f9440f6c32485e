"""What a prediction keeps: settings."""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Wanted:
    """What a prediction keeps: probabilities or only classes, of which averages.

    keep: "probabilities" or "classes". symmetries: see `geometry.symmetry`. uncertainty: one more
    channel, how far members and symmetries disagree.
    """

    FIRST: ClassVar = frozenset(("keep", "symmetries", "uncertainty"))

    keep: str = "probabilities"
    symmetries: str = "none"
    uncertainty: bool = False
