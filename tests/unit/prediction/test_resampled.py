"""Slides at another pixel size: any part equals the whole, and the whole is what others make."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from overtile.errors import InputError
from overtile.geometry import resampling
from overtile.geometry.resampling import nearest_box, resample_box, resampled_length
from overtile.geometry.spans import Block, planes, read_mirrored
from overtile.ingest.pictures import write_picture
from overtile.networks.unet.family import Architecture, choose_levels
from overtile.networks.unet.layers import UNet
from overtile.prediction.pixel_size import MAX_RATIO, choose_scaling, predicted_um, refuse_others
from overtile.prediction.resampled import Resampled, Scaling, bring_back, choose_level
from overtile.prediction.tiles import predict_block
from overtile.readers.raw import RawImage
from overtile.stores import layout
from overtile.stores.checked import Checked
from overtile.stores.store import Store
from overtile.stores.subblocks import whole
from tests.plans import known_slide, small_plan

RATIOS = st.one_of(st.floats(0.15, 6), st.sampled_from([0.25, 0.5, 1.0, 2.0, 3.0, 4.0]))
DTYPES = st.sampled_from([np.uint8, np.uint16, np.int32, np.float32])


def random_pixels(shape, dtype, seed=0):
    """Values over much of a dtype's range."""
    values = np.random.default_rng(seed).normal(size=shape) * 30 + 120
    return np.abs(values).astype(dtype)


def of_all(array, ratios):
    """The whole array resampled."""
    shape = [resampled_length(n, r) for n, r in zip(array.shape[1:], ratios, strict=True)]
    return resample_box(array, ratios, (0, 0, 0), shape)


def some_block(data, shape):
    """Any box of a picture."""
    start = [data.draw(st.integers(0, n - 1)) for n in shape]
    stop = [data.draw(st.integers(a + 1, n)) for a, n in zip(start, shape, strict=True)]
    return Block((0, 0, 0), tuple(start), tuple(stop))


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 4), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_larger_pixels_are_means_over_their_area(n, m, parts, more):
    """The oracle cuts each pixel into equal parts, and takes the mean of some more of them."""
    pixels = random_pixels((2, 1, n * (parts + more), m), np.float32)
    made = of_all(pixels, (1.0, (parts + more) / parts, 1.0))
    cut = np.repeat(pixels, parts, axis=2)
    expected = cut.reshape(2, 1, n * parts, parts + more, m).mean(axis=3)
    np.testing.assert_allclose(made, expected, rtol=1e-5)


@given(st.integers(2, 40), st.integers(2, 40), st.integers(0, 40), st.integers(0, 40))
@settings(max_examples=60, deadline=None)
def test_smaller_pixels_are_what_torch_interpolates(n, m, more_n, more_m):
    pixels = random_pixels((2, 1, n, m), np.float32)
    size = (n + more_n, m + more_m)
    made = of_all(pixels, (1.0, n / size[0], m / size[1]))[:, 0]
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(pixels[:, 0])[None].double(), size=size, mode="bilinear"
    )
    np.testing.assert_allclose(made, expected[0].numpy(), atol=2e-3)


@given(st.tuples(*[st.integers(1, 20)] * 3), st.tuples(*[RATIOS] * 3), DTYPES, st.data())
@settings(max_examples=60, deadline=None)
def test_any_box_has_the_bytes_of_the_same_part_of_the_whole(shape, ratios, dtype, data):
    pixels = random_pixels((2, *shape), dtype)
    expected = of_all(pixels, ratios)
    block = some_block(data, expected.shape[1:])
    before, resampling.VALUES_AT_ONCE = resampling.VALUES_AT_ONCE, data.draw(st.integers(1, 500))
    try:
        part = resample_box(pixels, ratios, block.start, block.stop)
    finally:
        resampling.VALUES_AT_ONCE = before
    assert part.tobytes() == expected[(slice(None), *block.slices)].tobytes()


@given(st.integers(20, 60), RATIOS)
@settings(max_examples=60, deadline=None)
def test_a_ramp_keeps_its_place_under_the_centres_of_pixels(length, ratio):
    ramp = np.arange(length, dtype=np.float32).reshape(1, 1, 1, -1)
    made = of_all(ramp, (1.0, 1.0, ratio)).ravel()
    centres = (np.arange(len(made)) + 0.5) * ratio - 0.5
    inside = (centres > ratio) & (centres < length - 1 - ratio)
    # A mean over parts of pixels takes each of them as flat.
    error_px = 0 if ratio <= 1 else 0.25 / ratio
    np.testing.assert_allclose(made[inside], centres[inside], atol=error_px + 1e-4)
    assert ramp.min() <= made.min() and made.max() <= ramp.max()


def test_stripes_finer_than_the_wanted_pixels_become_grey_and_not_coarser_stripes():
    stripes = np.tile(np.array([0, 255], np.uint8), 300).reshape(1, 1, 1, -1)
    for ratio in (2.0, 2.1, 3.3, 7.0):
        made = of_all(stripes, (1.0, 1.0, ratio)).ravel()[2:-2]
        assert np.abs(made - 127.5).max() <= 127.5 / ratio + 1e-3, ratio


@given(st.tuples(*[st.integers(1, 12)] * 3), st.tuples(*[RATIOS] * 3), st.data())
@settings(max_examples=40, deadline=None)
def test_the_nearest_pixel_is_the_one_with_the_nearest_centre(shape, ratios, data):
    pixels = random_pixels((1, *shape), np.uint8)
    new = [resampled_length(n, r) for n, r in zip(shape, ratios, strict=True)]
    block = some_block(data, new)
    made = nearest_box(pixels, ratios, block.start, block.stop)
    index = tuple(data.draw(st.integers(0, n - 1)) for n in block.shape)
    centres = [(a + i + 0.5) * r for a, i, r in zip(block.start, index, ratios, strict=True)]
    nearest = [
        int(np.abs(np.arange(n) + 0.5 - c).argmin()) for n, c in zip(shape, centres, strict=True)
    ]
    gaps = [abs(c - round(c)) for c in centres]
    assume(min(gaps) > 1e-9 or all(n == 1 for n in shape))
    assert made[(0, *index)] == pixels[(0, *nearest)]


@pytest.fixture(scope="module")
def slide(data, tmp_path_factory):
    """A corner of a stained section, (3, 1, 600, 700), as a store with pyramid."""
    from overtile.readers.opening import open_raw

    raw = open_raw(data / "wsi" / "CMU-1-Small-Region.svs")
    pixels = raw.read((slice(0, 1), slice(0, 600), slice(1000, 1700)))
    folder = tmp_path_factory.mktemp("slide") / "s.ome.zarr"
    made = RawImage(folder, pixels, (0, 1, 2, 3), None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layout, "SMALLEST_LEVEL_PX", 64)
        write_picture(made, folder, "k", (1.0, 0.25, 0.25), None)
    return Store.open(folder)


def view(slide, *ratio):
    return Resampled(slide, Scaling(slide.shape, ratio))


EVERYTHING = (slice(None),) * 4


@pytest.mark.parametrize("factor", [1, 2, 4, 8])
def test_pixels_that_are_twice_as_long_are_those_of_the_pyramid(slide, factor):
    level = {1: 0, 2: 1, 4: 2, 8: 3}[factor]
    made = view(slide, 1.0, float(factor), float(factor))[EVERYTHING]
    np.testing.assert_array_equal(made, slide.level(level)[:])


@given(st.floats(0.4, 12), st.floats(0.4, 12), st.data())
@settings(max_examples=25, deadline=None)
def test_a_box_of_a_slide_is_read_from_few_pixels_and_equals_the_whole(slide, y, x, data):
    found = view(slide, 1.0, y, x)
    expected = found[EVERYTHING]
    block = some_block(data, found.shape[1:])
    read = []

    class Counted(Checked):
        def __getitem__(self, index):
            part = super().__getitem__(index)
            read.append(part[0].size)
            return part

    found = view(slide, 1.0, y, x)
    _, factors = choose_level(slide, (1.0, y, x))
    found._array = Counted(slide.path, slide.level(choose_level(slide, (1.0, y, x))[0]))
    part = found[(slice(None), 0, *block.slices[1:])]
    assert part.tobytes() == expected[(slice(None), *block.slices)][:, 0].tobytes()
    left = [max(1, r / f) for r, f in zip((y, x), factors[1:], strict=True)]
    assert sum(read) <= np.prod(
        [(n + 3) * r + 3 for n, r in zip(block.shape[1:], left, strict=True)]
    )
    if 0.9 < y / x < 1.1 and max(y, x) < 8:
        assert max(left) < 2.3


def test_a_level_that_joins_planes_is_not_taken_where_the_network_sees_planes(tmp_path):
    pixels = random_pixels((1, 40, 300, 300), np.uint8)
    raw = RawImage(tmp_path, pixels, (0, 1, 2, 3), None)
    write_picture(raw, tmp_path / "s", "k", (0.5, 0.5, 0.5), None)
    store = Store.open(tmp_path / "s")
    assert store.level(1).shape[1:] == (20, 150, 150)
    assert choose_level(store, (1.0, 2.0, 2.0)) == (0, (1, 1, 1))
    assert choose_level(store, (2.0, 2.0, 2.0)) == (1, (2, 2, 2))
    some = view(store, 1.0, 2.0, 2.0)[:, 7, :, :]
    np.testing.assert_array_equal(some, of_all(pixels[:, 7:8], (1.0, 2.0, 2.0))[:, 0])


def test_statistics_are_those_of_the_pixels_that_the_network_sees(slide, monkeypatch):
    monkeypatch.setattr("overtile.prediction.resampled.PICTURE_SHARD", (1, 64, 64))
    found = view(slide, 1.0, 3.3, 3.0)
    mean, std = found.statistics()
    pixels = found[EVERYTHING].astype(float)
    np.testing.assert_allclose(mean, pixels.mean(axis=(1, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(std, pixels.std(axis=(1, 2, 3)), rtol=1e-5)
    assert (np.array(std) < np.array(slide.std) * 0.98).all()
    assert view(slide, 1.0, 0.5, 0.7).statistics() == (slide.mean, slide.std)


SCALINGS = st.builds(
    Scaling,
    st.tuples(st.integers(1, 6), st.integers(1, 30), st.integers(1, 30)),
    st.tuples(st.sampled_from([1.0, 0.6, 2.5]), RATIOS, RATIOS),
)


@given(SCALINGS, st.sampled_from(["probabilities", "classes"]), st.data())
@settings(max_examples=60, deadline=None)
def test_any_block_is_brought_back_as_the_whole_is(scaling, keep, data):
    seen = np.random.default_rng(0).integers(0, 256, (2, *scaling.shape)).astype(np.uint8)
    expected = bring_back(seen, scaling, whole(scaling.slide_px), keep)
    assert expected.shape == (2, *scaling.slide_px)
    block = some_block(data, scaling.slide_px)
    with pytest.MonkeyPatch.context() as patch:
        for shard in ("PICTURE_SHARD", "VOLUME_SHARD"):
            patch.setattr(layout, shard, data.draw(st.sampled_from([(1, 4, 5), (3, 7, 2)])))
        part = bring_back(seen, scaling, block, keep)
    np.testing.assert_array_equal(part, expected[(slice(None), *block.slices)])


@given(SCALINGS, st.sampled_from(["probabilities", "classes"]), st.data())
@settings(max_examples=80, deadline=None)
def test_no_block_changes_a_pixel_of_the_slide_beyond_its_reach(scaling, keep, data):
    block = some_block(data, scaling.shape)
    seen = np.zeros((2, *scaling.shape), np.uint8)
    seen[(slice(None), *block.slices)] = 255
    beyond = bring_back(seen, scaling, whole(scaling.slide_px), keep)
    reach = scaling.reach(block)
    assert all(
        0 <= a < b <= n for a, b, n in zip(reach.start, reach.stop, scaling.slide_px, strict=True)
    )
    beyond[(slice(None), *reach.slices)] = 0
    assert not beyond.any()
    far = [max(1.0, r, 1 / r) * max(1.0, r) + 2 for r in scaling.ratio]
    wide = zip(reach.shape, block.shape, scaling.ratio, far, strict=True)
    assert all(n <= m * r + 2 * f + 2 for n, m, r, f in wide)


@given(SCALINGS)
@settings(max_examples=30, deadline=None)
def test_classes_are_those_of_the_nearest_pixel_and_never_means_of_their_numbers(scaling):
    seen = np.random.default_rng(1).choice([0, 7], (2, *scaling.shape)).astype(np.uint8)
    back = bring_back(seen, scaling, whole(scaling.slide_px), "classes")
    nearest = nearest_box(seen, scaling.back, (0, 0, 0), scaling.slide_px)
    np.testing.assert_array_equal(back[0], nearest[0])
    spread = resample_box(seen, scaling.back, (0, 0, 0), scaling.slide_px)
    np.testing.assert_array_equal(back[1], np.rint(spread[1]))


def test_probabilities_that_are_brought_back_still_sum_to_one():
    first = np.random.default_rng(0).integers(0, 256, (1, 1, 40, 50)).astype(np.uint8)
    seen = np.concatenate([first, 255 - first])
    for ratio in (0.3, 1.7, 5.0):
        scaling = Scaling((1, round(40 * ratio), round(50 * ratio)), (1.0, ratio, ratio))
        back = bring_back(seen[..., : scaling.shape[1], : scaling.shape[2]], scaling,
                          whole(scaling.slide_px), "probabilities")  # fmt: skip
        assert np.abs(back.astype(int).sum(axis=0) - 255).max() <= 1


def make_network(ndim):
    """A random network of uint8 values, as a function, and its architecture."""
    torch.manual_seed(0)
    pools, kernels = choose_levels(ndim, 2 if ndim == 2 else 1, (1.0, 1.0, 1.0))
    a = Architecture(ndim, 1, 3, 4, pools, kernels)
    network = UNet(a).eval()

    @torch.inference_mode()
    def run(pixels):
        return (network(torch.from_numpy(pixels)).softmax(1) * 255).round().byte().numpy()

    return run, a


def seen_whole(run, a, picture):
    """One forward pass over the whole mirrored picture, plane by plane for two axes."""
    result = np.empty((a.classes, *picture.shape[1:]), np.uint8)
    shape = picture.shape[-a.ndim :]
    start = [-m for m in a.geometry.margin_px]
    source, _ = a.geometry.sizes_for(shape)
    stop = [n - m for n, m in zip(source, a.geometry.margin_px, strict=True)]
    for z, piece in enumerate(planes(picture.shape[1:], a.ndim)):
        leading = (slice(None), z) if a.ndim == 2 else (slice(None),)
        output = run(read_mirrored(picture, start, stop, leading)[None])[0]
        output = output[(slice(None), *(slice(0, n) for n in shape))]
        place = (slice(None), *piece)
        result[place] = output.reshape(result[place].shape)
    return result


@given(st.sampled_from([2, 3]), st.floats(0.4, 3), st.data())
@settings(max_examples=25, deadline=None)
def test_blocks_in_any_tiles_of_a_resampled_slide_equal_the_network_on_the_whole(ndim, r, data):
    run, a = make_network(ndim)
    shape = data.draw(st.tuples(st.integers(1, 4), st.integers(5, 40), st.integers(5, 40)))
    scaling = Scaling(shape, (1.0, r, r * 0.9) if ndim == 2 else (r, r, r))
    pixels = random_pixels((1, *shape), np.float32) / 30 - 4
    seen = of_all(pixels, scaling.ratio)
    expected = bring_back(seen_whole(run, a, seen), scaling, whole(shape), "probabilities").astype(
        int
    )
    edge = data.draw(st.integers(6, 30))
    tiled = np.empty((3, *scaling.shape), np.uint8)
    size = data.draw(st.integers(9, 40))
    for block in resampled_blocks(scaling.shape, size):
        part = predict_block(run, a.geometry, seen, block, (edge,) * ndim)
        tiled[(slice(None), *block.slices)] = part
    block = some_block(data, shape)
    found = bring_back(tiled, scaling, block, "probabilities").astype(int)
    assert np.abs(found - expected[(slice(None), *block.slices)]).max() <= 1


def resampled_blocks(shape, edge):
    from overtile.geometry.spans import plan_blocks

    return plan_blocks(shape, (edge,) * 3)


def stand_in(size, shape=(1, 100, 100), channels=1):
    """What of a slide decides whether it is taken."""
    return SimpleNamespace(
        path="s.ome.zarr",
        shape=shape,
        array=np.broadcast_to(np.uint8(0), (channels, *shape)),
        attributes={"pixel_size_um": size},
    )


def plan_of(*sizes, ndim=2):
    """A plan of slides with such pixel sizes."""
    architecture = Architecture(ndim, 1, 2, 2, *choose_levels(ndim, 1, (1.0, 1.0, 1.0)))
    slides = [known_slide(str(n), pixel_size_um=size) for n, size in enumerate(sizes)]
    return small_plan(architecture, slides=tuple(slides))


@pytest.mark.parametrize(
    ("size", "ratio"),
    [
        ([9.0, 0.25, 0.25], (1.0, 4.0, 4.0)),
        ([9.0, 4.0, 1.0], (1.0, 0.25, 1.0)),
        ([1.0, 0.42, 2.39], None),
        ([1.0, 0.41, 1.0], (1.0, 1 / 0.41, 1.0)),
    ],
)
def test_the_models_size_is_the_geometric_mean_of_its_slides_along_each_of_its_axes(size, ratio):
    plan = plan_of([1.0, 0.5, 0.5], None, [3.0, 2.0, 2.0])
    found = choose_scaling(stand_in(size), plan, "resample")
    assert choose_scaling(stand_in(size), plan, "ignore") is None
    if ratio is None:
        assert found is None
        assert predicted_um(stand_in(size), found) == size
        return
    assert found.ratio == pytest.approx(ratio)
    assert predicted_um(stand_in(size), found) == pytest.approx([size[0], 1.0, 1.0])
    assert found.shape == (1, *(int(np.ceil(100 / r - 1e-6)) for r in ratio[1:]))
    with pytest.raises(InputError, match="pixels are .* to resample, or to ignore"):
        choose_scaling(stand_in(size), plan, "refuse")


def test_a_network_of_volumes_has_its_planes_resampled_too():
    plan = plan_of([2.0, 0.5, 0.5], ndim=3)
    found = choose_scaling(stand_in([1.0, 0.5, 0.5], (50, 60, 70)), plan, "resample")
    assert found.ratio == pytest.approx((2.0, 1.0, 1.0)) and found.shape == (25, 60, 70)
    flat = choose_scaling(stand_in([1.0, 0.5, 0.5]), plan_of([2.0, 0.5, 0.5]), "resample")
    assert flat is None


@pytest.mark.parametrize(
    ("size", "known", "words"),
    [
        (None, [[1.0, 0.5, 0.5]], "s.ome.zarr: has no pixel size"),
        ([1.0, 0.5, 0.5], [None], "no training slide has a pixel size"),
        ([1.0, 500.0, 500.0], [[1.0, 0.5, 0.5]], f"allowed: up to {MAX_RATIO} times"),
    ],
)
def test_what_cannot_be_resampled_is_refused_in_one_line(size, known, words):
    with pytest.raises(InputError, match=words) as error:
        choose_scaling(stand_in(size), plan_of(*known), "resample")
    assert "\n" not in str(error.value)
    if None in (size, known[0]):
        assert choose_scaling(stand_in(size), plan_of(*known), "refuse") is None


def test_a_slide_of_one_plane_or_other_channels_is_refused_where_the_model_differs():
    flat, stack = stand_in(None), stand_in(None, (2, 9, 9))
    with pytest.raises(InputError, match="has one plane, the model takes volumes"):
        refuse_others(flat, plan_of(None, ndim=3))
    with pytest.raises(InputError, match="has 2 channels, the model takes 1"):
        refuse_others(stand_in(None, channels=2), plan_of(None))
    for slide, ndim in [(flat, 2), (stack, 2), (stack, 3)]:
        refuse_others(slide, plan_of(None, ndim=ndim))
