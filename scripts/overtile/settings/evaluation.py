"""How segmentations are scored: settings."""

from dataclasses import dataclass
from typing import Annotated

from overtile.settings.declared import Section, setting
from overtile.settings.ranges import Range


@dataclass(frozen=True)
class Evaluating(Section):
    """How segmentations are scored."""

    FIRST = frozenset(("iou_threshold",))

    iou_threshold: Annotated[float, Range(0, 1, above=True)] = setting(
        0.5,
        "An object counts as found if it and an object of the reference have at least this "
        "intersection over union.",
    )
