"""How probabilities become objects: settings."""

from dataclasses import dataclass

from overtile.errors import InputError
from overtile.settings.declared import Section, setting
from overtile.settings.ranges import Fraction, Natural, Positive
from overtile.settings.together import flag, thresholds_fault, wanted_stages


@dataclass(frozen=True)
class Segmenting(Section):
    """How probabilities become objects. The settings act in this order."""

    FIRST = frozenset(
        (
            *("threshold", "seed_threshold", "min_seed_px", "grow_px", "max_hole_px"),
            *("border_px", "min_object_px", "min_object_um"),
        )
    )

    threshold: Fraction | None = setting(
        None,
        "Pixels of at least this probability of foreground, 1 - p(background), are foreground. "
        "Each gets its most probable class of foreground. Without it, each pixel gets its most "
        "probable class.",
    )
    seed_threshold: Fraction | None = setting(
        None,
        "Objects grow from seeds: connected pixels of one class with at least this probability of "
        "foreground. They grow within their class along the most probable paths. Must be above "
        "threshold. Without it, objects are the connected pixels of each class.",
    )
    min_seed_px: int = setting(0, "Smaller seeds do not count.", unit="px")
    grow_px: Natural = setting(
        16,
        "How far objects grow from their seeds, in steps from face to face. Pixels that no object "
        "reaches become background.",
        unit="px",
    )
    max_hole_px: int = setting(
        0, "Holes of at most this many pixels inside one object are filled.", unit="px"
    )
    border_px: int = setting(
        0,
        "Gaps of at most this many pixels between two objects are closed. Each pixel goes to the "
        "nearest object. 2 x separate_px fills the gaps that separate_px made.",
        unit="px",
    )
    min_object_px: int = setting(
        0, "Smaller objects become background. This comes last.", unit="px"
    )
    min_object_um: Positive | None = setting(
        None,
        "The same as an area, in a volume as a volume. Slides then need a pixel size.",
        unit="um^2, um^3",
    )

    def __post_init__(self) -> None:
        """Without seeds, settings of seeds are the defaults: they must make no other key."""
        if self.seed_threshold is None:
            for name in ("min_seed_px", "grow_px"):
                object.__setattr__(self, name, getattr(Segmenting, name))

    def check(self) -> None:
        """Raise InputError where settings do not fit each other."""
        fault = thresholds_fault(self.threshold, self.seed_threshold, flag)
        if fault:
            raise InputError(fault)

    @property
    def stages(self) -> list[str]:
        """Names of the stages, beyond components, that are wanted."""
        return wanted_stages(vars(self))

    @property
    def is_plain(self) -> bool:
        """Whether objects are the components of the class map, and nothing else is to be done."""
        return not self.stages
