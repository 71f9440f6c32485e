"""Objects that take several stages: each a picture of ids, made from the one before with a halo.

Components or seeds, flood, holes, borders: in this order, as far as they are wanted. Every stage
is kept in a work store, so that a killed job goes on in the midst of one. Ids are those of the
first stage, numbered by first pixels, as far as the last one, which leaves out what is too small.
"""

from functools import cached_property
from pathlib import Path

import numpy as np

from overtile.geometry.components import Census, id_dtype
from overtile.geometry.flood import flood
from overtile.geometry.gaps import close_gaps, halo_px
from overtile.geometry.holes import HoleFinder, label_background
from overtile.geometry.spans import Block, read_clipped
from overtile.inference.class_picture import ClassPicture
from overtile.inference.segmenting import Segmenting
from overtile.stores.labels import Components
from overtile.stores.pieces import assemble, compute_in_pieces, pieces, whole
from overtile.stores.undamaged import Checked
from overtile.stores.work import WorkStore


class Seeds:
    """Where the foreground of a picture is likely enough for objects to begin."""

    def __init__(self, picture: ClassPicture, threshold: float):
        self._picture, self._least = picture, picture.step(threshold)

    def classes(self, block: Block) -> np.ndarray:
        """Class map of a block of any size, (z, y, x) uint8, 0 but for pixels of seeds."""

        def read(piece: Block) -> np.ndarray:
            probabilities = self._picture[piece.slices]
            is_seed = self._picture.foreground_of(probabilities) >= self._least
            return np.where(is_seed, self._picture.classes_of(probabilities), 0)

        return assemble(block, self._picture.shape[0] == 1, read, np.uint8)


class Flooded:
    """Ids after seeds have flooded their surroundings."""

    def __init__(self, seeds: Checked, picture: ClassPicture, grow_px: int):
        self._seeds, self._picture, self._grow_px = seeds, picture, grow_px
        self.shape = picture.shape

    def ids(self, block: Block) -> np.ndarray:
        """Ids of a block of any size."""
        return assemble(block, self.shape[0] == 1, self._flood, self._seeds.dtype)

    def _flood(self, piece: Block) -> np.ndarray:
        halo = (self._grow_px,) * 3
        seeds, inner = read_clipped(self._seeds, piece, halo)
        if not seeds.any():
            return seeds[inner]
        probabilities, _ = read_clipped(self._picture, piece, halo)
        classes = self._picture.classes_of(probabilities)
        foreground = self._picture.foreground_of(probabilities)
        return flood(foreground, classes, seeds, self._grow_px)[inner]


class Filled:
    """Ids after holes have been given to the objects around them."""

    def __init__(self, before: Checked, max_hole_px: int):
        self._before, self._max_hole_px = before, max_hole_px
        self.shape = before.shape

    @cached_property
    def _owners(self) -> dict[tuple[int, ...], np.ndarray]:
        finder = HoleFinder(self.shape, self._max_hole_px)
        for piece in pieces(whole(self.shape), self.shape[0] == 1):
            finder.add(piece, self._read(piece))
        return finder.owners()

    def _read(self, piece: Block) -> np.ndarray:
        """The ids of a piece and of one more pixel at its far sides."""
        return self._before[
            tuple(slice(a, b + 1) for a, b in zip(piece.start, piece.stop, strict=True))
        ]

    def ids(self, block: Block) -> np.ndarray:
        """Ids of a block of any size."""

        def fill(piece: Block) -> np.ndarray:
            ids = self._read(piece)
            owners = self._owners[piece.index].astype(ids.dtype)
            return (ids + owners[label_background(ids)])[tuple(slice(n) for n in piece.shape)]

        return assemble(block, self.shape[0] == 1, fill, self._before.dtype)


class StagedObjects:
    """Objects made in stages, as `stores.labels.Numbered`; computed when first asked for.

    folder, key: of the label store that they are for. least_px: smaller objects become background.
    Memory: at most some 60 bytes per component or seed, then 70 per hole, then 45 per object, one
    after the other; pieces as large as the smallest shard; and one shard as it is written.
    """

    def __init__(
        self,
        picture: ClassPicture,
        how: Segmenting,
        folder: Path,
        key: str,
        least_px: int,
    ):
        self.shape = picture.shape
        self._picture, self._how = picture, how
        self._folder, self._key, self._least_px = folder, key, least_px

    @cached_property
    def _made(self) -> tuple[Checked, np.ndarray, np.ndarray, int]:
        """The last stage; final ids and classes of its ids; how many objects there are."""
        work = WorkStore(self._folder, self._key, self.shape)
        first = self._found(work)
        last = self._grown(work, first)
        classes = self._classes_by_id(first, work.largest)
        census = Census(self.shape, work.largest)
        for piece in pieces(whole(self.shape), self.shape[0] == 1):
            census.add(piece, last[piece.slices])
        numbers, count = census.numbering(self._least_px)
        classes[numbers == 0] = 0
        return last, numbers, classes, count

    def _found(self, work: WorkStore) -> Checked:
        """The first stage: components of the class map, or seeds."""
        picture, how = self._picture, self._how
        if how.seed_threshold is None:
            found, name = Components(picture.classes, self.shape), "components"
        else:
            seeds = Seeds(picture, how.seed_threshold)
            found, name = Components(seeds.classes, self.shape, how.min_seed_px), "seeds"
        return work.add(lambda: id_dtype(found.count), found.ids, label=name)

    def _grown(self, work: WorkStore, array: Checked) -> Checked:
        """The last stage."""
        how, dtype = self._how, array.dtype
        if how.seed_threshold is not None:
            flooded = Flooded(array, self._picture, how.grow_px)
            array = work.add(lambda: dtype, flooded.ids, label="flood")
        if how.max_hole_px:
            array = work.add(lambda: dtype, Filled(array, how.max_hole_px).ids, label="holes")
        if how.border_px:
            before, ndim = array, 2 if self.shape[0] == 1 else 3
            halo = (halo_px(how.border_px),) * 3

            def close(block: Block) -> np.ndarray:
                return compute_in_pieces(
                    *(before, block, halo, ndim),
                    *(lambda ids: close_gaps(ids, how.border_px), dtype),
                )

            array = work.add(lambda: dtype, close, label="borders")
        return array

    def _classes_by_id(self, first: Checked, count: int) -> np.ndarray:
        """The class of each id, (count + 1,) uint8: that of its pixels in the first stage."""
        classes = np.ones(count + 1, np.uint8)
        classes[0] = 0
        if self._picture.class_count > 2:
            for piece in pieces(whole(self.shape), self.shape[0] == 1):
                ids = first[piece.slices]
                is_object = ids > 0
                found = self._picture.classes_of(self._picture[piece.slices])
                classes[ids[is_object]] = found[is_object]
        return classes

    @property
    def count(self) -> int:
        """How many objects there are."""
        return self._made[3]

    def ids(self, block: Block) -> np.ndarray:
        """Ids of a block, (z, y, x), 0 = background."""
        last, numbers, _, _ = self._made
        return assemble(
            *(block, self.shape[0] == 1),
            *(lambda piece: numbers[last[piece.slices]], numbers.dtype),
        )

    def classes(self, block: Block) -> np.ndarray:
        """Class map of a block, (z, y, x) uint8: of each object its class, else background."""
        last, _, classes, _ = self._made
        return assemble(
            *(block, self.shape[0] == 1),
            *(lambda piece: classes[last[piece.slices]], np.uint8),
        )
