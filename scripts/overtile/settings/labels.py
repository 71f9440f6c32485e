"""What raw labels mean: settings."""

from dataclasses import dataclass
from typing import Annotated, Literal

from overtile.errors import InputError
from overtile.settings.declared import REQUIRED, Section, setting
from overtile.settings.ranges import MOST_CLASSES, ClassName, Length
from overtile.settings.together import flag, labels_fault


@dataclass(frozen=True, kw_only=True)
class Labels(Section):
    """What the label files mean."""

    FIRST = frozenset(("kind", "classes", "values", "ignore"))

    kind: Literal["instances", "binary", "semantic"] = setting(
        REQUIRED,
        "instances: one number per object. binary: 0 is background; connected pixels are one "
        "object. semantic: one value per class.",
    )
    classes: Annotated[tuple[ClassName, ...], Length(2, MOST_CLASSES, differ=True)] = setting(
        ("background", "foreground"), "Names of the classes, background first."
    )
    values: Annotated[tuple[int, ...], Length(differ=True)] | None = setting(
        None,
        "With kind semantic: the raw value of each class, in the order of classes. Without it, "
        "0, 1, 2, ...",
    )
    ignore: int | None = setting(
        None, "Raw value of pixels that count neither in training nor in scores."
    )

    def check(self) -> None:
        """Raise InputError where settings do not fit each other."""
        fault = labels_fault(self.kind, self.classes, self.values, self.ignore, flag)
        if fault:
            raise InputError(fault)
