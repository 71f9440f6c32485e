"""The synthetic slide: what its reference promises, and that no threshold solves it."""

from collections.abc import Iterator

import numpy as np
import pytest
from scipy import ndimage
from skimage.filters import threshold_local, threshold_otsu
from skimage.segmentation import expand_labels

from overtile.demo import MIN_AREA_PX, make_slide


@pytest.fixture(scope="module")
def slide() -> tuple[np.ndarray, np.ndarray]:
    return make_slide(3, (512, 512))


def object_f1(reference: np.ndarray, found: np.ndarray) -> float:
    """F1 of objects (y, x) that match with an IoU above 0.5; such a match is unique."""
    pair = np.stack([reference.ravel(), found.ravel()])
    (left, right), common = np.unique(pair[:, pair.all(axis=0)], axis=1, return_counts=True)
    left_area, right_area = np.bincount(reference.ravel()), np.bincount(found.ravel())
    union = left_area[left] + right_area[right] - common
    matches = np.count_nonzero(common / union > 0.5)
    return 2 * matches / (np.count_nonzero(left_area[1:]) + np.count_nonzero(right_area[1:]))


def threshold_masks(image: np.ndarray) -> Iterator[np.ndarray]:
    """Insides (y, x) bool by Otsu, by 32 quantiles and by local means, each and its inverse."""
    levels = [threshold_otsu(image), *np.quantile(image, np.linspace(0.02, 0.98, 32))]
    levels += [threshold_local(image, block_px) for block_px in (11, 21, 41, 81)]
    for level in levels:
        yield image > level
        yield image < level


def objects_of(mask: np.ndarray) -> np.ndarray:
    """4-connected components (y, x) of a mask, without those smaller than any cell."""
    labels, _ = ndimage.label(mask)
    small = np.bincount(labels.ravel()) < MIN_AREA_PX
    return np.where(small[labels], 0, labels)


def test_the_same_seed_gives_the_same_slide():
    for one, two in zip(make_slide(7, (96, 128)), make_slide(7, (96, 128)), strict=True):
        np.testing.assert_array_equal(one, two)


def test_another_seed_gives_another_slide():
    for one, two in zip(make_slide(7, (96, 96)), make_slide(8, (96, 96)), strict=True):
        assert not np.array_equal(one, two)


def test_image_and_labels_are_uint16_of_the_shape_asked_for():
    for picture in make_slide(0, (70, 131)):
        assert picture.dtype == np.uint16
        assert picture.shape == (70, 131)


def test_the_image_uses_its_range_and_is_rarely_saturated(slide):
    image, _ = slide
    assert np.ptp(np.quantile(image, [0.01, 0.99])) > 1000
    assert np.mean(image == image.max()) < 0.02


@pytest.mark.parametrize("seed", range(6))
def test_every_cell_is_exactly_one_component_of_the_inside(seed):
    _, instances = make_slide(seed, (160, 224))
    components, count = ndimage.label(instances > 0)
    pairs = np.unique(np.stack([components.ravel(), instances.ravel()]), axis=1)
    assert pairs.shape[1] == count + 1
    np.testing.assert_array_equal(np.unique(instances), np.arange(count + 1))


@pytest.mark.parametrize("seed", range(6))
def test_no_two_cells_are_4_neighbours(seed):
    _, instances = make_slide(seed, (160, 224))
    for one, two in ((instances[1:], instances[:-1]), (instances[:, 1:], instances[:, :-1])):
        assert not np.any((one != two) & (one > 0) & (two > 0))


@pytest.mark.parametrize("seed", range(6))
def test_every_cell_has_at_least_the_least_area(seed):
    _, instances = make_slide(seed, (160, 224))
    assert np.bincount(instances.ravel())[1:].min() >= MIN_AREA_PX


def test_cells_are_crowded_and_uneven(slide):
    _, instances = slide
    diameter_px = np.sqrt(4 / np.pi * np.bincount(instances.ravel())[1:])
    assert 100 <= len(diameter_px) <= 260
    assert np.quantile(diameter_px, 0.9) > 1.5 * np.quantile(diameter_px, 0.1)
    assert 0.6 < np.mean(instances > 0) < 0.9


def test_nearly_all_cells_touch_another_once_they_grow_by_2_px(slide):
    _, instances = slide
    grown = expand_labels(instances, distance=2)
    touching: set[int] = set()
    for one, two in ((grown[1:], grown[:-1]), (grown[:, 1:], grown[:, :-1])):
        meet = (one != two) & (one > 0) & (two > 0)
        touching.update(one[meet].tolist(), two[meet].tolist())
    assert len(touching) > 0.95 * instances.max()


def test_the_reference_scores_full_against_itself(slide):
    _, instances = slide
    assert object_f1(instances, objects_of(instances > 0)) == 1


def test_a_threshold_fails(slide):
    image, instances = slide
    best = max(object_f1(instances, objects_of(mask)) for mask in threshold_masks(image))
    assert best < 0.5


@pytest.mark.parametrize(
    ("seed", "shape_px", "value"), [(-1, (64, 64), "-1"), (0, (64, 63), "63"), (0, (0, 64), "0")]
)
def test_a_bad_seed_or_shape_is_refused_with_its_value(seed, shape_px, value):
    with pytest.raises(ValueError, match=value):
        make_slide(seed, shape_px)
