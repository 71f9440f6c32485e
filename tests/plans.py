"""Small true plans for tests."""

from dataclasses import replace

from overtile.networks.family import FIRST_FAMILY, Decisions, load_family
from overtile.networks.unet.family import Architecture, choose_levels
from overtile.planning.plan import FORMAT, Fingerprint, Fold, Plan, Weights
from overtile.settings.model import Augmentation

SMALL = Architecture(2, 1, 2, 2, *choose_levels(2, 1, (1.0, 1.0, 1.0)))


def known_slide(name: str = "one", classes: int = 2, **changes) -> Fingerprint:
    """What a plan says of a slide."""
    known = Fingerprint(
        slide=name,
        digest=f"digest of {name}",
        labels_digest=f"digest of the labels of {name}",
        separate_px=0,
        shape_px=(1, 60, 70),
        channels=1,
        pixel_size_um=None,
        dtype="uint8",
        mean=(1.5,),
        std=(2.0,),
        class_counts=(2100,) * classes,
        ignored_px=0,
        objects=7,
        mean_object_px=300.0,
    )
    return replace(known, **changes)


def small_plan(architecture: Decisions = SMALL, **changes) -> Plan:
    """A plan for an architecture that learns from one slide in its smallest tiles."""
    a, family = architecture, load_family(changes.get("family", FIRST_FAMILY), "plan")
    plan = Plan(
        format=FORMAT,
        classes=("background", "cell", "border")[: a.classes],
        architecture=a,
        spacing=(1.0,) * a.ndim,
        tile_output_px=family.geometry(a).least_px,
        weights=Weights(10, 5, None, 1e-6, (1.0,) * a.classes),
        loss="cross_entropy",
        optimiser="adam",
        learning_rate=0.001,
        batch_tiles=1,
        epochs=1,
        steps_per_epoch=1,
        validation_tiles=1,
        augmentation=Augmentation(),
        seed=0,
        folds=(Fold(("one",), ()),),
        slides=(known_slide(classes=a.classes),),
    )
    return replace(plan, **changes)
