"""Which scores count: those of labels that are still in the sheet and still lie there."""

from collections.abc import Mapping
from dataclasses import dataclass

from overtile.ingest.catalogue import Slide
from overtile.metrics.score_files import ScoreFile
from overtile.stores.store import Store


@dataclass(frozen=True)
class LeftOut:
    """A score that does not count. why: for people."""

    slide: str
    model: str
    why: str


def why_left_out(
    score: ScoreFile,
    slide: Slide | None,
    labels: Mapping[str, Store] | None,
    reference_name: str,
) -> str | None:
    """Why a score does not count; None if it does.

    slide: its slide, None if the sheet does not have it. labels: the finished label stores of the
    slide by name, None if it is not known where the slides' stores lie.
    """
    if slide is None:
        return "the sheet has no such slide"
    if not slide.has_labels:
        return "the sheet has no labels for this slide"
    if labels is None:
        return None
    compared = {reference_name: score.reference_digest, score.model: score.segmentation_digest}
    for name, digest in compared.items():
        if name not in labels:
            return f"the slide has no labels/{name}"
        if labels[name].digest != digest:
            return f"labels/{name} is not what was compared: evaluate the slide again"
    orders = [labels[name].label_classes().attributes["class_names"] for name in compared]
    if not score.is_sealed and orders[0] != orders[1]:
        return (
            "an earlier version compared its classes by number, and their order differs: delete "
            f"{score.path} and evaluate the slide again"
        )
    return None
