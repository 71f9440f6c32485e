"""Plans from true stores: what is looked at, what is refused, and in which order slides come."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from overtile.errors import InputError
from overtile.geometry.components import IGNORE
from overtile.ingest.pictures import write_picture
from overtile.ingest.references import write_reference
from overtile.planning.decisions import make_plan
from overtile.planning.plan import Fold
from overtile.planning.training_set import fingerprint
from overtile.settings.model import Settings
from overtile.stores.store import Store
from overtile.targets.class_balance import class_weights
from overtile.targets.separated import write_separated
from tests.unit.finished import raw

SHAPE = (1, 20, 24)
SMALL = {"width": 2, "depth": 1, "tile_px": (8, 8), "batch_tiles": 1}


def objects(*edges: int) -> np.ndarray:
    """Class map (z, y, x): squares of class 1 of the given edges in a row."""
    found = np.zeros(SHAPE, np.uint8)
    for number, edge in enumerate(edges):
        found[0, 2 : 2 + edge, 2 + 8 * number : 2 + 8 * number + edge] = 1
    return found


@dataclass
class Slides:
    """Stores of pictures and of their labels, made as ingest makes them."""

    folder: Path
    labels: dict[str, Store] = field(default_factory=dict)

    def add(
        self, name, classes=None, channels=1, names=("ground", "cell"), kind="semantic", size=None
    ) -> Store:
        """The picture of a new slide; its pixels are like those of no other."""
        path = self.folder / f"{name}.ome.zarr"
        pixels = np.random.default_rng(len(self.labels)).integers(0, 200, (channels, *SHAPE))
        write_picture(raw(pixels.astype(np.uint8)), path, name, size, None)
        classes = objects(4) if classes is None else classes
        target, values = path / "labels" / "reference", range(len(names))
        write_reference(raw(classes[None]), target, name, kind, names, [*values], IGNORE, size)
        self.labels[name] = Store.open(target, "labels")
        return Store.open(path, "picture")

    def plan(self, train, validation=(), groups=None, **settings):
        """The plan of some pictures."""
        labels = [self.labels[store.name] for store in (*train, *validation)]
        groups = groups or [store.name for store in train]
        return make_plan(train, validation, labels, groups, Settings(**{**SMALL, **settings}))


@pytest.fixture
def slides(tmp_path) -> Slides:
    return Slides(tmp_path)


def test_what_is_known_of_a_slide_is_what_its_pixels_and_labels_are(slides):
    classes = objects(4, 2)
    classes[0, 15, 3:9], classes[0, 19, :5] = 2, IGNORE
    picture = slides.add("s", classes, channels=2, names=("ground", "cell", "rim"))
    labels = slides.labels["s"]
    known, pixels = fingerprint(picture, labels), picture.array[:].reshape(2, -1)
    assert known.class_counts == (480 - 31, 20, 6) and known.ignored_px == 5
    assert known.objects == 3 and known.mean_object_px == round(26 / 3, 1)
    assert (known.channels, known.shape_px) == (2, SHAPE)
    assert known.mean == pytest.approx(pixels.mean(axis=1))
    assert known.std == pytest.approx(pixels.std(axis=1))
    assert (known.digest, known.labels_digest) == (picture.digest, labels.digest)


def test_how_far_labels_were_separated_is_known_and_must_be_as_the_settings_say(slides, tmp_path):
    picture = slides.add("s", kind="instances")
    write_separated(slides.labels["s"], tmp_path / "apart.zarr", "k", 2, 2)
    slides.labels["s"] = Store.open(tmp_path / "apart.zarr", "labels")
    assert slides.plan([picture], separate_px=2).slides[0].separate_px == 2
    with pytest.raises(InputError, match="by 2 px, but separate_px is 1"):
        slides.plan([picture])


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"channels": 2}, "slide c: has channels 2, but slide a has 1"),
        ({"names": ("cell", "ground")}, r"slide c: has classes \('cell', 'ground'\), but slide a"),
    ],
)
def test_slides_that_do_not_agree_make_no_plan_whether_learnt_from_or_validated_on(
    slides, other, words
):
    one, like, odd = slides.add("a"), slides.add("b"), slides.add("c", **other)
    for train, validation in (([one, odd], []), ([one, like, odd], []), ([one, like], [odd])):
        with pytest.raises(InputError, match=words):
            slides.plan(train, validation)


def test_a_slide_that_is_validated_on_must_be_separated_and_named_like_no_other(slides):
    one, touching = slides.add("a"), slides.add("b", kind="instances")
    with pytest.raises(InputError, match="by 0 px, but separate_px is 1"):
        slides.plan([one], [touching])
    assert slides.plan([one], [touching], separate_px=0).folds == (Fold(("a",), ("b",)),)
    with pytest.raises(InputError, match="slide a: is given 2 times"):
        slides.plan([one], [one])


def test_groups_stay_with_their_slides_in_whatever_order_these_are_given(slides):
    group_of = {"a": "2", "b": "1", "c": "2", "d": "3"}
    pictures = {name: slides.add(name) for name in group_of}
    plans = []
    for order in ("abcd", "dcba", "bdac"):
        train, groups = ([of[name] for name in order] for of in (pictures, group_of))
        plans.append(slides.plan(train, groups=groups, folds=2))
    assert plans[0].folds == (Fold(("a", "c"), ("b", "d")), Fold(("b", "d"), ("a", "c")))
    assert [known.slide for known in plans[0].slides] == ["a", "b", "c", "d"]
    assert plans == plans[:1] * 3


def test_a_coarse_z_is_no_spacing_of_a_network_of_two_axes(slides):
    picture = slides.add("s", size=(4.0, 0.5, 1.0))
    plan = slides.plan([picture])
    assert plan.spacing == (1.0, 2.0)
    assert plan.architecture.pools == ((2, 1),)


def test_classes_weigh_as_in_the_slides_to_learn_from_alone(slides):
    learnt, judging = (
        [slides.add("b", objects(4)), slides.add("d", objects(2))],
        slides.add("a", objects(6, 6)),
    )
    found = slides.plan(learnt, [judging]).weights.class_weights
    assert found == pytest.approx(class_weights([960 - 20, 20]), abs=1e-6)


def test_a_picture_under_two_names_makes_no_plan_that_judges_by_what_was_learnt(slides):
    one = slides.add("a")
    slides_of_same_pixels = Slides(slides.folder / "more")
    other = slides_of_same_pixels.add("b")
    slides.labels |= slides_of_same_pixels.labels
    assert np.array_equal(one.array[:], other.array[:])
    with pytest.raises(InputError, match="slide b: is the same picture as slide a"):
        slides.plan([one], [other])
    assert slides.plan([one, other]).folds == (Fold(("a", "b"), ()),)


def test_settings_that_make_a_network_no_gpu_has_room_for_are_refused(slides):
    with pytest.raises(InputError, match="settings: the network has .* parameters"):
        slides.plan([slides.add("s")], width=1024, depth=6)
