"""The report's picture of a weight map: where it looks, what it draws, what it refuses."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from overtile.errors import InputError
from overtile.ingest.catalogue import Slide
from overtile.ingest.pictures import write_picture
from overtile.ingest.references import write_reference
from overtile.planning.plan import Weights
from overtile.readers.raw import RawImage
from overtile.reporting import page, weights
from overtile.reporting.inputs import Archive
from overtile.reporting.models import Model
from overtile.stores import layout
from overtile.stores.store import Store
from overtile.targets.weights import Weighting, write_weights

HOSTILE = "<script>alert(1)</script>"
PLAN = Weights(10.0, 2.0, None, 1e-6, (0.75, 1.5))
MODEL = Model("unet", (), (), PLAN)


def made(
    folder: Path, instances: np.ndarray, channels: int = 1, ignore: int | None = None
) -> tuple[Store, Store, Store]:
    """Picture, labels and weight map of a slide "s" with given cells (z, y, x)."""
    pixels = np.stack([instances % 200] * channels).astype(np.uint8)
    raw = RawImage(Path("s.tif"), pixels, (0, 1, 2, 3), None)
    write_picture(raw, folder / "slides" / "s.ome.zarr", "k", None, None)
    raw = RawImage(Path("s.tif"), instances[None], (0, 1, 2, 3), None)
    names = ["background", "cell"]
    write_reference(raw, folder / "r", "k", "instances", names, [0, 1], ignore, None)
    spacing = [1.0, 1.0] if len(instances) == 1 else [1.0, 1.0, 1.0]
    weighting = Weighting(list(PLAN.class_weights), PLAN.w0, PLAN.sigma_px, spacing)
    write_weights(Store.open(folder / "r"), folder / "s.zarr", "k", weighting)
    image = Store.open(folder / "slides" / "s.ome.zarr")
    return image, Store.open(folder / "r"), Store.open(folder / "s.zarr")


def with_gaps(shape: tuple[int, int, int], *gaps: tuple[int, int, int]) -> np.ndarray:
    """Pairs of cells, each with a gap of one pixel between them at (z, y, x), 20 px long."""
    instances = np.zeros(shape, dtype=np.uint16)
    for number, (z, y, x) in enumerate(gaps):
        instances[z, y : y + 20, x - 8 : x] = 2 * number + 1
        instances[z, y : y + 20, x + 1 : x + 9] = 2 * number + 2
    return instances


def drawn(png: bytes) -> np.ndarray:
    """Pixels (y, x, 3) of a PNG."""
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


@pytest.mark.parametrize(
    ("shape", "gaps", "z", "corner"),
    [
        ((1, 600, 900), [(0, 400, 700)], 0, None),
        ((1, 600, 900), [(0, 580, 891)], 0, (344, 644)),
        ((1, 600, 900), [(0, 0, 20)], 0, (0, 0)),
        ((1, 600, 900), [(0, 10, 20), (0, 400, 600), (0, 440, 640)], 0, None),
        ((4, 300, 280), [(0, 10, 20), (2, 10, 20), (2, 250, 250)], 2, None),
    ],
)
def test_the_patch_holds_the_borders_and_stays_inside_the_picture(tmp_path, shape, gaps, z, corner):
    _, labels, store = made(tmp_path, with_gaps(shape, *gaps))
    patch = weights.choose_patch(store, labels.label_classes())
    assert patch.has_border
    assert patch.z == z
    assert [(s.start >= 0, s.stop - s.start) for s in patch.box] == [(True, 256)] * 2
    assert all(s.stop <= n for s, n in zip(patch.box, shape[1:], strict=True))
    assert corner in (None, tuple(s.start for s in patch.box))
    if shape[0] == 1:
        _, y, x = gaps[-1]
        rows, columns = patch.box
        assert rows.start <= y < y + 20 <= rows.stop
        assert columns.start <= x < columns.stop


def test_a_small_slide_is_shown_whole(tmp_path):
    _, labels, store = made(tmp_path, with_gaps((1, 70, 130), (0, 10, 20)))
    patch = weights.choose_patch(store, labels.label_classes())
    assert patch.box == (slice(0, 70), slice(0, 130))


@pytest.mark.parametrize("cells", [0, 1])
def test_without_borders_the_middle_is_shown(tmp_path, cells):
    instances = np.zeros((3, 600, 600), dtype=np.uint16)
    instances[0, :20, :20] = cells
    figure = weights.draw_figure(*made(tmp_path, instances))
    assert figure.patch == weights.Patch(1, (slice(192, 448), slice(192, 448)), False)
    assert figure.top == 0.75


def test_a_heavy_class_does_not_pass_for_a_border(tmp_path):
    instances = with_gaps((1, 600, 900), (0, 500, 800))
    instances[0, :200, :200] = 9
    _, labels, store = made(tmp_path, instances)
    rows, columns = weights.choose_patch(store, labels.label_classes()).box
    assert rows.stop > 500
    assert columns.stop > 800


@pytest.mark.parametrize("shape", [(1, 150, 200), (5, 90, 130)])
def test_borders_summed_block_by_block_are_those_of_the_whole(tmp_path, monkeypatch, shape):
    rng = np.random.default_rng(0)
    instances = rng.integers(0, 4, shape) * (rng.random(shape) < 0.1)
    _, labels, store = made(tmp_path, instances.astype(np.uint16))
    terms = store.array[:] - np.where(instances > 0, 1.5, 0.75)
    z, y, x = np.indices(shape)
    sums = np.zeros((shape[0], 3 if shape[1] > 128 else 2, 4 if shape[2] > 192 else 3))
    np.add.at(sums, (z, y // 64, x // 64), terms * 100)
    classes = labels.label_classes()
    whole = weights.border_sums(store, classes)
    np.testing.assert_allclose(whole, sums, atol=1)
    monkeypatch.setattr(layout, "PICTURE_SHARD", (1, 64, 128))
    monkeypatch.setattr(layout, "VOLUME_SHARD", (2, 64, 64))
    np.testing.assert_array_equal(weights.border_sums(store, classes), whole)


def test_of_a_huge_slide_only_some_blocks_are_read(tmp_path, monkeypatch):
    gaps = [(0, 64 * n + 20, 64 * n + 20) for n in range(4)]
    _, labels, store = made(tmp_path, with_gaps((1, 256, 256), *gaps))
    monkeypatch.setattr(layout, "PICTURE_SHARD", (1, 64, 64))
    monkeypatch.setattr(weights, "MOST_BLOCKS", 2)
    sums = weights.border_sums(store, labels.label_classes())
    assert (np.argwhere(sums) == [[0, 0, 0], [0, 3, 3]]).all()


def test_panels_are_of_one_size_and_show_cells_stripes_and_weights(tmp_path):
    instances = with_gaps((1, 128, 64), (0, 40, 30))
    instances[0, 100:] = 99
    image, labels, store = made(tmp_path, instances, channels=3, ignore=99)
    figure = weights.draw_figure(image, labels, store)
    panels = [drawn(png) for png in (figure.image, figure.labels, figure.weights)]
    assert {panel.shape for panel in panels} == {(768, 384, 3)}
    cells, weight = (panel[3::6, 3::6] for panel in panels[1:])
    left, right = cells[45, 25], cells[45, 35]
    assert tuple(left) != tuple(right)
    assert {tuple(left), tuple(right)} <= set(weights.CELLS)
    assert tuple(cells[5, 5]) == weights.GROUND
    assert {tuple(p) for p in panels[1][610:].reshape(-1, 3)} == set(weights.STRIPES)
    assert figure.has_ignored
    assert tuple(weight[120, 5]) == weights.weight_colours()[0]
    heaviest = np.unravel_index(store.array[0].argmax(), weight.shape[:2])
    assert tuple(weight[heaviest]) == weights.weight_colours()[-1]
    assert figure.top == pytest.approx(store.array[:].max())
    assert figure == weights.draw_figure(image, labels, store)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60))
def test_neighbouring_cells_differ_in_colour(seed, count):
    rng = np.random.default_rng(seed)
    numbers = np.zeros((48, 48), dtype=int)
    numbers[tuple(rng.integers(0, 48, (2, count)))] = np.arange(1, count + 1)
    near = weights.neighbours(numbers)
    colours = weights.colour_cells(near)
    assert all(colours[a] != colours[b] for a in near for b in near[a])
    assert max(colours.values(), default=0) < len(weights.CELLS)


def test_a_cell_among_many_and_cells_all_next_to_each_other_are_coloured():
    star = {0: set(range(1, 30))} | {n: {0} for n in range(1, 30)}
    assert set(weights.colour_cells(star).values()) == {0, 1}
    crowd = {a: set(range(9)) - {a} for a in range(9)}
    assert sorted(weights.colour_cells(crowd).values()) == list(range(9))
    assert weights.colour_cells({}) == {}


@pytest.mark.parametrize("top", [1e-3, 0.75, 1.0, 8.7, 10.0, 123.0])
def test_ticks_are_round_and_end_within_the_bar(top):
    ticks = weights.ticks(top)
    assert ticks[0] == (0.0, "0")
    assert 3 <= len(ticks) <= 6
    for percent, text in ticks:
        assert float(text) == pytest.approx(percent * top / 100)
        assert 0 <= percent <= 100


@pytest.mark.parametrize(("given_weights", "given_targets"), [(1, 0), (0, 1), (2, 2), (1, 2)])
def test_another_number_of_weight_maps_than_of_models_is_refused(given_weights, given_targets):
    paths = [Path("a")] * 2
    with pytest.raises(InputError, match="for 1 models; give one of each per model"):
        weights.draw_figures([MODEL], paths[:given_weights], paths[:given_targets], None)


def test_a_weight_map_of_other_labels_is_refused(tmp_path):
    made(tmp_path / "one", with_gaps((1, 64, 64), (0, 10, 20)))
    made(tmp_path / "two", with_gaps((1, 64, 64), (0, 20, 30)))
    paths = [tmp_path / "one" / "s.zarr"], [tmp_path / "two" / "r"]
    with pytest.raises(InputError, match=r"s\.zarr: is the weight map of labels .* weigh it again"):
        weights.draw_figures([MODEL], *paths, tmp_path / "one" / "slides")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"w0": 5.0}, r"has w0 10\.0, the plan of model unet 5\.0"),
        ({"sigma_um": 3.0}, r"has sigma 2\.0, the plan of model unet 3\.0"),
        ({"class_weights": (1.0, 1.0)}, "has class_weights"),
    ],
)
def test_a_weight_map_of_another_plan_is_refused(tmp_path, change, message):
    made(tmp_path, with_gaps((1, 64, 64), (0, 10, 20)))
    model = replace(MODEL, weights=replace(PLAN, **change))
    with pytest.raises(InputError, match=message):
        weights.draw_figures([model], [tmp_path / "s.zarr"], [tmp_path / "r"], None)


@pytest.mark.parametrize("slides", [None, "elsewhere"])
def test_without_the_slides_picture_there_is_no_figure(tmp_path, slides):
    made(tmp_path, with_gaps((1, 64, 64), (0, 10, 20)))
    folder = slides and tmp_path / slides
    paths = [tmp_path / "s.zarr"], [tmp_path / "r"]
    assert weights.draw_figures([MODEL], *paths, folder) == [None]
    assert weights.draw_figures([MODEL], [], [], tmp_path / "slides") == [None]


def test_labels_of_another_shape_than_the_picture_are_refused(tmp_path):
    image, *_ = made(tmp_path / "one", with_gaps((1, 64, 64), (0, 10, 20)))
    _, labels, store = made(tmp_path / "two", with_gaps((1, 64, 80), (0, 10, 20)))
    with pytest.raises(InputError, match=r"is \(1, 64, 80\) \(z, y, x\) px"):
        weights.draw_figure(image, labels, store)


def test_the_page_shows_the_figure_and_escapes_what_it_says(tmp_path):
    figure = weights.draw_figure(*made(tmp_path, with_gaps((4, 64, 80), (2, 10, 20))))
    figure = replace(figure, slide=HOSTILE, class_weights=((HOSTILE, 0.75), ("cell", 1.5)))
    model = replace(MODEL, weights=replace(PLAN, sigma_um=2.0))
    archive = Archive((Slide("s"),), ("unet",), (), ())
    html = page.render_page(archive, [model], {}, "T", None, [figure])
    text = " ".join(html.split())
    assert html.count("data:image/png") == 4
    assert "<script" not in html
    assert 'alt="Training labels of the same patch of slide &lt;script' in text
    assert "plane 3 of 4, 64 × 80 px" in text
    assert "w0&nbsp;=&nbsp;10.0" in text
    assert "sigma&nbsp;=&nbsp;2.0\u00a0µm" in html
    assert ">weight</div>" in text
    plain = page.render_page(archive, [MODEL], {}, "T", None)
    assert "data:image/png" not in plain
