"""Slides as training opens them: each with its own weight map, and like those of the plan."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from overtile.errors import InputError
from overtile.ingest.pictures import write_picture
from overtile.ingest.references import write_reference
from overtile.stores.store import Store
from overtile.targets.weights import Weighting, write_weights
from overtile.training.samples import Slide, open_slides, refuse_unlike
from tests.unit.finished import raw, shard_of
from tests.unit.tiny import plan_of

SHAPE = (1, 16, 20)
NAMES = ("background", "kind1")


@pytest.fixture
def make(tmp_path):
    """The picture and the weight map of a new slide; its labels lie inside the picture."""

    def stores(name: str, row: int, channels=1, names=NAMES) -> tuple[Path, Path]:
        picture, weights = tmp_path / f"{name}.ome.zarr", tmp_path / f"{name}.zarr"
        pixels = np.random.default_rng(row).integers(0, 99, (channels, *SHAPE), dtype=np.uint8)
        write_picture(raw(pixels), picture, name, None, None)
        classes = np.zeros((1, *SHAPE), np.uint8)
        classes[0, 0, row : row + 4, 5:9] = 1
        target = picture / "labels" / "reference"
        write_reference(raw(classes), target, name, "semantic", names, [0, 1], None, None)
        weighting = Weighting([1.0, 1.0], 10.0, 5.0, [1.0, 1.0])
        write_weights(Store.open(target, "labels"), weights, name, weighting)
        return picture, weights

    return stores


def test_each_slide_has_the_weight_map_of_its_own_labels(make):
    (one, weights), (other, weights_of_other) = make("a", 2), make("b", 7)
    slides = open_slides([one, other], None, [weights, weights_of_other])
    assert list(slides) == ["a", "b"]
    for name, row in {"a": 2, "b": 7}.items():
        assert slides[name].classes.array[0, row : row + 4, 5:9].all()
    with pytest.raises(InputError, match="b.zarr: is not the weight map of .*a.ome.zarr"):
        open_slides([one, other], None, [weights_of_other, weights])


def test_each_slide_is_given_one_weight_map_and_a_name_of_its_own(make, tmp_path):
    picture, weights = make("a", 2)
    with pytest.raises(InputError, match="--weights: 1 maps for 2 images"):
        open_slides([picture, picture], None, [weights])
    again = shutil.copytree(picture, tmp_path / "more" / picture.name)
    with pytest.raises(InputError, match="two slides have the name a; rename"):
        open_slides([picture, again], None, [weights, weights])


@pytest.mark.parametrize("part", ["image", "classes", "weights"])
def test_a_lost_shard_of_any_store_is_told_when_the_slide_is_opened(make, part):
    picture, weights = make("a", 2)
    labels = picture / "labels" / "reference"
    lost = {"image": picture, "classes": labels / "classes", "weights": weights}[part]
    shard_of(lost).unlink()
    with pytest.raises(InputError, match=str(lost)):
        opened = Store.open(picture), Store.open(labels), Store.open(weights)
        Slide.open(*opened)


def test_slides_must_have_the_channels_and_classes_of_the_plan_in_its_order(make):
    def opened(*parts) -> Slide:
        picture, weights = make(*parts)
        return open_slides([picture], None, [weights])[parts[0]]

    right = opened("right", 2)
    refuse_unlike(plan_of(), [right])
    for slide, words in [
        (opened("two", 2, 2), "two.ome.zarr: has 2 channels, the network of the plan takes 1"),
        (opened("turned", 2, 1, NAMES[::-1]), "has the classes kind1, background, the plan has"),
    ]:
        with pytest.raises(InputError, match=words):
            refuse_unlike(plan_of(), [right, slide])


@pytest.mark.parametrize(
    "planned",
    [
        *({"w0": 7}, {"sigma_px": 4}, {"sigma_um": 0.4}, {"tolerance": 1e-3}),
        {"class_weights": (1, 2)},
    ],
)
def test_weight_maps_must_be_made_as_the_plan_says(make, planned):
    picture, weights = make("right", 2)
    slide = open_slides([picture], None, [weights])["right"]
    plan = plan_of()
    refuse_unlike(plan, [slide])
    other = replace(plan, weights=replace(plan.weights, **planned))
    with pytest.raises(InputError, match="right.zarr: was made with .*; weigh the labels again"):
        refuse_unlike(other, [slide])
