"""How probabilities become objects: settings, and what fits together."""

from dataclasses import dataclass
from math import ceil, prod

from overtile.errors import InputError
from overtile.stores.store import Store


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
    def is_plain(self) -> bool:
        """Whether objects are the components of the class map, and nothing else is to be done."""
        return self.seed_threshold is None and self.max_hole_px == 0 and self.border_px == 0

    def least_px(self, store: Store) -> int:
        """Pixels that an object must have, by both of its least sizes.

        Raises InputError if a pixel size is needed and the store has none.
        """
        if self.min_object_um is None:
            return self.min_object_px
        size = store.attributes["pixel_size_um"]
        if size is None:
            raise InputError(
                f"{store.path}: has no pixel size, but the least object is given in micrometres; "
                "give the slide a pixel_size_um in the sheet, or use --min-object-px"
            )
        pixel = prod(size[-2:] if store.shape[0] == 1 else size)
        # A size that is just reached must not be missed by rounding.
        return max(self.min_object_px, ceil(self.min_object_um / pixel * (1 - 1e-9)))
