"""Each random change of a tile alone, against its definition."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import kstest

from overtile.settings.model import Augmentation
from overtile.training.augment import (
    change_intensity,
    elastic_field,
    linear_map,
    resample,
    sample_coordinates,
)

NOTHING = Augmentation(0.0, 0.0, False, 0.0, 0.0, 0.0)
RNG = np.random.default_rng


def angles(augmentation: Augmentation, count: int = 400) -> np.ndarray:
    """Turns of many tiles, degrees."""
    maps = [linear_map(RNG(seed), 2, augmentation) for seed in range(count)]
    return np.rad2deg([np.arctan2(m[1, 0], m[0, 0]) for m in maps])


def test_defaults_are_those_that_the_configuration_names():
    assert Augmentation() == Augmentation(10.0, 180.0, True, 0.25, 0.25, 0.05)


def test_flips_alone_turn_each_axis_over_in_half_of_the_tiles_and_move_no_pixel_else():
    maps = [linear_map(RNG(seed), 3, replace(NOTHING, flips=True)) for seed in range(400)]
    assert all(np.array_equal(np.abs(m), np.eye(3)) for m in maps)
    turned_over = np.array([np.diag(m) < 0 for m in maps])
    assert np.all(np.abs(turned_over.mean(axis=0) - 0.5) < 0.1)
    assert len({tuple(row) for row in turned_over.tolist()}) == 8  # axes independent of each other


def test_a_flipped_tile_is_the_picture_read_backwards():
    picture = RNG(0).normal(size=(11, 13))
    found = set()
    for seed in range(40):
        flips = replace(NOTHING, flips=True)
        places = sample_coordinates(RNG(seed), (5, 6), (11, 13), (1.0, 1.0), flips)
        tile = resample(picture, (0, 0), places, 1)
        for name, flipped in {
            "none": picture,
            "y": picture[::-1],
            "x": picture[:, ::-1],
            "both": picture[::-1, ::-1],
        }.items():
            if np.array_equal(tile, flipped):
                found.add(name)
                break
        else:
            pytest.fail(f"tile {seed} is no flip of the picture")
    assert found == {"none", "y", "x", "both"}


@pytest.mark.parametrize("largest", [30.0, 180.0])
def test_turns_are_spread_evenly_up_to_the_largest_either_way(largest):
    turns = angles(replace(NOTHING, rotation_degrees=largest))
    assert kstest(turns, "uniform", args=(-largest, 2 * largest)).pvalue > 0.01


def test_a_turn_by_a_known_angle_is_that_of_the_plane():
    turn = replace(NOTHING, rotation_degrees=90.0)
    angle = np.deg2rad(RNG(4).uniform(-1, 1) * 90.0)
    cos, sin = np.cos(angle), np.sin(angle)
    places = sample_coordinates(RNG(4), (7.0, 9.0), (3, 5), (1.0, 1.0), turn)
    for i, j in [(0, 0), (1, 2), (2, 4)]:
        y, x = i - 1, j - 2
        assert places[:, i, j] == pytest.approx([7 + cos * y - sin * x, 9 + sin * y + cos * x])


def test_displacements_between_grid_points_are_those_of_natural_cubic_splines():
    from scipy.interpolate import CubicSpline

    field = elastic_field(RNG(7), (9, 17), (2.0, 5.0))
    drawn = RNG(7).normal(size=(2, 3, 3)) * np.reshape([2.0, 5.0], (2, 1, 1))
    for axis in range(2):
        along_y = CubicSpline([0, 4, 8], drawn[axis], bc_type="natural")(np.arange(9))
        along_x = CubicSpline([0, 8, 16], along_y, axis=1, bc_type="natural")(np.arange(17))
        assert np.allclose(field[axis], along_x)


def test_displacements_are_normal_with_the_given_deviation_along_each_axis():
    fields = np.array([elastic_field(RNG(seed), (3, 3), (2.0, 5.0)) for seed in range(200)])
    assert kstest(fields[:, 0].ravel() / 2, "norm").pvalue > 0.01
    assert kstest(fields[:, 1].ravel() / 5, "norm").pvalue > 0.01


def test_displacements_in_coarse_pixels_are_as_long_as_in_fine_ones():
    elastic = replace(NOTHING, elastic_px=8.0)
    shape, spacing = (3, 3, 3), (4.0, 1.0, 1.0)
    rest = sample_coordinates(RNG(0), (0, 0, 0), shape, spacing, NOTHING)
    moved = np.array(
        [sample_coordinates(RNG(s), (0, 0, 0), shape, spacing, elastic) - rest for s in range(100)]
    )
    deviation = moved.std(axis=(0, 2, 3, 4))
    assert deviation == pytest.approx([2.0, 8.0, 8.0], rel=0.1)


def test_a_volume_without_changes_is_an_untouched_box_around_the_centre():
    places = sample_coordinates(RNG(0), (4.0, 6.0, 5.5), (3, 5, 4), (3.0, 1.0, 1.0), NOTHING)
    z, y, x = np.meshgrid(range(3, 6), range(4, 9), range(4, 8), indexing="ij")
    assert np.array_equal(places, np.stack([z, y, x]))


def test_labels_are_taken_from_the_nearest_pixel_and_pictures_are_interpolated():
    row = np.array([[0, 10, 20, 30]])
    places = np.array([[[0.0, 0.0]], [[1.25, 2.75]]])
    assert resample(row, (0, 0), places, 0).tolist() == [[10, 30]]
    assert resample(row.astype(float), (0, 0), places, 1).tolist() == [[12.5, 27.5]]
    assert resample(row, (0, -1), places, 0).tolist() == [[20, 30]]  # the box begins at -1


@pytest.mark.parametrize(("name", "is_shift"), [("contrast", False), ("brightness", True)])
def test_contrast_and_brightness_alone_are_even_up_to_the_given_amount_for_each_channel(
    name, is_shift
):
    change = replace(NOTHING, **{name: 0.4})
    pixels = np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]], np.float32)
    rng, amounts = RNG(0), []
    for _ in range(300):
        changed = change_intensity(rng, pixels, change)
        amount = changed - pixels if is_shift else changed / pixels - 1
        assert np.allclose(amount, amount[:, :1], atol=1e-6)  # one amount for all pixels
        amounts.append(amount[:, 0])
    amounts = np.array(amounts)
    for channel in amounts.T:
        assert kstest(channel, "uniform", args=(-0.4, 0.8)).pvalue > 0.01
    assert abs(np.corrcoef(amounts.T)[0, 1]) < 0.15


def test_noise_alone_is_normal_white_and_different_in_each_channel():
    noise = change_intensity(RNG(3), np.zeros((2, 80, 80), np.float32), replace(NOTHING, noise=0.3))
    assert noise.dtype == np.float32
    for channel in noise:
        assert kstest(channel.ravel() / 0.3, "norm").pvalue > 0.01
        assert abs(np.corrcoef(channel[:, 1:].ravel(), channel[:, :-1].ravel())[0, 1]) < 0.04
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.04


def test_contrast_comes_before_brightness():
    change = replace(NOTHING, contrast=0.5, brightness=0.5)
    rng = RNG(9)
    contrast, brightness = (1 + 0.5 * rng.uniform(-1, 1, (1, 1))), 0.5 * rng.uniform(-1, 1, (1, 1))
    pixels = np.array([[2.0, -1.0]], np.float32)
    assert np.allclose(change_intensity(RNG(9), pixels, change), pixels * contrast + brightness)


def test_noise_is_as_strong_whatever_the_contrast():
    pixels, change = np.zeros((2, 5, 5), np.float32), replace(NOTHING, noise=0.5)
    even = change_intensity(RNG(3), pixels, change)
    assert np.array_equal(change_intensity(RNG(3), pixels, replace(change, contrast=0.9)), even)
