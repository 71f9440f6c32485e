"""Objects made of probabilities in stages: as defined, whatever the shards, also after a kill."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from overtile.errors import InputError
from overtile.geometry import components
from overtile.objects import stages
from overtile.objects.segmentation import least_object_px, write_segmentation
from overtile.settings.segmentation import Segmenting
from overtile.stores import labels as label_stores
from overtile.stores import scratch
from overtile.stores.store import ROOT, Store
from overtile.stores.writer import StoreWriter
from overtile_workflow.settings import check_settings, check_together, load_schema, wanted_stages
from tests.examples import examples
from tests.unit import naive_objects as naive
from tests.unit.naive import LAYOUTS, use_layout


def stored(probabilities, folder, size=None, **attributes) -> Store:
    """A probability store of (c, z, y, x) in steps of 1 / 255."""
    classes = attributes.pop("classes", len(probabilities))
    writer = StoreWriter(folder, "k", "probabilities")
    writer.add_array("0", probabilities.shape, np.uint8, "czyx")
    writer.fill("0", lambda b: (probabilities[(slice(None), *b.slices)], {}), label="probabilities")
    names = ["background", *(f"class {n}" for n in range(1, classes))]
    ome = {"multiscales": [{"datasets": [{"path": "0"}]}]}
    writer.commit(ome, pixel_size_um=size, class_names=names, scale=1 / 255, **attributes)
    return Store.open(folder)


def two_classes(foreground) -> np.ndarray:
    """Probabilities (2, z, y, x) of a picture of foreground, (y, x) or (z, y, x), 0 to 255."""
    foreground = np.asarray(foreground, np.uint8)
    foreground = foreground.reshape((1,) * (3 - foreground.ndim) + foreground.shape)
    return np.stack([255 - foreground, foreground])


def test_without_seeds_settings_of_seeds_make_no_difference():
    assert Segmenting(grow_px=3, min_seed_px=2) == Segmenting()
    seeded = Segmenting(seed_threshold=0.8, grow_px=3, min_seed_px=2)
    assert (seeded.grow_px, seeded.min_seed_px) == (3, 2)


def segmented(probabilities, folder, how, **options) -> Store:
    """The label store that the step writes."""
    write_segmentation(stored(probabilities, folder / "p", **options), folder / "s", "k", how)
    return Store.open(folder / "s", "labels")


def assert_as_defined(store, probabilities, how, least_px):
    """Ids, class map and their numbers are those of the whole picture at once."""
    ids, classes = naive.segment(probabilities, how, least_px)
    np.testing.assert_array_equal(store.array[:], ids)
    np.testing.assert_array_equal(store.label_classes().array[:], classes)
    assert store.attributes["objects"] == ids.max()
    counts = np.bincount(classes.ravel(), minlength=len(probabilities)).tolist()
    assert store.label_classes().attributes["class_counts"] == counts
    left = sorted(path.name for path in store.path.iterdir())
    assert left == ["0", "classes", "journal.jsonl", ROOT]


@st.composite
def pictures(draw):
    """Random probabilities (c, z, y, x): noise or patches, with many equal values."""
    shape = draw(st.sampled_from([(1, 14, 15), (1, 9, 21), (1, 1, 30), (1, 24, 3), (4, 7, 8)]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    field = rng.standard_normal((draw(st.sampled_from([2, 2, 3, 4])), *shape))
    field = ndimage.gaussian_filter(field, (0, 0, *[draw(st.sampled_from([0, 0.7, 1.2]))] * 2))
    grown = np.exp(draw(st.sampled_from([2, 6])) * field / field.std())
    steps = draw(st.sampled_from([5, 255]))
    return np.rint(np.rint(steps * grown / grown.sum(axis=0)) * 255 / steps).astype(np.uint8)


ways = st.builds(
    Segmenting,
    threshold=st.sampled_from([None, 0.2, 0.4, 0.5]),
    seed_threshold=st.sampled_from([None, 0.6, 0.8]),
    min_seed_px=st.sampled_from([0, 1, 3]),
    grow_px=st.sampled_from([1, 2, 5, 16]),
    max_hole_px=st.sampled_from([0, 1, 3, 20]),
    border_px=st.sampled_from([0, 1, 2, 4]),
    min_object_px=st.sampled_from([0, 1, 3, 9]),
)


@given(pictures(), ways, st.sampled_from(LAYOUTS))
@settings(
    max_examples=examples(40),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_streamed_objects_equal_those_made_at_once_whatever_the_shards(
    tmp_path_factory, monkeypatch, probabilities, how, blocks
):
    whole = segmented(probabilities, tmp_path_factory.mktemp("whole"), how)
    assert_as_defined(whole, probabilities, how, how.min_object_px)
    with monkeypatch.context() as patch:
        use_layout(patch, blocks)
        pieces = segmented(probabilities, tmp_path_factory.mktemp("pieces"), how)
        assert_as_defined(pieces, probabilities, how, how.min_object_px)
    assert pieces.array[:].tobytes() == whole.array[:].tobytes()
    assert pieces.array.dtype == whole.array.dtype == np.uint32


def spiral(edge):
    """A line of one pixel that winds inwards with gaps of one pixel."""
    picture = np.zeros((edge, edge), np.uint8)
    y, x, step = 0, 0, 0
    for length in [edge - 1, *(n for n in range(edge - 1, 0, -2) for _ in range(2))]:
        dy, dx = [(0, 1), (1, 0), (0, -1), (-1, 0)][step % 4]
        for _ in range(length + 1):
            picture[y, x] = 1
            y, x = y + dy, x + dx
        y, x, step = y - dy, x - dx, step + 1
    return picture


@pytest.mark.parametrize("blocks", LAYOUTS)
@pytest.mark.parametrize("most_hole_px", [0, 1])
def test_a_spiral_through_all_blocks_is_one_object(tmp_path, monkeypatch, blocks, most_hole_px):
    use_layout(monkeypatch, blocks)
    line = spiral(21)
    assert ndimage.label(line)[1] == 1
    store = segmented(two_classes(200 * line), tmp_path, Segmenting(max_hole_px=most_hole_px))
    np.testing.assert_array_equal(store.array[0], line)
    assert store.attributes["objects"] == 1


@pytest.mark.parametrize("blocks", LAYOUTS)
def test_a_seed_grows_along_a_spiral_over_all_blocks_as_far_as_it_may(
    tmp_path, monkeypatch, blocks
):
    use_layout(monkeypatch, blocks)
    line = spiral(15)
    foreground = 150 * line
    foreground[0, 0] = 250
    for grow_px in (20, 999):
        how = Segmenting(threshold=0.5, seed_threshold=0.9, grow_px=grow_px)
        store = segmented(two_classes(foreground), tmp_path / str(grow_px), how)
        assert (store.array[:] > 0).sum() == min(grow_px + 1, line.sum())
        assert_as_defined(store, two_classes(foreground), how, 0)


@pytest.mark.parametrize("blocks", LAYOUTS)
def test_objects_holes_and_gaps_over_the_corners_of_blocks(tmp_path, monkeypatch, blocks):
    use_layout(monkeypatch, blocks)
    foreground = np.full((16, 20), 250)
    foreground[4:6, 3:5] = foreground[9:13, 7:9] = foreground[0, 8] = 0
    foreground[:, 11:13] = 0
    foreground[3:9, 15:17] = 0
    how = Segmenting(seed_threshold=0.7, max_hole_px=8, border_px=2)
    store = segmented(two_classes(foreground), tmp_path, how)
    expected = np.where(np.arange(20) < 12, 1, 2) * np.ones((16, 1))
    expected[0, 8], expected[3:9, 15:17] = 0, 0
    np.testing.assert_array_equal(store.array[0], expected)
    assert_as_defined(store, two_classes(foreground), how, 0)


def test_a_hole_gets_the_class_of_its_object_and_so_does_a_gap(tmp_path):
    probabilities = np.zeros((3, 1, 5, 9), np.uint8)
    probabilities[2, 0, :, :4], probabilities[1, 0, :, 5:] = 255, 255
    probabilities[2, 0, 2, 1] = 0
    probabilities[0] = 255 - probabilities[1:].max(axis=0)
    store = segmented(probabilities, tmp_path, Segmenting(max_hole_px=1, border_px=1))
    np.testing.assert_array_equal(store.label_classes().array[0], [[2] * 5 + [1] * 4] * 5)
    np.testing.assert_array_equal(store.array[0], [[1] * 5 + [2] * 4] * 5)


def test_seeds_stay_within_their_class_and_what_they_do_not_reach_becomes_background(tmp_path):
    probabilities = np.zeros((3, 1, 1, 6), np.uint8)
    probabilities[1, 0, 0] = [250, 150, 20, 20, 0, 150]
    probabilities[2, 0, 0] = [0, 0, 150, 230, 0, 0]
    probabilities[0] = 255 - probabilities[1] - probabilities[2]
    store = segmented(probabilities, tmp_path, Segmenting(threshold=0.5, seed_threshold=0.95))
    assert store.array[0, 0].tolist() == [1, 1, 2, 2, 0, 0]
    assert store.label_classes().array[0, 0].tolist() == [1, 1, 2, 2, 0, 0]


def test_a_threshold_that_is_just_reached_is_reached(tmp_path):
    for number, threshold in enumerate([0.2, 0.6, 1 / 3, 0.1, 0.999]):
        foreground = np.arange(256)
        how = Segmenting(threshold=threshold)
        store = segmented(two_classes([foreground]), tmp_path / str(number), how)
        expected = foreground / 255 >= threshold
        np.testing.assert_array_equal(store.label_classes().array[0, 0], expected)


def test_with_a_threshold_the_class_is_the_most_probable_of_the_foreground(tmp_path):
    probabilities = np.array([[120, 160, 100], [60, 40, 78], [75, 55, 77]], np.uint8)
    store = segmented(probabilities[:, None, None], tmp_path, Segmenting(threshold=0.5))
    assert store.label_classes().array[0, 0].tolist() == [2, 0, 1]


@pytest.mark.parametrize("blocks", LAYOUTS)
def test_the_least_size_counts_final_pixels(tmp_path, monkeypatch, blocks):
    use_layout(monkeypatch, blocks)
    foreground = np.zeros((12, 14))
    foreground[3:8, 3:8] = 250  # 25 px, one of which is a hole
    foreground[5, 5] = 0
    foreground[10, 2:10] = 250
    for least in (24, 25, 26):
        how = Segmenting(max_hole_px=1, min_object_px=least)
        store = segmented(two_classes(foreground), tmp_path / str(least), how)
        assert store.attributes["objects"] == (least < 26)
        assert_as_defined(store, two_classes(foreground), how, least)


@pytest.mark.parametrize(
    ("shape", "size", "least_um", "least_px"),
    [
        ((1, 6, 6), (9.0, 0.1, 0.1), 0.07, 7),
        ((1, 6, 6), (9.0, 0.5, 0.02), 0.07, 7),
        ((1, 6, 6), (9.0, 0.1, 0.1), 0.0701, 8),
        ((1, 6, 6), (None, 0.5, 0.25), 1.0, 8),
        ((2, 6, 6), (2.0, 0.5, 0.25), 1.0, 4),
        ((2, 6, 6), (2.0, 0.5, 0.25), 0.25, 3),
    ],
)
def test_a_least_size_in_micrometres_is_an_area_or_a_volume(
    tmp_path, shape, size, least_um, least_px
):
    foreground = np.zeros(shape)
    for length in range(1, 7):
        foreground[0, length - 1, :length] = 250 * (length % 2)
    size = tuple(edge or 1.0 for edge in size)
    how = Segmenting(min_object_um=least_um, min_object_px=3)
    store = stored(two_classes(foreground), tmp_path / "p", size)
    assert least_object_px(store, how) == least_px
    write_segmentation(store, tmp_path / "s", "k", how)
    assert_as_defined(Store.open(tmp_path / "s"), two_classes(foreground), how, least_px)


@pytest.mark.parametrize("how", [{}, {"min_object_px": 2}, {"seed_threshold": 0.5, "border_px": 1}])
def test_ids_are_of_eight_bytes_where_four_are_not_enough(tmp_path, monkeypatch, how):
    foreground = np.zeros((6, 9))
    foreground[::2, ::3] = 250
    foreground[::2, 1::3] = 240
    few = segmented(two_classes(foreground), tmp_path / "few", Segmenting(**how))
    use_layout(monkeypatch, LAYOUTS[0])
    for most, dtype in ((8, np.uint64), (9, np.uint32)):
        monkeypatch.setattr(components, "SMALL_IDS", most)
        store = segmented(two_classes(foreground), tmp_path / str(most), Segmenting(**how))
        assert store.array.dtype == dtype
        assert few.attributes["objects"] == store.attributes["objects"] == 9
        np.testing.assert_array_equal(store.array[:], few.array[:])


class KilledError(Exception):
    """Stands for a job that dies."""


def count_calls(patch, module, name, killed_after=None):
    """Note each call of a function of a module, and let the job die after some."""
    calls, function = [], getattr(module, name)

    def noted(*arguments, **options):
        if len(calls) == killed_after:
            raise KilledError
        calls.append(name)
        return function(*arguments, **options)

    patch.setattr(module, name, noted)
    return calls


ALL = Segmenting(0.4, 0.6, 2, 3, 4, 2, 3)
STAGES = [(stages, "flood"), (stages, "label_background"), (stages, "close_gaps")]


def files(folder):
    """All of a store's files but the journals, whose order of blocks is free."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(p.relative_to(folder)): p.read_bytes() for p in found if p.suffix != ".jsonl"}


def wide_picture() -> np.ndarray:
    field = ndimage.gaussian_filter(np.random.default_rng(2).standard_normal((20, 24)), 1.5)
    return two_classes(255 / (1 + np.exp(-3 * field / field.std())))


@pytest.mark.parametrize(("at", "killed_after"), [(0, 0), (0, 5), (1, 5), (2, 11)])
def test_a_killed_job_goes_on_where_it_stopped_and_writes_the_same_bytes(
    tmp_path, monkeypatch, at, killed_after
):
    use_layout(monkeypatch, LAYOUTS[0])
    probabilities = stored(wide_picture(), tmp_path / "p")
    write_segmentation(probabilities, tmp_path / "one" / "s", "k", ALL)
    with monkeypatch.context() as patch:
        before = [count_calls(patch, *stage) for stage in STAGES[:at]]
        first = count_calls(patch, *STAGES[at], killed_after)
        with pytest.raises(KilledError):
            write_segmentation(probabilities, tmp_path / "two" / "s", "k", ALL)
    with pytest.raises(InputError, match="no finished store"):
        Store.open(tmp_path / "two" / "s")
    assert (tmp_path / "two" / "s" / scratch.NAME).is_dir()
    assert not (tmp_path / "two" / "s" / scratch.NAME / ROOT).exists()
    again = [count_calls(monkeypatch, *stage) for stage in STAGES]
    stitched = count_calls(monkeypatch, label_stores, "Stitcher")
    write_segmentation(probabilities, tmp_path / "two" / "s", "k", ALL)
    assert all(len(calls) == 12 for calls in before)
    assert [len(calls) for calls in again[:at]] == [0] * at
    assert len(first) + len(again[at]) == 12
    assert stitched == []
    assert files(tmp_path / "one" / "s") == files(tmp_path / "two" / "s")


@pytest.mark.parametrize("how", [Segmenting(min_object_px=2), ALL])
@pytest.mark.parametrize("killed_at", ["classes", "objects", "commit"])
def test_a_job_killed_while_it_writes_labels_ends_with_the_same_bytes(
    tmp_path, monkeypatch, how, killed_at
):
    use_layout(monkeypatch, LAYOUTS[0])
    probabilities = stored(wide_picture(), tmp_path / "p")
    write_segmentation(probabilities, tmp_path / "one" / "s", "k", how)
    with monkeypatch.context() as patch:
        if killed_at == "commit":
            count_calls(patch, label_stores, "_commit_objects", 0)
        else:
            fill = StoreWriter.fill

            def dies(self, name, compute, label, **more):
                calls = []

                def some(block):
                    calls.append(block)
                    if label == killed_at and len(calls) == 4:
                        raise KilledError
                    return compute(block)

                fill(self, name, some, label=label, **more)

            patch.setattr(StoreWriter, "fill", dies)
        with pytest.raises(KilledError):
            write_segmentation(probabilities, tmp_path / "two" / "s", "k", how)
    write_segmentation(probabilities, tmp_path / "two" / "s", "k", how)
    assert files(tmp_path / "one" / "s") == files(tmp_path / "two" / "s")


@pytest.mark.parametrize("how", [Segmenting(), Segmenting(min_object_px=2), ALL])
def test_a_finished_store_is_made_again_without_computing(tmp_path, monkeypatch, how):
    use_layout(monkeypatch, LAYOUTS[0])
    probabilities = stored(wide_picture(), tmp_path / "p")
    write_segmentation(probabilities, tmp_path / "s", "k", how)
    before = files(tmp_path / "s")
    (tmp_path / "s" / ROOT).unlink()
    stitched = count_calls(monkeypatch, label_stores, "Stitcher")
    flooded = count_calls(monkeypatch, stages, "flood")
    write_segmentation(probabilities, tmp_path / "s", "k", how)
    assert files(tmp_path / "s") == before
    assert stitched == flooded == []


def test_another_key_leaves_nothing_of_the_stages_of_a_killed_job(tmp_path, monkeypatch):
    use_layout(monkeypatch, LAYOUTS[0])
    probabilities = stored(wide_picture(), tmp_path / "p")
    for number, how in enumerate([ALL, Segmenting(border_px=2), Segmenting()]):
        with monkeypatch.context() as patch:
            count_calls(patch, stages, "close_gaps", 3)
            with pytest.raises(KilledError):
                write_segmentation(probabilities, tmp_path / "two" / "s", "killed", ALL)
        write_segmentation(probabilities, tmp_path / "two" / "s", f"key {number}", how)
        write_segmentation(probabilities, tmp_path / str(number) / "s", "k", how)
        assert files(tmp_path / "two" / "s") == files(tmp_path / str(number) / "s")


def test_the_plain_way_takes_no_stages_and_reads_pixels_twice(tmp_path, monkeypatch):
    stages = count_calls(monkeypatch, scratch, "Scratch")
    labelled = count_calls(monkeypatch, label_stores, "label_block")
    segmented(wide_picture(), tmp_path, Segmenting(threshold=0.4))
    assert stages == []
    assert len(labelled) == 2


def test_a_folder_of_somebody_is_left_alone(tmp_path):
    mine = tmp_path / "s" / scratch.NAME / "thesis.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("precious")
    probabilities = stored(wide_picture(), tmp_path / "p")
    with pytest.raises(InputError, match="has files that do not belong to a store"):
        write_segmentation(probabilities, tmp_path / "s", "k", ALL)
    write_segmentation(probabilities, tmp_path / "s", "k", Segmenting())
    assert mine.read_text() == "precious"


def test_more_channels_than_classes_are_left_out(tmp_path):
    more = np.concatenate([wide_picture(), np.full((1, 1, 20, 24), 255, np.uint8)])
    for number, how in enumerate([Segmenting(), Segmenting(threshold=0.4), ALL]):
        store = segmented(more, tmp_path / str(number), how, classes=2)
        assert_as_defined(store, wide_picture(), how, how.min_object_px)


def test_stored_classes_are_taken_as_they_are_and_know_no_thresholds(tmp_path):
    classes = naive.class_map(wide_picture(), None)[None]
    store = stored(classes, tmp_path / "p", classes=2, wanted={"keep": "classes"})
    how = Segmenting(max_hole_px=5, border_px=2, min_object_px=4)
    write_segmentation(store, tmp_path / "s", "k", how)
    assert_as_defined(Store.open(tmp_path / "s"), wide_picture(), how, 4)
    for needs in ({"threshold": 0.5}, {"seed_threshold": 0.5}):
        with pytest.raises(InputError, match=f"{tmp_path / 'p'}: holds classes without") as refused:
            write_segmentation(store, tmp_path / "other", "k", Segmenting(**needs))
        assert "\n" not in str(refused.value)
        assert not (tmp_path / "other").exists()


def test_what_does_not_fit_is_refused_in_one_line_before_anything_is_written(tmp_path):
    store = stored(wide_picture(), tmp_path / "p")
    refusals = [
        ({"threshold": 0.5, "seed_threshold": 0.5}, "--seed-threshold: is 0.5, but --thresh"),
        ({"min_object_um": 3.0}, f"{tmp_path / 'p'}: has no pixel size"),
    ]
    for values, message in refusals:
        with pytest.raises(InputError, match=message) as refused:
            write_segmentation(store, tmp_path / "s", "k", Segmenting(**values))
        assert "\n" not in str(refused.value)
        assert not (tmp_path / "s").exists()


SCHEMA = load_schema(
    Path(__file__).resolve().parents[3] / "workflow" / "schemas" / "config.schema.yaml"
)
LEAST = "{slides: s.tsv, labels: {kind: binary}, models: {unet: {}}}"


def test_workflow_script_and_library_have_the_same_defaults():
    workflow = check_settings(yaml.safe_load(LEAST), SCHEMA, "config.yaml")["segmentation"]
    assert workflow == asdict(Segmenting())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "segmentation: {threshold: 0.6, seed_threshold: 0.6}",
            "config.yaml: segmentation.seed_threshold: is 0.6, but segmentation.threshold is 0.6;",
        ),
        (
            "segmentation: {threshold: 0.6}, prediction: {keep: classes}",
            "config.yaml: prediction.keep: is 'classes', but segmentation has a threshold",
        ),
        (
            "segmentation: {seed_threshold: 0.6}, prediction: {keep: classes}",
            "config.yaml: prediction.keep: is 'classes', but segmentation has a threshold",
        ),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(change, message):
    text = LEAST.replace("models", f"{change}, models")
    values = check_settings(yaml.safe_load(text), SCHEMA, "config.yaml")
    with pytest.raises(ValueError, match=message) as refused:
        check_together(values, "config.yaml")
    assert "\n" not in str(refused.value)


def test_a_seed_threshold_alone_or_above_the_threshold_is_allowed():
    for change in ("seed_threshold: 0.1", "seed_threshold: 0.7, threshold: 0.6"):
        text = LEAST.replace("models", f"segmentation: {{{change}}}, models")
        check_together(check_settings(yaml.safe_load(text), SCHEMA, "config.yaml"), "config.yaml")


@pytest.mark.parametrize("seed_threshold", [None, 0.7])
@pytest.mark.parametrize("max_hole_px", [0, 1])
@pytest.mark.parametrize("border_px", [0, 1])
def test_rules_know_the_stages_that_a_segmentation_has(seed_threshold, max_hole_px, border_px):
    settings = Segmenting(None, seed_threshold, max_hole_px=max_hole_px, border_px=border_px)
    assert wanted_stages(vars(settings)) == settings.stages
