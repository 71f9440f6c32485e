"""Scores by hand, against scikit-image, and the same however the picture is cut."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.metrics import adapted_rand_error, variation_of_information

from overtile.errors import InputError
from overtile.geometry.components import IGNORE
from overtile.geometry.spans import plan_blocks
from overtile.metrics.compare import compare
from overtile.metrics.counts import Agreement
from overtile.metrics.metric import Comparison
from overtile.metrics.objects import object_scores
from overtile.metrics.overlap import class_scores
from overtile.metrics.partitions import partition_scores
from overtile.metrics.score_files import measure_all
from tests.examples import examples

NAMES = ["background", "cell"]


def agree(reference, segmented, reference_classes=None, segmented_classes=None) -> Agreement:
    """Counts of two pictures of ids; every object is a cell unless classes are given."""
    reference, segmented = np.asarray(reference), np.asarray(segmented)
    classes = [
        (ids > 0).astype(np.uint8) if given_ is None else np.asarray(given_, dtype=np.uint8)
        for ids, given_ in ((reference, reference_classes), (segmented, segmented_classes))
    ]
    agreement = Agreement(max(2, *(int(c[c != IGNORE].max(initial=0)) + 1 for c in classes)))
    agreement.add(reference, classes[0], segmented, classes[1])
    return agreement


def objects(reference, segmented, threshold=0.5):
    return object_scores(agree(reference, segmented).pairs, threshold)


def test_dice_and_iou_by_hand():
    reference = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    segmented = np.array([[0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    agreement = agree(reference, segmented)
    np.testing.assert_array_equal(agreement.confusion, [[10, 2], [2, 2]])
    scores = class_scores(agreement.confusion, NAMES)
    assert scores["cell"]["dice"] == pytest.approx(2 * 2 / (4 + 4))
    assert scores["cell"]["iou"] == pytest.approx(2 / 6)
    assert scores["background"]["dice"] == pytest.approx(2 * 10 / (12 + 12))
    assert scores["background"]["iou"] == pytest.approx(10 / 14)
    assert (scores["cell"]["reference_px"], scores["cell"]["segmented_px"]) == (4, 4)
    assert measure_all(Comparison(agreement, NAMES, 0.5))["pixel_error"] == pytest.approx(4 / 16)


def test_three_classes_by_hand():
    reference = np.array([[0, 1, 1, 2], [0, 1, 1, 2], [0, 0, 2, 2], [0, 0, 2, 2]])
    segmented = np.array([[0, 1, 2, 2], [0, 1, 2, 2], [0, 0, 2, 2], [1, 0, 2, 2]])
    confusion = agree(reference, segmented, reference, segmented).confusion
    np.testing.assert_array_equal(confusion, [[5, 1, 0], [0, 2, 2], [0, 0, 6]])
    scores = class_scores(confusion, ["background", "a", "b"])
    assert [scores[n]["iou"] for n in scores] == pytest.approx([5 / 6, 2 / 5, 6 / 8])
    assert [scores[n]["dice"] for n in scores] == pytest.approx([10 / 11, 4 / 7, 12 / 14])


def test_a_class_in_neither_picture_has_no_score():
    scores = class_scores(agree([[0, 0]], [[0, 0]]).confusion, NAMES)
    assert scores["cell"]["dice"] is None
    assert scores["cell"]["iou"] is None
    assert scores["background"]["dice"] == 1


@pytest.mark.parametrize("ignored_in", ["reference", "segmentation"])
def test_ignored_pixels_count_nowhere(ignored_in):
    ignored = [[0, 1, IGNORE, IGNORE]]
    plain = [[0, 1, 0, 1]]
    classes = (ignored, plain) if ignored_in == "reference" else (plain, ignored)
    agreement = agree([[0, 1, 0, 0]], [[0, 1, 0, 2]], *classes)
    scores = measure_all(Comparison(agreement, NAMES, 0.5))
    assert (scores["pixels"], scores["ignored_px"], scores["pixel_error"]) == (2, 2, 0)
    assert (scores["objects"]["segmented"], scores["objects"]["f1"]) == (1, 1)


IDS = arrays(np.uint16, (2, 6, 7), elements=st.integers(0, 4))


@given(IDS, IDS, st.tuples(*[st.integers(1, 7)] * 3))
@settings(max_examples=examples(80), deadline=None)
def test_any_cut_into_blocks_gives_the_same_scores(reference, segmented, edge):
    whole = agree(reference, segmented)
    pieces = Agreement(2)
    for block in plan_blocks(reference.shape, edge):
        ids = reference[block.slices], segmented[block.slices]
        pieces.add(ids[0], ids[0] > 0, ids[1], ids[1] > 0)
    for threshold in (0.2, 0.5):
        assert measure_all(Comparison(pieces, NAMES, threshold)) == measure_all(
            Comparison(whole, NAMES, threshold)
        )


def allowed_matches(reference, segmented, threshold) -> dict[int, list[int]]:
    """For each reference object that overlaps one enough, the segmented objects that do."""
    allowed: dict[int, list[int]] = {}
    for r in set(np.unique(reference)) - {0}:
        for s in set(np.unique(segmented)) - {0}:
            a, b = reference == r, segmented == s
            if (a & b).sum() / (a | b).sum() >= threshold:
                allowed.setdefault(r, []).append(s)
    return allowed


def slow_matches(reference, segmented, threshold) -> int:
    """The most one-to-one matches, by trying every choice."""
    allowed = allowed_matches(reference, segmented, threshold)

    def best(rows, taken):
        if not rows:
            return 0
        chances = [best(rows[1:], taken)]
        chances += [1 + best(rows[1:], taken | {s}) for s in allowed[rows[0]] if s not in taken]
        return max(chances)

    return best(list(allowed), frozenset())


@given(IDS, IDS, st.sampled_from([0.05, 0.1, 0.2, 0.3, 0.5, 0.55, 0.8, 1.0]))
@settings(max_examples=examples(100), deadline=None)
def test_as_many_objects_match_one_to_one_as_can(reference, segmented, threshold):
    scores = objects(reference, segmented, threshold)
    found = slow_matches(reference, segmented, threshold)
    assert scores["matched"] == found
    counts = scores["reference"], scores["segmented"]
    assert counts == tuple(len(set(np.unique(a)) - {0}) for a in (reference, segmented))
    if sum(counts):
        assert scores["f1"] == pytest.approx(2 * found / sum(counts))


def test_no_object_in_either_picture_has_no_f1():
    scores = objects([[0, 0]], [[0, 0]])
    assert (scores["f1"], scores["precision"], scores["recall"]) == (None, None, None)


def test_objects_in_only_one_picture_have_an_f1_of_0():
    missed = objects([[1, 0]], [[0, 0]])
    assert (missed["f1"], missed["precision"], missed["recall"]) == (0, None, 0)
    invented = objects([[0, 0]], [[1, 0]])
    assert (invented["f1"], invented["precision"], invented["recall"]) == (0, 0, None)


def test_equal_pictures_score_full_whatever_the_numbers():
    scores = measure_all(Comparison(agree([[1, 1, 0, 2]], [[9, 9, 0, 4]]), NAMES, 1.0))
    assert scores["objects"]["f1"] == 1
    assert scores["rand"] == {"f1": 1, "split": 1, "merge": 1}
    assert scores["information"] == {"f1": 1, "splits_bits": 0, "merges_bits": 0}


def test_merged_cells_lose_one_and_match_the_larger():
    scores = objects([[1, 1, 1, 2]], [[5, 5, 5, 5]])
    assert (scores["matched"], scores["precision"], scores["recall"]) == (1, 1, 0.5)
    assert scores["f1"] == pytest.approx(2 / 3)


def test_a_split_cell_adds_one():
    scores = objects([[1, 1, 1, 1]], [[5, 5, 5, 6]])
    assert (scores["matched"], scores["precision"], scores["recall"]) == (1, 0.5, 1)


def test_below_half_a_segment_still_matches_only_one_cell():
    reference, segmented = [[1, 1, 1, 2, 2, 2]], [[5, 5, 5, 5, 5, 5]]
    assert objects(reference, segmented, 0.5)["matched"] == 1
    assert objects(reference, segmented, 0.3)["matched"] == 1


def test_below_half_a_match_gives_way_where_that_makes_more_matches():
    # Cell 1 could take either segment, cell 2 only segment 6: both are matched.
    reference, segmented = [[1, 1, 1, 1, 2, 2]], [[5, 5, 6, 6, 6, 6]]
    assert objects(reference, segmented, 0.3)["matched"] == 2


def test_two_cells_in_one_segment_are_one_match_whatever_else_is_split():
    reference, segmented = [[1, 1, 2, 2, 3, 3]], [[5, 5, 5, 5, 6, 7]]
    assert objects(reference, segmented, 0.3)["matched"] == 2


@pytest.mark.parametrize(("both", "union"), [(11, 20), (7, 10), (3, 10), (14, 25), (1, 3)])
def test_an_overlap_of_exactly_the_threshold_matches(both, union):
    reference = np.ones((1, union), dtype=int)
    segmented = np.where(np.arange(union) < both, 1, 0)[None]
    assert objects(reference, segmented, both / union)["matched"] == 1
    assert objects(reference, segmented, np.nextafter(both / union, 1))["matched"] == 0


def test_objects_match_only_within_their_class():
    agreement = agree([[1, 1, 0]], [[1, 1, 0]], [[1, 1, 0]], [[2, 2, 0]])
    assert object_scores(agreement.pairs, 0.5)["matched"] == 0


def test_large_ids_are_told_apart():
    large = np.array([[2**32 + 1, 1, 2**63]], dtype=np.uint64)
    assert objects(large, large)["matched"] == 3


@given(IDS, IDS)
@settings(max_examples=examples(80), deadline=None)
def test_rand_scores_are_those_of_scikit_image(reference, segmented):
    scores = partition_scores(agree(reference, segmented).pairs)["rand"]
    if not reference.any():
        assert scores is None
        return
    with np.errstate(invalid="ignore"):
        error, split, merge = adapted_rand_error(reference, segmented, ignore_labels=(0,))
    if not np.isnan([error, split, merge]).any():
        expected = {"f1": 1 - error, "split": split, "merge": merge}
        assert scores == pytest.approx(expected)
    assert all(0 <= value <= 1 for value in scores.values())


@given(IDS, IDS)
@settings(max_examples=examples(80), deadline=None)
def test_information_scores_are_those_of_scikit_image(reference, segmented):
    scores = partition_scores(agree(reference, segmented).pairs)["information"]
    inside = reference > 0
    if not inside.any():
        assert scores is None
        return
    splits, merges = variation_of_information(reference[inside], segmented[inside])
    assert scores["splits_bits"] == pytest.approx(splits, abs=1e-9)
    assert scores["merges_bits"] == pytest.approx(merges, abs=1e-9)
    assert -1e-9 <= scores["f1"] <= 1 + 1e-9


def test_splits_and_merges_go_to_their_own_names():
    whole, halves = [[1, 1, 1, 1]], [[1, 1, 2, 2]]
    split = partition_scores(agree(whole, halves).pairs)
    merged = partition_scores(agree(halves, whole).pairs)
    assert (split["information"]["splits_bits"], split["information"]["merges_bits"]) == (1, 0)
    assert (merged["information"]["splits_bits"], merged["information"]["merges_bits"]) == (0, 1)
    assert split["rand"]["split"] < 1 == split["rand"]["merge"]
    assert merged["rand"]["merge"] < 1 == merged["rand"]["split"]


def test_information_of_two_halves_by_hand():
    # Two cells of 2 px; a quarter of the pixels is on the wrong side of the cut.
    scores = partition_scores(agree([[1, 1, 2, 2]], [[1, 2, 2, 2]]).pairs)["information"]
    h_reference, h_segmented = 1.0, -(0.25 * np.log2(0.25) + 0.75 * np.log2(0.75))
    h_both = -(2 * 0.25 * np.log2(0.25) + 0.5 * np.log2(0.5))
    shared = h_reference + h_segmented - h_both
    assert scores["f1"] == pytest.approx(2 * shared / (h_reference + h_segmented))


def test_objects_of_single_pixels_that_agree_score_full():
    scores = partition_scores(agree([[1, 2, 3]], [[1, 2, 3]]).pairs)
    assert scores["information"]["f1"] == pytest.approx(1)
    assert scores["rand"]["f1"] == pytest.approx(1)


def test_a_shifted_real_mask_scores_as_scikit_image_says(data):
    import tifffile

    path = sorted((data / "nuclei_dsb2018" / "fluo" / "label").iterdir())[0]
    reference = tifffile.imread(path)
    segmented = np.roll(reference, (2, 3), axis=(0, 1))
    scores = measure_all(Comparison(agree(reference, segmented), NAMES, 0.5))
    error, split, merge = adapted_rand_error(reference, segmented, ignore_labels=(0,))
    expected = {"f1": 1 - error, "split": split, "merge": merge}
    assert scores["rand"] == pytest.approx(expected)
    a, b = reference > 0, segmented > 0
    assert scores["classes"]["cell"]["iou"] == pytest.approx((a & b).sum() / (a | b).sum())
    pairs = allowed_matches(reference, segmented, 0.5)
    assert scores["objects"]["matched"] == len(pairs) > 0
    assert len({s for found in pairs.values() for s in found}) == len(pairs)


def store_of(labels, folder, names=NAMES, kind="semantic"):
    """A label store of an array (y, x) or (z, y, x) of classes."""
    from pathlib import Path

    from overtile.ingest.references import write_reference
    from overtile.readers.raw import RawImage
    from overtile.stores.store import Store

    pixels = np.asarray(labels)
    order = (None, *((None, 0, 1) if pixels.ndim == 2 else (0, 1, 2)))
    raw = RawImage(Path("made.tif"), pixels, order, None)
    write_reference(raw, folder, "k", kind, names, list(range(len(names))), None, None)
    return Store.open(folder)


def test_stores_are_compared_as_their_pixels_are(tmp_path, monkeypatch):
    from overtile.stores import layout

    monkeypatch.setattr(layout, "PICTURE_CHUNK", (1, 4, 4))
    monkeypatch.setattr(layout, "PICTURE_SHARD", (1, 4, 4))
    rng = np.random.default_rng(0)
    one, two = (rng.integers(0, 2, (10, 9)).astype(np.uint8) for _ in range(2))
    stores = store_of(one, tmp_path / "a"), store_of(two, tmp_path / "b")
    scores = compare(*stores, 0.3)
    ids = [store.array[0] for store in stores]
    expected = measure_all(Comparison(agree(*ids), NAMES, 0.3))
    digests = {"reference": stores[0].digest, "segmentation": stores[1].digest}
    assert scores == digests | expected


@pytest.mark.parametrize("shape", [(40, 37), (20, 12, 13)])
def test_large_shards_are_counted_in_smaller_blocks(tmp_path, monkeypatch, shape):
    from overtile.metrics import compare as module

    rng = np.random.default_rng(0)
    one, two = (rng.integers(0, 2, shape).astype(np.uint8) for _ in range(2))
    stores = store_of(one, tmp_path / "a"), store_of(two, tmp_path / "b")
    whole = compare(*stores, 0.3)
    sizes = []
    add = Agreement.add
    monkeypatch.setattr(module, "LARGEST_BLOCK", {"picture": (1, 16, 16), "volume": (4, 8, 8)})
    monkeypatch.setattr(Agreement, "add", lambda *a: (sizes.append(a[1].size), add(*a)))
    pieces = compare(*stores, 0.3)
    assert max(sizes) == 256
    assert pieces == whole


def test_pictures_of_two_shapes_or_two_sets_of_classes_are_refused_by_name(tmp_path):
    plain = store_of(np.ones((3, 4), np.uint8), tmp_path / "a")
    wide = store_of(np.ones((3, 5), np.uint8), tmp_path / "b")
    three = store_of(np.ones((3, 4), np.uint8), tmp_path / "c", ["background", "x", "y"])
    with pytest.raises(InputError, match=rf"{tmp_path}/b: is \(1, 3, 5\).*\(1, 3, 4\)"):
        compare(plain, wide, 0.5)
    with pytest.raises(InputError, match=f"{tmp_path}/c: has classes .*'x', 'y'"):
        compare(plain, three, 0.5)


THREE = ["background", "nucleus", "cell"]
DIGESTS = ("reference", "segmentation")


def scores_of(reference, segmentation) -> dict:
    """Scores of two stores, without their digests."""
    return {k: v for k, v in compare(reference, segmentation, 0.5).items() if k not in DIGESTS}


def test_classes_are_the_same_where_their_names_are_whatever_their_order(tmp_path):
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 3, (9, 8)).astype(np.uint8)
    found = np.where(rng.random(classes.shape) < 0.8, classes, 0).astype(np.uint8)
    turned = np.array([0, 2, 1], dtype=np.uint8)
    reference = store_of(classes, tmp_path / "a", THREE)
    same = store_of(found, tmp_path / "b", THREE)
    other = store_of(turned[found], tmp_path / "c", ["background", "cell", "nucleus"])
    scores = scores_of(reference, other)
    assert scores == scores_of(reference, same)
    assert list(scores["classes"]) == THREE
    assert scores_of(other, other)["pixel_error"] == 0
    swapped = store_of(turned[classes], tmp_path / "d", ["background", "cell", "nucleus"])
    assert scores_of(reference, swapped)["objects"]["f1"] == 1
    assert {c["dice"] for c in scores_of(reference, swapped)["classes"].values()} == {1}


@pytest.mark.parametrize(
    ("names", "line"),
    [
        (["background", "nucleus", "cells"], "has classes .*'cells'.*reference {a} has .*'cell'"),
        (["background", "nucleus"], "has classes .*'nucleus'.*reference {a} has .*'cell'"),
        (["cell", "nucleus", "background"], "has classes .*the first class is the background"),
        (["background", "cell", "cell"], "has classes .*; more than one is called cell"),
    ],
)
def test_other_names_of_classes_are_refused_in_one_line(tmp_path, names, line):
    reference = store_of(np.ones((3, 4), np.uint8), tmp_path / "a", THREE)
    other = store_of(np.ones((3, 4), np.uint8), tmp_path / "b", names)
    with pytest.raises(InputError, match=f"^{tmp_path}/b: {line.format(a=tmp_path / 'a')}"):
        compare(reference, other, 0.5)


def test_a_plain_picture_of_two_classes_has_those_of_the_other(tmp_path):
    import tifffile

    from overtile.ingest.label_files import open_labels

    classes = np.array([[0, 1, 1, 0, 1]], dtype=np.uint8)
    tifffile.imwrite(tmp_path / "plain.tif", classes)
    store = store_of(classes, tmp_path / "a", ["membrane", "cell"])
    three = store_of(classes, tmp_path / "b", THREE)
    with open_labels(tmp_path / "plain.tif", "binary") as plain:
        assert list(scores_of(store, plain)["classes"]) == ["membrane", "cell"]
        assert list(scores_of(plain, store)["classes"]) == ["background", "foreground"]
        assert scores_of(plain, store)["objects"]["f1"] == 1
        with pytest.raises(InputError, match=rf"^{tmp_path}/plain.tif: has classes .*foreground"):
            compare(three, plain, 0.5)


def test_a_pixel_of_a_class_without_a_name_is_refused(tmp_path):
    import json

    from overtile.stores.root import read_root, sealed_root

    store = store_of(np.array([[0, 1, 2]], np.uint8), tmp_path / "a", THREE)
    folder = tmp_path / "a" / "classes"
    root = read_root(folder)
    odd = sealed_root(root.ome, root.own | {"class_names": NAMES}, root.arrays)
    (folder / "zarr.json").write_text(json.dumps(odd))
    with pytest.raises(InputError, match=rf"^{tmp_path}/a: has pixels of class 2, but only 2"):
        compare(store, store, 0.5)


@pytest.mark.parametrize("lost", ["0", "classes/0"])
@pytest.mark.parametrize("side", [0, 1])
def test_labels_with_a_lost_file_have_no_score(tmp_path, lost, side):
    pixels = np.array([[0, 1, 1]], np.uint8)
    stores = [store_of(pixels, tmp_path / name) for name in "ab"]
    (stores[side].path / lost / "c" / "0" / "0" / "0").unlink()
    with pytest.raises(InputError, match=f"^{tmp_path}/{'ab'[side]}.*c/0.0.0 is lost"):
        compare(*stores, 0.5)
