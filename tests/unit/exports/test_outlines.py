"""Outlines give back the exact pixels, and are the same whatever the blocks."""

from pathlib import Path

import numpy as np
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.draw import polygon2mask

from overtile.exports.outlines import outline_objects, read_framed
from overtile.geometry.outlines import Chains, join, trace
from overtile.geometry.polygons import Polygons, make_polygons
from overtile.geometry.spans import plan_blocks
from overtile.ingest.references import write_reference
from overtile.objects import measurements
from overtile.objects.measurements import measure_objects
from overtile.readers.raw import RawImage
from overtile.stores.store import Store
from tests.examples import examples
from tests.unit import naive

BLOCKS = [(1, 1, 1), (1, 3, 4), (2, 5, 2), (3, 4, 7)]
FIELDS = ("owners", "planes", "exteriors", "areas_px", "starts", "corners", "groups")


def polygons_of(labels, block=None) -> Polygons:
    """Polygons of labels (z, y, x), traced in blocks or at once."""
    parts = [
        trace(read_framed(labels, part), part.start, labels.shape)
        for part in plan_blocks(labels.shape, block or labels.shape)
    ]
    return make_polygons(join(Chains.joined(parts)))


def rings_of(rows) -> dict:
    """Polygons by id of a picture given as rows of digits."""
    labels = np.array([[[int(c) for c in row] for row in rows]], np.uint32)
    found = polygons_of(labels)
    return {int(found.owners[g]): found.rings(i) for i, g in enumerate(found.groups[:-1])}


def shoelace(ring) -> float:
    """Signed area of a closed ring of (x, y); above 0 if it runs counter-clockwise."""
    return sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(ring, ring[1:], strict=False)) / 2


def filled(rings, shape) -> np.ndarray:
    """Pixels whose centres lie inside of an odd number of rings, by scikit-image."""
    mask = np.zeros(shape, bool)
    for ring in rings:
        mask ^= polygon2mask(shape, np.array(ring)[:, ::-1] - 0.5)
    return mask


def assert_exact(polygons, mask):
    """Polygons of one object in one plane: valid, and its pixels, hole by hole."""
    pieces, count = ndimage.label(mask)
    assert len(polygons) == count
    seen = set()
    for exterior, *holes in polygons:
        for ring in (exterior, *holes):
            assert ring[0] == ring[-1] == min(ring, key=lambda point: point[::-1])
            assert len({tuple(point) for point in ring}) == len(ring) - 1
            steps = np.diff(ring, axis=0)
            assert ((steps == 0).sum(axis=1) == 1).all()
            assert (steps[:-1, 0] * steps[1:, 0] == 0).all()
        assert shoelace(exterior) > 0 and all(shoelace(hole) < 0 for hole in holes)
        found = filled((exterior, *holes), mask.shape)
        assert sum(map(shoelace, (exterior, *holes))) == found.sum()
        piece = pieces[found].max()
        np.testing.assert_array_equal(found, pieces == piece)
        assert len(holes) == ndimage.label(np.pad(~found, 1, constant_values=True))[1] - 1
        seen.add(piece)
    assert len(seen) == count


def assert_all_exact(found: Polygons, labels):
    """Every object of every plane has its polygons, in the order of ids and planes."""
    heads = found.groups[:-1]
    names = list(zip(found.owners[heads].tolist(), found.planes[heads].tolist(), strict=True))
    expected = {(int(i), z) for z, plane in enumerate(labels) for i in np.unique(plane) if i}
    assert names == sorted(expected)
    for group, (own, z) in enumerate(names):
        assert_exact(found.rings(group), labels[z] == own)
        low, high = found.groups[group : group + 2]
        assert found.areas_px[low:high].sum() == (labels[z] == own).sum()


dense = st.builds(
    lambda shape, ids, seed: np.random.default_rng(seed).integers(0, ids, shape, np.uint32),
    st.tuples(st.integers(1, 3), st.integers(1, 12), st.integers(1, 12)),
    st.integers(2, 4),
    st.integers(0, 2**32 - 1),
)
patches = naive.labels([(1, 3), (1, 9, 17, 30), (1, 13, 26)])


@given(st.one_of(dense, patches), st.sampled_from(BLOCKS))
@settings(max_examples=examples(150), deadline=None)
def test_polygons_fill_exactly_the_pixels_and_are_the_same_whatever_the_blocks(labels, block):
    whole = polygons_of(labels)
    assert_all_exact(whole, labels)
    pieces = polygons_of(labels, block)
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(pieces, field), getattr(whole, field))


def test_a_pixel_is_a_square_and_corners_are_where_the_outline_turns():
    assert rings_of(["1"]) == {1: [[[[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]]]}
    assert rings_of(["000", "011", "010"])[1] == [
        [[[1, 1], [3, 1], [3, 2], [2, 2], [2, 3], [1, 3], [1, 1]]]
    ]


def test_a_hole_is_a_ring_of_its_own_that_runs_the_other_way():
    hole = [[1, 1], [1, 2], [2, 2], [2, 1], [1, 1]]
    assert rings_of(["111", "101", "111"])[1] == [[[[0, 0], [3, 0], [3, 3], [0, 3], [0, 0]], hole]]


def test_pixels_that_meet_at_a_corner_are_two_pieces():
    assert [len(p) for p in rings_of(["10", "01"])[1]] == [1, 1]


def test_an_object_that_touches_itself_at_a_corner_has_a_hole_that_touches_its_exterior():
    (polygon,) = rings_of(["110", "101", "111"])[1]
    exterior, hole = polygon
    assert hole == [[1, 1], [1, 2], [2, 2], [2, 1], [1, 1]]
    assert exterior == [[0, 0], [2, 0], [2, 1], [3, 1], [3, 3], [0, 3], [0, 0]]


def test_holes_that_meet_at_a_corner_are_two_rings():
    (polygon,) = rings_of(["1111", "1011", "1101", "1111"])[1]
    assert polygon[1:] == [
        [[1, 1], [1, 2], [2, 2], [2, 1], [1, 1]],
        [[2, 2], [2, 3], [3, 3], [3, 2], [2, 2]],
    ]


def test_a_piece_within_the_hole_of_another_piece_keeps_its_own_hole():
    rows = ["1111111", "1000001", "1011101", "1010101", "1011101", "1000001", "1111111"]
    outer, inner = rings_of(rows)[1]
    assert [abs(shoelace(ring)) for ring in outer] == [49, 25]
    assert [abs(shoelace(ring)) for ring in inner] == [9, 1]


def test_a_hole_belongs_to_the_piece_around_it_not_to_one_beside_it():
    rows = ["0000000111", "1110110101", "1010110111", "1110110000"]
    sizes = [[abs(shoelace(ring)) for ring in p] for p in rings_of(rows)[1]]
    assert sizes == [[9, 1], [9, 1], [6]]


def test_objects_that_touch_share_their_edge():
    found = rings_of(["12"])
    assert found[1] == [[[[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]]]
    assert found[2] == [[[[1, 0], [2, 0], [2, 1], [1, 1], [1, 0]]]]


def test_a_picture_without_objects_has_no_polygons():
    found = polygons_of(np.zeros((2, 3, 4), np.uint32), (1, 2, 2))
    assert found.groups.tolist() == [0] and len(found.owners) == 0


def test_a_winding_object_keeps_its_one_outline_over_many_blocks():
    labels = np.zeros((1, 60, 60), np.uint64)
    for turn in range(0, 30, 4):
        labels[0, turn : 60 - turn, turn : 60 - turn] = 2**63 + 9
        labels[0, turn + 2 : 58 - turn, turn + 2 : 58 - turn] = 0
    labels[0, :30, 30] = 2**63 + 9
    whole, pieces = polygons_of(labels), polygons_of(labels, (1, 7, 5))
    assert_all_exact(whole, labels)
    assert whole.owners[0] == 2**63 + 9
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(pieces, field), getattr(whole, field))


def reference(labels, folder) -> Store:
    raw = RawImage(Path("made.tif"), labels[None], (0, 1, 2, 3), None)
    write_reference(raw, folder, "k", "instances", ["background", "cell"], [0, 1], None, None)
    return Store.open(folder)


def walked(store) -> list[Polygons]:
    return list(outline_objects(store, measure_objects(store)))


def use_blocks(patch, block):
    patch.setattr(measurements, "BLOCK", {"picture": (1, *block[1:]), "volume": block})


@given(st.one_of(dense, patches), st.sampled_from(BLOCKS))
@settings(
    max_examples=examples(40),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_each_object_of_a_store_comes_once_with_all_of_its_pieces(
    tmp_path_factory, monkeypatch, labels, block
):
    store = reference(labels, tmp_path_factory.mktemp("o") / "r")
    expected = polygons_of(labels)
    heads = expected.groups[:-1]
    names = list(zip(expected.owners[heads], expected.planes[heads], strict=True))
    with monkeypatch.context() as patch:
        use_blocks(patch, block)
        parts = walked(store)
    found = {}
    for part in parts:
        for group, head in enumerate(part.groups[:-1]):
            name = (part.owners[head], part.planes[head])
            assert name not in found
            found[name] = part.rings(group)
    assert found == {name: expected.rings(group) for group, name in enumerate(names)}


def test_an_object_comes_as_soon_as_its_last_block_is_read(tmp_path, monkeypatch):
    labels = np.zeros((1, 6, 9), np.uint8)
    labels[0, 0, 0] = 1
    labels[0, 0, 1:7] = 2
    labels[0, :5, 8] = 3
    store = reference(labels, tmp_path / "r")
    use_blocks(monkeypatch, (1, 3, 3))
    read = []
    array = store.array

    class Spied:
        shape = array.shape

        def __getitem__(self, index):
            read.append(index)
            return array[index]

    spied = Store(store.path, store.attributes)
    spied.__dict__["array"] = Spied()
    steps = outline_objects(spied, measure_objects(store))
    seen = [(part.owners.tolist(), len(read)) for part in steps]
    assert seen == [([1], 1), ([2], 3), ([3], 6)]


def test_an_object_that_is_not_in_the_last_block_of_its_box_is_finished_there(
    tmp_path, monkeypatch
):
    labels = np.zeros((1, 6, 6), np.uint8)
    labels[0, 0, :], labels[0, :, 0] = 5, 5
    store = reference(labels, tmp_path / "r")
    use_blocks(monkeypatch, (1, 3, 3))
    (found,) = walked(store)
    assert_all_exact(found, labels)


def test_real_nuclei_have_exact_outlines(tmp_path, monkeypatch, data):
    path = data / "nuclei_dsb2018" / "fluo" / "label" / "04acab7636c4.tif"
    labels = tifffile.imread(path)[None]
    assert_all_exact(polygons_of(labels, (1, 50, 40)), labels)
    use_blocks(monkeypatch, (1, 64, 64))
    parts = walked(reference(labels, tmp_path / "r"))
    assert sum(len(part.groups) - 1 for part in parts) == len(np.unique(labels)) - 1


def test_real_cells_of_a_volume_have_exact_outlines_in_every_plane(data):
    labels = tifffile.imread(data / "stardist_samples" / "mask3d.tif")
    assert_all_exact(polygons_of(labels, (4, 16, 23)), labels)
