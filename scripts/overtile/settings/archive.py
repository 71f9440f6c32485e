"""Settings of a whole archive."""

from dataclasses import dataclass
from typing import Literal

from overtile.settings.declared import REQUIRED, Section, setting


@dataclass(frozen=True, kw_only=True)
class Archive(Section):
    """The archive: its slides, and how its networks run."""

    FIRST = frozenset(
        (
            *("title", "licence", "slides", "data", "labels", "device", "precision", "prediction"),
            *("segmentation", "evaluation", "models"),
        )
    )

    title: str = setting("Segmentation report", "Title of the report and of the RO-Crate.")
    licence: str = setting(
        "not stated", "Licence of the results for the RO-Crate: a URL, or words."
    )
    slides: str = setting(
        REQUIRED,
        "Path of the sheet of slides, a TSV file. A relative path starts in the folder where "
        "snakemake runs.",
    )
    data: str = setting(
        ".", "Folder in which relative paths of images and labels in the sheet start."
    )
    device: Literal["auto", "cpu", "cuda"] = setting(
        "auto",
        "Where networks run. cpu: on the processor. cuda: stop if no GPU is visible. auto: use a "
        "GPU if there is one; stop if there is one that torch cannot use; otherwise use the "
        "processor.",
    )
    precision: Literal["auto", "fp32", "bf16"] = setting(
        "auto", "Arithmetic of networks. auto: bf16 if the processor or GPU has it, else fp32."
    )
    retrain_on_code_change: bool = setting(
        False,
        "Train again if the code has changed that a finished model was trained with, as after an "
        "update of overtile. Otherwise only other slides, labels or settings train it again.",
    )
