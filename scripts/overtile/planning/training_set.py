"""The slides to learn from, as planning sees them, and which of them do not go together."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from overtile.errors import InputError
from overtile.planning.plan import Fingerprint
from overtile.settings.checks import read_record
from overtile.stores.store import Store


@dataclass(frozen=True)
class LabelledSlide:
    """A picture, the labels to learn, the group whose slides stay together, and what is known."""

    image: Store
    labels: Store
    group: str
    known: Fingerprint

    @property
    def name(self) -> str:
        """Of the slide."""
        return self.image.name

    @property
    def class_names(self) -> tuple[str, ...]:
        """Of the labels, in the order of their numbers."""
        return tuple(self.labels.label_classes().attributes["class_names"])


def look_at(
    images: Sequence[Store], labels: Sequence[Store], groups: Sequence[str]
) -> list[LabelledSlide]:
    """Slides with what is known of them, sorted by name: their order has no meaning."""
    slides = [
        LabelledSlide(image, store, group, fingerprint(image, store))
        for image, store, group in zip(images, labels, groups, strict=True)
    ]
    return sorted(slides, key=lambda slide: slide.name)


def fingerprint(store: Store, labels: Store) -> Fingerprint:
    """What a training slide and the labels to learn are like: size, intensities, objects."""
    classes = labels.label_classes()
    counts = classes.attributes["class_counts"]
    objects = labels.attributes["objects"]
    return read_record(
        Fingerprint,
        {
            "slide": store.name,
            "digest": store.digest,
            "labels_digest": labels.digest,
            "separate_px": labels.attributes.get("separate_px", 0),
            "shape_px": list(store.shape),
            "channels": store.array.shape[0],
            "pixel_size_um": store.attributes["pixel_size_um"],
            "dtype": str(store.array.dtype),
            "mean": store.attributes["mean"],
            "std": store.attributes["std"],
            "class_counts": counts,
            "ignored_px": classes.attributes["ignored"],
            "objects": objects,
            "mean_object_px": round(sum(counts[1:]) / objects, 1) if objects else None,
        },
        str(store.path),
    )


def refuse_same_name(names: Sequence[str]) -> None:
    """Slides are told apart by their names."""
    name, times = Counter(names).most_common(1)[0]
    if times > 1:
        raise InputError(f"slide {name}: is given {times} times; give it once, or rename one")


def refuse_mixed(slides: Sequence[LabelledSlide]) -> None:
    """Slides of one training set must agree in channels and classes, which are in one order."""
    facts: dict[str, list] = {
        "channels": [s.known.channels for s in slides],
        "classes": [s.class_names for s in slides],
    }
    for what, values in facts.items():
        odd = next((i for i, value in enumerate(values) if value != values[0]), None)
        if odd is not None:
            raise InputError(
                f"slide {slides[odd].name}: has {what} {values[odd]}, but slide "
                f"{slides[0].name} has {values[0]}; use slides with the same channels and classes"
            )


def refuse_unseparated(slides: Sequence[LabelledSlide], separate_px: int, ndim: int) -> None:
    """Instances must be separated as the settings say; components of one class never touch."""
    for slide in slides:
        store = slide.labels
        if store.attributes["kind"] != "instances":
            continue
        if slide.known.separate_px != separate_px:
            raise InputError(
                f"{store.path}: cells were separated by {slide.known.separate_px} px, but "
                f"separate_px is {separate_px} in the settings; make labels with "
                "scripts/separate.py and give them as --labels, or change the setting (0: none)"
            )
        if store.attributes.get("separate_ndim", ndim) != ndim:
            raise InputError(
                f"{store.path}: cells were separated in {store.attributes['separate_ndim']} "
                f"dimensions, the network has {ndim}; run scripts/separate.py with --ndim {ndim}"
            )


def count_classes(slides: Sequence[Fingerprint], names: Sequence[str]) -> list[int]:
    """Pixels of each class in the training slides; InputError if one has none."""
    counts = np.sum([s.class_counts for s in slides], axis=0).tolist()
    missing = [name for name, n in zip(names, counts, strict=True) if n == 0]
    if missing:
        raise InputError(
            f"training slides: have no pixel of class {', '.join(missing)}; "
            "add a slide with such pixels, or remove the class from labels.classes"
        )
    return counts
