"""Objects that take several stages: each a picture of ids, made from the one before with a halo.

Components or seeds, flood, holes, borders: in this order, as far as they are wanted. Every stage
is kept in a work store, so that a killed job goes on in the midst of one. Ids are those of the
first stage, numbered by first pixels, as far as the last one, which leaves out what is too small.
"""

from functools import cached_property
from pathlib import Path

import numpy as np

from overtile.geometry.components import Census, id_dtype
from overtile.geometry.spans import Block
from overtile.objects.class_map import ClassPicture
from overtile.registry import Registry
from overtile.settings.segmentation import Segmenting
from overtile.stores.checked import Checked
from overtile.stores.labels import Components
from overtile.stores.scratch import Scratch
from overtile.stores.subblocks import assemble, subblocks, whole


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


STAGES = Registry(
    {
        "flood": "overtile.objects.stages:Flooded",
        "holes": "overtile.objects.stages:Filled",
        "gaps": "overtile.objects.stages:Closed",
    }
)
"""By name: what makes of the ids before, the picture and the settings the ids of any block."""


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
        work = Scratch(self._folder, self._key, self.shape)
        first = self._found(work)
        last = self._grown(work, first)
        classes = self._classes_by_id(first, work.largest)
        census = Census(self.shape, work.largest)
        for piece in subblocks(whole(self.shape), self.shape[0] == 1):
            census.add(piece, last[piece.slices])
        numbers, count = census.numbering(self._least_px)
        classes[numbers == 0] = 0
        return last, numbers, classes, count

    def _found(self, work: Scratch) -> Checked:
        """The first stage: components of the class map, or seeds."""
        picture, how = self._picture, self._how
        if how.seed_threshold is None:
            found, name = Components(picture.classes, self.shape), "components"
        else:
            seeds = Seeds(picture, how.seed_threshold)
            found, name = Components(seeds.classes, self.shape, how.min_seed_px), "seeds"
        return work.add(lambda: id_dtype(found.count), found.ids, label=name)

    def _grown(self, work: Scratch, array: Checked) -> Checked:
        """The last stage."""
        dtype = array.dtype
        for name in self._how.stages:
            stage = STAGES.load(name)(array, self._picture, self._how)
            array = work.add(lambda: dtype, stage.ids, label=name)
        return array

    def _classes_by_id(self, first: Checked, count: int) -> np.ndarray:
        """The class of each id, (count + 1,) uint8: that of its pixels in the first stage."""
        classes = np.ones(count + 1, np.uint8)
        classes[0] = 0
        if self._picture.class_count > 2:
            for piece in subblocks(whole(self.shape), self.shape[0] == 1):
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
