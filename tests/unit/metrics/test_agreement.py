"""Counts of pairs of objects and their scores: as the naive ones, however they were added up."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overtile.geometry.components import IGNORE
from overtile.geometry.spans import plan_blocks
from overtile.metrics import columns as module
from overtile.metrics import matching
from overtile.metrics.columns import sort_keys
from overtile.metrics.counts import Agreement
from overtile.metrics.metric import Comparison
from overtile.metrics.pairs import Pairs, count_pairs, merged
from overtile.metrics.score_files import measure_all
from tests.examples import examples
from tests.unit import naive_scores

LARGEST = 2**64 - 1
NAMES = ["background", "a", "b", "c"]
IDS = {
    "small": [0, 1, 2, 3, 4],
    "32 bits": [0, 1, 255, 256, 2**32 - 1],
    "62 bits": [0, 1, 2**60, 5 * 2**59, 2**62 - 1],  # where keys would wrap, out of order
    "64 bits": [0, 1, 2**32, 2**63, LARGEST - 1, LARGEST],
}


@st.composite
def pictures(draw):
    """Ids and classes of a reference and of a segmentation, 2D or 3D, some pixels ignored."""
    shape = draw(st.sampled_from([(1, 1, 1), (1, 9, 7), (3, 5, 4), (1, 30, 30)]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    columns = []
    for _ in range(2):
        ids = np.array(IDS[draw(st.sampled_from(sorted(IDS)))], dtype=np.uint64)
        classes = rng.choice([0, 1, 1, 2, 3, IGNORE], shape).astype(np.uint8)
        if draw(st.booleans()):  # one class for each object, as most stores have it
            of_object = rng.integers(0, 4, len(ids)).astype(np.uint8)
            places = rng.integers(0, len(ids), shape)
            columns += [ids[places], np.where(classes == IGNORE, IGNORE, of_object[places])]
        else:
            columns += [rng.choice(ids, shape), classes]
    if draw(st.booleans()):
        is_equal = rng.random(shape) < 0.8
        columns[2:] = [
            np.where(is_equal, a, b) for a, b in zip(columns[:2], columns[2:], strict=True)
        ]
    return columns


def as_dict(found: Pairs) -> dict:
    """Pixels by pair, as Python numbers; no pair may be there twice."""
    rows = list(zip(*(column.tolist() for column in found), strict=True))
    counts = {row[:4]: row[4] for row in rows}
    assert list(counts) == sorted(counts)
    assert len(counts) == len(rows)
    return counts


def with_objects(counts: dict) -> dict:
    """The pairs of which at least one is an object."""
    return {p: n for p, n in counts.items() if (p[0] and p[1]) or (p[2] and p[3])}


def assert_equal(one: Agreement, other: Agreement) -> None:
    """The same counts, in columns of the same dtypes."""
    np.testing.assert_array_equal(one.confusion, other.confusion)
    assert one.ignored == other.ignored
    for a, b in zip(one.pairs, other.pairs, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def counted(columns) -> Agreement:
    agreement = Agreement(len(NAMES))
    agreement.add(*columns)
    return agreement


@pytest.fixture(scope="module", params=[1, 3, module.AT_ONCE], autouse=True)
def at_once(request):
    """How many rows or groups are taken at once: changes memory and nothing else."""
    with pytest.MonkeyPatch.context() as patch:
        for user in (module, matching):
            patch.setattr(user, "AT_ONCE", request.param)
        yield


@given(pictures(), st.sampled_from([0.05, 0.2, 0.3, 0.5, 0.501, 0.8, 1.0]))
@settings(max_examples=examples(150), deadline=None)
def test_counts_and_scores_are_the_naive_ones(columns, threshold):
    agreement = counted(columns)
    expected = naive_scores.pairs(*columns)
    assert as_dict(agreement.pairs) == with_objects(expected)
    counts = (columns[1] != IGNORE) & (columns[3] != IGNORE)
    confusion = np.zeros((4, 4), int)
    np.add.at(confusion, (columns[1][counts], columns[3][counts]), 1)
    np.testing.assert_array_equal(agreement.confusion, confusion)
    assert agreement.ignored == (~counts).sum()
    scores = measure_all(Comparison(agreement, NAMES, threshold))
    assert scores["objects"] == naive_scores.object_scores(expected, threshold)
    partitions = naive_scores.partition_scores(expected)
    assert scores["rand"] == partitions["rand"]  # to the last bit, as pixels are whole numbers
    if partitions["information"] is None:
        assert scores["information"] is None
    else:
        information = pytest.approx(partitions["information"], rel=1e-12, abs=1e-13)
        assert scores["information"] == information


@given(pictures(), st.tuples(*[st.integers(1, 9)] * 3), st.randoms())
@settings(max_examples=examples(150), deadline=None)
def test_any_cut_any_order_and_any_tree_of_merging_give_the_same(columns, edge, random):
    blocks = plan_blocks(columns[0].shape, edge)
    random.shuffle(blocks)
    parts = [Agreement(len(NAMES)) for _ in range(random.randint(1, len(blocks)))]
    for block in blocks:
        random.choice(parts).add(*(column[block.slices] for column in columns))
    while len(parts) > 1:
        random.shuffle(parts)
        last = parts.pop()
        parts[-1].merge(last)
    assert_equal(parts[0], counted(columns))


def test_merging_leaves_the_other_as_it_is():
    ids, classes = np.array([[1, 2]], np.uint8), np.ones((1, 2), np.uint8)
    one, other = counted([ids, classes] * 2), counted([ids, classes] * 2)
    one.merge(other)
    one.add(ids, classes, ids, classes)
    assert_equal(other, counted([ids, classes] * 2))
    assert one.pairs.pixels.tolist() == [3, 3]


def row(*values) -> Pairs:
    """One pair, with the dtypes of its numbers."""
    return Pairs(*(np.array([v], np.min_scalar_type(v)) for v in values))


def test_columns_have_the_smallest_dtypes_that_hold_them():
    counts = merged(row(1, 1, 300, 1, 200), row(1, 1, 300, 1, 100))
    assert [column.dtype for column in counts] == [np.uint8, np.uint8, np.uint16, np.uint8] + [
        np.uint16
    ]
    assert counts.pixels.tolist() == [300]
    counts = merged(row(1, 1, 1, 1, 2**32 - 1), row(LARGEST, 1, 1, 1, 1))
    assert [counts.reference_id.dtype, counts.pixels.dtype] == [np.uint64, np.uint32]
    assert merged(counts, row(1, 1, 1, 1, 1)).pixels.tolist() == [2**32, 1]


@given(pictures(), st.sampled_from([2, 40, 2**16]))
@settings(max_examples=examples(100), deadline=None)
def test_keys_sort_as_rows_do_also_where_ranks_must_stand_for_numbers(columns, largest):
    rows = [tuple(pixel) for pixel in zip(*(c.ravel().tolist() for c in columns), strict=True)]
    middle = len(rows) // 2
    tables = [[c.ravel()[part] for c in columns] for part in (slice(middle), slice(middle, None))]
    with pytest.MonkeyPatch.context() as patch:
        if largest >= len(set(rows)) ** 2:
            patch.setattr(module, "LARGEST_KEY", largest)
        keys = np.concatenate(sort_keys(tables)).tolist()
    known = sorted(set(rows))
    ranks = {key: rank for rank, key in enumerate(sorted(set(keys)))}
    assert [ranks[key] for key in keys] == [known.index(r) for r in rows]


def test_the_naive_count_of_no_pixels_is_no_pair():
    empty = np.zeros((0,), np.uint8)
    assert as_dict(count_pairs([empty] * 4)) == {}
    assert as_dict(merged(count_pairs([empty] * 4), row(1, 1, 1, 1, 1))) == {(1, 1, 1, 1): 1}
