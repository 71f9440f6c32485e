"""The plan of a network that nobody trained, as prediction needs one."""

import sys

from own_process import SCRIPTS

sys.path.insert(0, str(SCRIPTS))

from overtile.networks.unet.family import Architecture, choose_levels  # noqa: E402
from overtile.planning.plan import FORMAT, Fold, Plan, Weights  # noqa: E402
from overtile.settings.model import Augmentation  # noqa: E402


def plan_unet(ndim: int, depth: int, width: int) -> Plan:
    """Of a U-Net for pixels with equal edges; tiles have 388 px or a little more."""
    architecture = Architecture(ndim, 1, 2, width, *choose_levels(ndim, depth, (1.0,) * 3))
    return Plan(
        format=FORMAT,
        classes=("background", "cell"),
        architecture=architecture,
        spacing=(1.0,) * ndim,
        tile_output_px=architecture.geometry.sizes_for((388,) * ndim)[1],
        weights=Weights(10.0, 5.0, None, 1e-6, (1.0, 1.0)),
        loss="cross_entropy",
        optimiser="adam",
        learning_rate=0.001,
        batch_tiles=1,
        epochs=1,
        steps_per_epoch=1,
        validation_tiles=1,
        augmentation=Augmentation(),
        seed=0,
        folds=(Fold(("slide",), ()),),
        slides=(),
    )
