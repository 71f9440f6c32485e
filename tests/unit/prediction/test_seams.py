"""Steps across tile borders against those inside tiles: known ones, and NumPy's on the whole."""

from itertools import count
from types import SimpleNamespace

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from overtile.geometry.spans import plan_blocks
from overtile.networks.unet.family import Architecture, choose_levels
from overtile.prediction.memory import Tiling
from overtile.prediction.seams import seam_score
from overtile.prediction.slide import Prediction
from overtile.prediction.tiles import predict_block


class Sharded:
    """A picture (c, z, y, x) that is read one shard, and a pixel more, at a time."""

    def __init__(self, pixels, shard):
        self._pixels, self.shape = pixels, pixels.shape
        self.shards = (len(pixels), *shard)

    def __getitem__(self, index):
        part = self._pixels[index]
        assert all(n <= s + 1 for n, s in zip(part.shape[1:], self.shards[1:], strict=True))
        return part


def score_of(pixels, borders, shard=(64, 64, 64)):
    return seam_score(Sharded(pixels, shard), borders)


def naive(pixels, borders):
    """Mean steps across and inside, of the whole picture at once; None if there is no pair."""
    across, inside = [], []
    for axis, starts in enumerate(borders):
        if starts:
            steps = np.abs(np.diff(pixels.astype(int), axis=axis + 1))
            for place, step in enumerate(np.moveaxis(steps, axis + 1, 0), start=1):
                (across if place in starts else inside).append(step.ravel())
    return [np.concatenate(each).mean() if each else None for each in (across, inside)]


@given(
    st.integers(1, 3),
    st.tuples(st.integers(1, 4), st.integers(1, 12), st.integers(1, 12)),
    st.tuples(st.integers(1, 4), st.integers(1, 12), st.integers(1, 12)),
    st.data(),
)
@settings(max_examples=150, deadline=None)
def test_any_picture_with_any_borders_in_any_shards_is_scored_as_a_whole(
    channels, shape, shard, data
):
    borders = [data.draw(st.sets(st.integers(1, n - 1))) if n > 1 else set() for n in shape]
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    pixels = rng.integers(0, 256, (channels, *shape), dtype=np.uint8)
    across, inside = naive(pixels, borders)
    found = score_of(pixels, borders, shard)
    if not across or not inside:
        assert set(found.values()) == {None}
        return
    assert found["across"] == pytest.approx(across, rel=1e-12)
    assert found["inside"] == pytest.approx(inside, rel=1e-12)
    assert found["score"] == pytest.approx(across / inside, rel=1e-12)


@given(st.tuples(*[st.integers(1, 9)] * 3), st.tuples(*[st.integers(1, 9)] * 3), st.data())
@settings(max_examples=60, deadline=None)
def test_steps_to_pixels_that_no_tile_has_seen_are_not_counted(shape, shard, data):
    borders = [data.draw(st.sets(st.integers(1, n - 1))) if n > 1 else set() for n in shape]
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    pixels = rng.integers(0, 256, (2, *shape), dtype=np.uint8)
    pixels[1][pixels[0] == 255] = 0
    is_seen = rng.random(shape) < 0.7
    expected = [[], []]
    for axis, starts in enumerate(borders if any(borders) else []):
        for place in np.argwhere(is_seen):
            before = place - np.eye(3, dtype=int)[axis]
            if starts and before[axis] >= 0 and is_seen[tuple(before)]:
                one, other = (pixels[(slice(None), *p)].astype(int) for p in (place, before))
                expected[place[axis] not in starts].extend(np.abs(one - other))
    pixels[:, ~is_seen] = 255
    found = seam_score(Sharded(pixels, shard), borders, 255)
    if not expected[0] or not any(expected[1]):
        assert set(found.values()) == {None}
        return
    across, inside = map(np.mean, expected)
    assert (found["across"], found["inside"]) == (pytest.approx(across), pytest.approx(inside))


def smooth(shape, seed=0):
    """Smooth noise that fills all of uint8, (channels, z, y, x)."""
    noise = np.random.default_rng(seed).normal(size=shape)
    noise = ndimage.gaussian_filter(noise, (0, 0, 3, 3), mode="wrap")
    return np.clip(128 + 50 * noise / noise.std(), 0, 255).astype(np.uint8)


GRID = [set(), {50, 100, 150}, {70, 140, 210}]


@pytest.mark.parametrize("seed", range(3))
def test_smooth_noise_without_seams_scores_about_1(seed):
    score = score_of(smooth((2, 1, 200, 280), seed), GRID, (1, 128, 128))["score"]
    assert 0.9 < score < 1.1


def test_tiles_that_are_brighter_or_darker_score_above_2():
    pixels = smooth((1, 1, 200, 280)) // 2 + 20
    offsets = np.random.default_rng(1).integers(0, 60, (4, 4))
    for y in range(4):
        for x in range(4):
            pixels[..., 50 * y : 50 * y + 50, 70 * x : 70 * x + 70] += np.uint8(offsets[y, x])
    assert score_of(pixels, GRID)["score"] > 2
    shifted = [set(), {25, 75}, {35, 105}]
    assert score_of(pixels, shifted)["score"] < 1.1


def test_a_ramp_with_a_jump_has_the_steps_that_were_drawn():
    ramp = 2 * np.arange(32)
    ramp[16:] += 10
    pixels = np.broadcast_to(ramp.astype(np.uint8), (1, 1, 8, 32))
    assert score_of(pixels, [set(), set(), {16}]) == {"across": 12, "inside": 2, "score": 6}
    assert score_of(pixels[..., ::-1], [set(), set(), {16}])["score"] == 6


def test_shards_of_a_store_change_nothing(tmp_path):
    pixels = smooth((2, 1, 70, 90))
    borders = [set(), {30, 60}, {64}]
    found = []
    for number, (chunk, shard) in enumerate([(16, 16), (16, 32), (7, 63), (90, 90)]):
        array = zarr.create_array(
            tmp_path / str(number),
            shape=pixels.shape,
            chunks=(1, 1, chunk, chunk),
            shards=(2, 1, shard, shard),
            dtype=np.uint8,
        )
        array[:] = pixels
        found.append(seam_score(array, borders))
    assert all(score == found[0] for score in found)
    across, inside = naive(pixels, borders)
    assert found[0]["score"] == pytest.approx(across / inside)


def test_one_tile_has_no_seams_and_a_flat_picture_no_score():
    nothing = {"across": None, "inside": None, "score": None}
    assert score_of(smooth((1, 1, 40, 40)), [set(), set(), set()]) == nothing
    assert score_of(np.full((2, 1, 40, 40), 7, np.uint8), GRID) == nothing


def test_volumes_are_scored_along_z_too():
    pixels = smooth((1, 8, 20, 20)) // 4
    pixels[:, 4:] += 100
    assert score_of(pixels, [{4}, set(), set()])["score"] > 2


def drawn_borders(a, tiling, blocks, shape):
    """Where the tiles of a prediction truly begin: each tile is painted in a colour of its own."""
    colours = count(1)

    def network(pixels):
        edges = [n - 2 * m for n, m in zip(pixels.shape[2:], a.geometry.margin_px, strict=True)]
        return np.stack([np.full((1, *edges), next(colours)) for _ in pixels])

    painted = np.zeros(shape, int)
    picture = np.zeros((1, *shape), np.float32)
    for block in blocks:
        painted[block.slices] = predict_block(network, a.geometry, picture, block, tiling.tile_px)[
            0
        ]
    found = []
    for axis in range(3):
        other = tuple(n for n in range(3) if n != axis)
        changes = (np.diff(painted, axis=axis) != 0).any(axis=other)
        found.append({int(place) + 1 for place in np.flatnonzero(changes)})
    return found


@given(
    st.sampled_from([2, 3]),
    st.tuples(st.integers(1, 3), st.integers(1, 60), st.integers(1, 60)),
    st.lists(st.integers(1, 40), min_size=3, max_size=3),
    st.lists(st.integers(4, 30), min_size=3, max_size=3),
)
@settings(max_examples=60, deadline=None)
def test_borders_are_the_first_pixels_of_tiles_in_shards_of_any_size(ndim, shape, shard, tile):
    a = Architecture(ndim, 1, 2, 2, *choose_levels(ndim, 2, (1.0, 1.0, 1.0)))
    if ndim == 2:
        shard = [1, *shard[1:]]
    blocks = plan_blocks(shape, shard)
    tiling = Tiling(tuple(tile[-ndim:]), 1, 0)

    predictor = SimpleNamespace(geometry=a.geometry)
    found = Prediction(None, predictor, tiling, None).borders(blocks)
    expected = drawn_borders(a, tiling, blocks, shape)
    if ndim == 2:
        expected[0] = set()  # planes are independent, and have no seams between them
    assert found == expected
