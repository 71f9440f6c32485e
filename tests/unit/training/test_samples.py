"""Training tiles: what is cut, from where, how often, and that labels lie under their pixels."""

from dataclasses import replace

import numpy as np
import pytest

from overtile.geometry.components import IGNORE
from overtile.geometry.spans import Block, plan_blocks
from overtile.prediction.grid import read_tiles
from overtile.settings.model import Augmentation
from overtile.training import samples
from overtile.training.samples import TileSampler, cut, validation_tiles
from tests.unit.tiny import NOTHING, AsStored, Held, coordinates_of, plan_of, slide_of


def mirrored(places, lengths):
    """Coordinates inside a picture that is mirrored at its borders, pixel by pixel."""
    inside = np.array(places, dtype=int)
    for axis, n in enumerate(lengths):
        while ((inside[axis] < 0) | (inside[axis] >= n)).any():
            inside[axis] = np.where(inside[axis] < 0, -inside[axis], inside[axis])
            beyond = inside[axis] >= n
            inside[axis] = np.where(beyond, 2 * (n - 1) - inside[axis], inside[axis])
    return inside


def box(corner, shape):
    """Coordinates of a box, (ndim, *shape)."""
    axes = [np.arange(c, c + n) for c, n in zip(corner, shape, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij")).astype(float)


@pytest.mark.parametrize("corner", [(10, 12), (-4, 12), (10, -5), (31, 38), (-30, 70)])
def test_a_tile_of_a_plane_shows_that_plane_and_its_labels_lie_under_its_middle(corner):
    slide, output = coordinates_of((4, 40, 50)), (6, 4)
    places = box(corner, (12, 14))
    image, labels, weights = cut(slide, (2,), places, output)
    y, x = mirrored(places, (40, 50))
    assert (image[0] == 2).all()
    assert np.array_equal(image[1], y) and np.array_equal(image[2], x)
    middle = (slice(3, 9), slice(5, 9))
    assert np.array_equal(labels, x[middle]) and np.array_equal(weights, y[middle] + 1)
    assert labels.dtype == np.int64 and weights.dtype == image.dtype == np.float32


@pytest.mark.parametrize("corner", [(3, 4, 5), (-3, 4, 5), (14, 25, -6)])
def test_a_tile_of_a_volume_shows_that_box_and_its_labels_lie_under_its_middle(corner):
    slide, output = coordinates_of((18, 30, 40)), (4, 6, 2)
    places = box(corner, (8, 10, 12))
    image, labels, weights = cut(slide, (), places, output)
    z, y, x = mirrored(places, (18, 30, 40))
    assert np.array_equal(image, [z, y, x])
    middle = (slice(2, 6), slice(2, 8), slice(5, 7))
    assert np.array_equal(labels, x[middle]) and np.array_equal(weights, y[middle] + 1)


def test_labels_and_weights_are_those_of_the_plane_that_is_shown():
    planes = np.broadcast_to(np.arange(5.0).reshape(5, 1, 1), (5, 20, 24))
    slide = slide_of(planes[None], planes, planes + 1, kind=AsStored)
    for plane in range(5):
        image, labels, weights = cut(slide, (plane,), box((4, 5), (8, 8)), (4, 4))
        assert (image == plane).all() and (labels == plane).all() and (weights == plane + 1).all()
    sampler, seen = TileSampler([slide], plan_of(tile_px=4), 0), set()
    for step in range(40):
        tile = sampler.tile(step, 0)
        assert (tile.labels == tile.image.max()).all() and tile.image.min() == tile.image.max()
        seen.add(int(tile.labels.max()))
    assert seen == set(range(5))


def test_tiles_turn_without_a_change_of_shape_where_pixels_are_not_square():
    turn = replace(NOTHING, rotation_degrees=180.0)
    plan = plan_of(channels=3, tile_px=4, spacing=(2.0, 1.0), augmentation=turn)
    sampler, inside = TileSampler([coordinates_of((1, 200, 400))], plan, 0), 0
    for step in range(20):
        y, x = sampler.tile(step, 0).image[1:]
        # Far from the borders, where mirroring would fold coordinates.
        if min(y.min(), x.min()) > 3 and y.max() < 196 and x.max() < 396:
            for axis, edge_px in enumerate(plan.spacing):
                long = np.hypot(2 * np.diff(y, axis=axis), np.diff(x, axis=axis))
                assert long == pytest.approx(edge_px, abs=1e-3)
            inside += 1
    assert inside > 10


def test_between_pixels_pictures_and_weights_are_interpolated_and_labels_are_the_nearest():
    slide = coordinates_of((1, 40, 50))
    places = box((10, 12), (8, 8)) + np.reshape([0.25, 0.75], (2, 1, 1))
    image, labels, weights = cut(slide, (0,), places, (4, 4))
    assert np.allclose(image[1:], places)
    assert np.array_equal(labels, np.round(places[1])[2:6, 2:6])
    assert np.allclose(weights, places[0][2:6, 2:6] + 1)


@pytest.mark.parametrize("ndim", [2, 3])
def test_deformed_tiles_keep_labels_and_weights_under_their_pixels(ndim):
    # Far from the borders, where mirroring would fold coordinates.
    slide = coordinates_of((40, 120, 150))
    plan = plan_of(ndim, channels=3, augmentation=Augmentation(5.0, 180.0, True, 0.0, 0.0, 0.0))
    sampler, inside = TileSampler([slide], plan, 0), 0
    for step in range(60):
        tile = sampler.tile(step, 0)
        cropped = [
            slice((n - m) // 2, (n - m) // 2 + m)
            for n, m in zip(plan.tile_input_px, plan.tile_output_px, strict=True)
        ]
        z, y, x = tile.image[(slice(None), *cropped)]
        far = (y > 1) & (y < 118) & (x > 1) & (x < 148) & (z > (ndim == 3)) & (z < 38)
        assert np.abs(tile.labels - x)[far].max(initial=0) <= 0.5 + 1e-4
        assert np.allclose(tile.weights[far], y[far] + 1, atol=1e-3)
        inside += far.mean()
    assert inside > 30


def test_ignored_pixels_weigh_0_and_have_a_class_that_exists():
    classes = np.zeros((1, 30, 30), np.uint8)
    classes[0, 12, 13] = IGNORE
    slide = slide_of(np.zeros((1, 1, 30, 30)), classes)
    _, labels, weights = cut(slide, (0,), box((5, 5), (20, 20)), (10, 10))
    assert weights[2, 3] == 0 and weights.sum() == 99
    assert labels.max() == 0


@pytest.mark.parametrize("dtype", [np.uint32, np.float64, np.float32])
def test_a_small_contrast_on_a_large_offset_reaches_the_network(dtype):
    step = 8 if dtype == np.float32 else 1  # float32 itself tells no smaller steps apart there
    contrast = np.random.default_rng(0).integers(0, 5, (1, 1, 40, 40))
    slide = slide_of((contrast * step + 10**8).astype(dtype), np.zeros((1, 40, 40)))
    plan = plan_of(augmentation=NOTHING)
    tile = next(validation_tiles([slide], plan))
    wanted = (contrast - contrast.mean()) / contrast.std()
    margin = plan.geometry.margin_px[0]
    shown = tile.image[0, 0, margin : margin + 12, margin : margin + 12]
    assert np.allclose(shown, wanted[0, 0, :12, :12], atol=1e-5)


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint32, np.float32, np.float64])
def test_an_undistorted_tile_is_bit_for_bit_what_prediction_would_feed(ndim, dtype):
    pixels = np.random.default_rng(0).normal(10**6, 3, (2, 6, 30, 40))
    slide = slide_of((pixels % 251 if dtype == np.uint8 else pixels).astype(dtype), pixels[0] * 0)
    plan = plan_of(ndim, channels=2, tile_px=4, validation_tiles=10**6)
    output = plan.tile_output_px
    corners = plan_blocks((6, 30, 40), (1, *output) if ndim == 2 else output)
    tiles = list(validation_tiles([slide], plan))
    assert len(tiles) == len(corners)
    for tile, place in zip(tiles, corners, strict=True):
        start = place.start[-ndim:]
        whole = Block((), start, tuple(a + n for a, n in zip(start, output, strict=True)))
        leading = place.start[: 3 - ndim]
        fed = read_tiles(plan.geometry, slide.normalised, leading, [whole])
        assert fed.tobytes() == np.ascontiguousarray(tile.image).tobytes()


def test_a_tile_is_a_function_of_seed_fold_step_and_item():
    slides = [coordinates_of((2, 40, 50))]
    plan = plan_of(channels=3, augmentation=Augmentation())

    def image(plan=plan, fold=0, step=5, item=0):
        return TileSampler(slides, plan, fold).tile(step, item).image

    assert np.array_equal(image(), image())
    others = [image(step=6), image(item=1), image(fold=1), image(replace(plan, seed=1))]
    assert not any(np.array_equal(image(), other) for other in others)


def test_a_resumed_sampler_gives_the_same_batches():
    slides = [coordinates_of((2, 40, 50))]
    plan = plan_of(channels=3, batch_tiles=2, augmentation=Augmentation())
    whole = list(TileSampler(slides, plan, 0).batches(0, 7))
    resumed = list(TileSampler(slides, plan, 0).batches(4, 7))
    assert (len(whole), len(resumed)) == (7, 3)
    for one, other in zip(whole[4:], resumed, strict=True):
        for name in ("image", "labels", "weights"):
            assert np.array_equal(getattr(one, name), getattr(other, name))
    sampler = TileSampler(slides, plan, 0)
    for step, batch in enumerate(whole):
        assert np.array_equal(batch.image, [sampler.tile(step, n).image for n in range(2)])


def test_tiles_are_drawn_in_proportion_to_pixels_and_evenly_over_each_slide():
    small = slide_of(np.zeros((1, 1, 30, 20)), np.zeros((1, 30, 20)), name="small")
    large = slide_of(np.zeros((1, 2, 30, 30)), np.ones((2, 30, 30)), name="large")
    sampler = TileSampler([small, large], plan_of(), 0)
    from_large = [sampler.tile(step, 0).labels.max() for step in range(400)]
    assert np.mean(from_large) == pytest.approx(0.75, abs=0.07)


def test_places_of_tiles_are_spread_evenly_over_planes_rows_and_columns():
    sampler = TileSampler([coordinates_of((4, 60, 90))], plan_of(channels=3), 0)
    images = [sampler.tile(step, 0).image for step in range(600)]
    middle = np.array([image[:, image.shape[1] // 2, image.shape[2] // 2] for image in images]).T
    for values, n in zip(middle, (4, 60, 90), strict=True):
        thirds = np.histogram(values, bins=2, range=(0, n - 1))[0] / len(images)
        assert thirds == pytest.approx([0.5, 0.5], abs=0.08)
        assert values.min() < 0.1 * n and values.max() > 0.9 * (n - 1) - 1


@pytest.mark.parametrize("ndim", [2, 3])
def test_validation_tiles_cover_each_pixel_once_and_pixels_beyond_the_slide_weigh_0(ndim):
    shape = (3, 29, 23)
    plan = plan_of(ndim, channels=3, tile_px=8, validation_tiles=10**6)
    ndim_margin = plan.geometry.margin_px
    seen = []
    for tile in validation_tiles([coordinates_of(shape)], plan):
        assert len(tile.image) == len(tile.labels) == len(tile.weights) == 1
        middle = tuple(
            slice(m, m + n) for m, n in zip(ndim_margin, plan.tile_output_px, strict=True)
        )
        where = tile.image[0][(slice(None), *middle)]
        counts = tile.weights[0] > 0
        assert np.array_equal(tile.labels[0][counts], where[2][counts])
        assert np.array_equal(tile.weights[0][counts], where[1][counts] + 1)
        seen += map(tuple, where[:, counts].T.astype(int).tolist())
    assert sorted(seen) == sorted(np.ndindex(shape))


def test_validation_takes_as_many_tiles_as_the_plan_says_spread_over_all_slides():
    slides = [
        slide_of(np.full((1, 1, 60, 60), n), np.full((1, 60, 60), n), name=str(n), kind=Held)
        for n in range(4)
    ]
    plan = plan_of(classes=4, validation_tiles=4)
    tiles = list(validation_tiles(slides, plan))
    assert [tile.labels.max() for tile in tiles] == [0, 1, 2, 3]
    again = list(validation_tiles(slides, plan))
    assert all(np.array_equal(a.image, b.image) for a, b in zip(tiles, again, strict=True))


def test_a_tile_has_random_intensities_as_the_plan_says():
    slide = coordinates_of((1, 40, 50))
    rest = TileSampler([slide], plan_of(channels=3), 0).tile(0, 0)
    noisy = plan_of(channels=3, augmentation=replace(NOTHING, noise=0.5))
    difference = TileSampler([slide], noisy, 0).tile(0, 0).image - rest.image
    assert difference.std() == pytest.approx(0.5, rel=0.1)


def test_centres_of_tiles_lie_between_the_first_and_the_last_pixel(monkeypatch):
    centres, original = [], samples.sample_coordinates
    monkeypatch.setattr(
        samples, "sample_coordinates", lambda *a: (centres.append(a[1]), original(*a))[1]
    )
    sampler = TileSampler([coordinates_of((3, 2, 4))], plan_of(channels=3), 0)
    for step in range(60):
        sampler.tile(step, 0)
    assert np.all(np.min(centres, axis=0) >= 0) and np.all(np.max(centres, axis=0) <= (1, 3))


def test_random_intensities_have_nothing_to_do_with_random_places(monkeypatch):
    states = []
    for name in ("sample_coordinates", "change_intensity"):
        original = getattr(samples, name)

        def noted(rng, *others, original=original):
            states.append(rng.bit_generator.state["state"]["state"])
            return original(rng, *others)

        monkeypatch.setattr(samples, name, noted)
    TileSampler([coordinates_of((1, 20, 30))], plan_of(channels=3), 0).tile(0, 0)
    fresh = np.random.default_rng([0, 0, 0, 0]).bit_generator.state["state"]["state"]
    assert len({fresh, *states}) == 3
