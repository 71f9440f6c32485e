"""The whole configuration: every section, and the models by name."""

from dataclasses import dataclass
from typing import Annotated

from overtile.settings.archive import Archive
from overtile.settings.declared import REQUIRED, setting
from overtile.settings.evaluation import Evaluating
from overtile.settings.labels import Labels
from overtile.settings.model import Settings
from overtile.settings.prediction import Predicting
from overtile.settings.ranges import Length, ModelName, Pattern
from overtile.settings.segmentation import Segmenting


@dataclass(frozen=True)
class Model(Settings):
    """A model: a network that is trained here, or a finished one."""

    FIRST = Settings.FIRST | {"package"}

    package: Annotated[str, Pattern("^[^{}]+$", "a path without '{' and '}'")] | None = setting(
        None,
        "Folder of a finished model, results/models/MODEL/package of another run, in place of "
        "training. A relative path starts where snakemake runs. The other keys of the model then "
        "have no meaning, and slides need no labels.",
    )


@dataclass(frozen=True, kw_only=True)
class Configuration(Archive):
    """What config.yaml holds."""

    labels: Labels = setting(REQUIRED, "What the label files mean.")
    prediction: Predicting = setting(Predicting(), "How slides are predicted.")
    segmentation: Segmenting = setting(Segmenting(), "How probabilities become objects.")
    evaluation: Evaluating = setting(Evaluating(), "How segmentations are scored.")
    models: Annotated[dict[ModelName, Model], Length(1)] = setting(
        REQUIRED, "Settings of each model, by name. All models see the same slides."
    )
