"""How probabilities become objects: settings, and what fits together."""

from dataclasses import dataclass
from typing import ClassVar

from overtile.errors import InputError


@dataclass(frozen=True)
class Segmenting:
    """How probabilities become objects; the fields in the order in which they matter.

    threshold: least probability of foreground; None takes the most probable class. seed_threshold:
    objects grow from components of at least this probability, in the same class, that have
    min_seed_px pixels or more, up to grow_px face steps far (see `geometry.flood`); what they do
    not reach becomes background. None takes the face-connected components of the class map.
    max_hole_px: holes of up to so many pixels are filled (see `geometry.holes`). border_px: gaps
    between objects of up to so many pixels are closed (see `geometry.gaps.close_gaps`).
    min_object_px, min_object_um: smaller objects become background in the end; um^2 in a picture of
    one plane, um^3 in a volume.
    """

    FIRST: ClassVar = frozenset(
        (
            *("threshold", "seed_threshold", "min_seed_px", "grow_px", "max_hole_px"),
            *("border_px", "min_object_px", "min_object_um"),
        )
    )

    threshold: float | None = None
    seed_threshold: float | None = None
    min_seed_px: int = 0
    grow_px: int = 16
    max_hole_px: int = 0
    border_px: int = 0
    min_object_px: int = 0
    min_object_um: float | None = None

    def __post_init__(self) -> None:
        """Without seeds, settings of seeds are the defaults: they must make no other key."""
        if self.seed_threshold is None:
            for name in ("min_seed_px", "grow_px"):
                object.__setattr__(self, name, getattr(Segmenting, name))

    def check(self) -> None:
        """Raise InputError where settings do not fit each other."""
        both = None not in (self.threshold, self.seed_threshold)
        if both and self.seed_threshold <= self.threshold:
            raise InputError(
                f"--seed-threshold: is {self.seed_threshold}, --threshold {self.threshold}; "
                "allowed: seeds above the threshold"
            )

    @property
    def stages(self) -> list[str]:
        """Names of the stages, beyond components, that are wanted."""
        wanted = {
            "flood": self.seed_threshold is not None,
            "holes": self.max_hole_px > 0,
            "gaps": self.border_px > 0,
        }
        return [name for name, is_wanted in wanted.items() if is_wanted]

    @property
    def is_plain(self) -> bool:
        """Whether objects are the components of the class map, and nothing else is to be done."""
        return not self.stages
