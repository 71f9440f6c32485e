"""What a metric is: how it is measured, read again from a score file, and shown."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from overtile.metrics.counts import Agreement

CLASS = "{class_name}"
"""In the column and title of a score that each class has: where the name of the class stands."""


@dataclass(frozen=True)
class Comparison:
    """What was counted of one slide, and what metrics are told.

    class_names: by number, the background first. iou_threshold: objects match from this
    intersection over union on.
    """

    agreement: Agreement
    class_names: Sequence[str]
    iou_threshold: float


@dataclass(frozen=True)
class Score:
    """One number of a metric: a column of scores.tsv, and how the report shows it.

    column, title: with `CLASS` in both, each class has a column. hint: one line for readers.
    lowest, highest: the range of its values. headline: its place among the headlines of the report,
    from 1 on; the first ranks slides from worst to best. in_table: whether scores.tsv has it;
    in_means, in_slides: whether the report's tables of means and of slides do.
    """

    column: str
    title: str = ""
    hint: str = ""
    lowest: float = 0.0
    highest: float = 1.0
    is_higher_better: bool = True
    headline: int | None = None
    in_table: bool = True
    in_means: bool = True
    in_slides: bool = True

    @property
    def is_per_class(self) -> bool:
        """Whether each class has a column."""
        return CLASS in self.column

    def columns(self, class_names: Sequence[str]) -> dict[str, str]:
        """The title of each of its columns.

        Examples
        --------
        >>> Score("dice_{class_name}", title="Dice {class_name}").columns(["background", "cell"])
        {'dice_background': 'Dice background', 'dice_cell': 'Dice cell'}
        >>> Score("f1", title="Object F1").columns(["background", "cell"])
        {'f1': 'Object F1'}
        """
        names = class_names if self.is_per_class else [""]
        return {self.column.replace(CLASS, n): self.title.replace(CLASS, n) for n in names}


def as_written(values: Mapping) -> Mapping:
    """The values of a score file, for metrics that write each score under its column."""
    return values


@dataclass(frozen=True)
class Metric:
    """One way to measure how a segmentation agrees with its reference, or a few of one kind.

    keys: of a score file, those that it writes. measure: from what was counted of a slide to plain
    values by these keys, None where there is nothing to measure. explanation: what its scores say,
    for readers, with the names of `settings` in braces. read: from the values of a score file to
    its scores by column, and its settings by name; raises ValueError, KeyError or TypeError where
    values contradict each other. settings: what measuring was told, as numbers.
    """

    keys: Sequence[str]
    measure: Callable[[Comparison], dict[str, object]]
    scores: Sequence[Score]
    explanation: str
    read: Callable[[Mapping], Mapping[str, object]] = as_written
    settings: Sequence[str] = ()


def ratio(part: float, whole: float) -> float | None:
    """part / whole, or None where there is nothing to measure.

    Examples
    --------
    >>> ratio(1, 4)
    0.25
    >>> ratio(0, 0) is None
    True
    """
    return float(part / whole) if whole else None
