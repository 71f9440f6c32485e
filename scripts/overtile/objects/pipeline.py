"""Objects that take several stages: each an array of ids, made from the one before with a halo.

Components or seeds, flood, holes, gaps: in this order, as far as they are wanted. Every stage is
kept in a scratch store, so that a killed job goes on in the midst of one. Ids are those of the
first stage, numbered by first pixels. The last step leaves out what is too small.
"""

from functools import cached_property
from pathlib import Path

import numpy as np

from overtile.geometry.components import Census, id_dtype
from overtile.geometry.spans import Block
from overtile.objects.class_map import ClassMap
from overtile.registry import Registry
from overtile.settings.segmentation import Segmenting
from overtile.stores.checked import Checked
from overtile.stores.labels import Components
from overtile.stores.scratch import Scratch
from overtile.stores.subblocks import assemble, subblocks, whole


class SeedMap:
    """Where the foreground of a class map is likely enough for objects to begin."""

    def __init__(self, class_map: ClassMap, threshold: float):
        self._class_map, self._least = class_map, class_map.step(threshold)

    def classes(self, block: Block) -> np.ndarray:
        """Class map of a block of any size, (z, y, x) uint8, 0 but for pixels of seeds."""

        def read(subblock: Block) -> np.ndarray:
            probabilities = self._class_map[subblock.slices]
            is_seed = self._class_map.foreground_of(probabilities) >= self._least
            return np.where(is_seed, self._class_map.classes_of(probabilities), 0)

        return assemble(block, self._class_map.shape[0] == 1, read, np.uint8)


STAGES = Registry(
    {
        "flood": "overtile.objects.stages:FloodedSeeds",
        "holes": "overtile.objects.stages:FilledHoles",
        "gaps": "overtile.objects.stages:ClosedGaps",
    }
)
"""By name: what makes of the ids before, the class map and settings the ids of any block."""


class PostprocessedObjects:
    """Objects made in stages, as `stores.labels.Numbered`; computed when first asked for.

    folder, key: of the label store that they are for. least_px: smaller objects become background.
    Memory: at most some 60 bytes per component or seed, then 70 per hole, then 45 per object, one
    after the other; subblocks as large as the smallest shard; and one shard as it is written.
    """

    def __init__(
        self,
        class_map: ClassMap,
        settings: Segmenting,
        folder: Path,
        key: str,
        least_px: int,
    ):
        self.shape = class_map.shape
        self._class_map, self._settings = class_map, settings
        self._folder, self._key, self._least_px = folder, key, least_px

    @cached_property
    def _numbered(self) -> tuple[Checked, np.ndarray, np.ndarray, int]:
        """The last stage; final ids and classes of its ids; how many objects there are."""
        scratch = Scratch(self._folder, self._key, self.shape)
        first = self._first_stage(scratch)
        last = self._last_stage(scratch, first)
        classes = self._classes_by_id(first, scratch.largest)
        census = Census(self.shape, scratch.largest)
        for subblock in self._subblocks():
            census.add(subblock, last[subblock.slices])
        numbers, count = census.numbering(self._least_px)
        classes[numbers == 0] = 0
        return last, numbers, classes, count

    def _first_stage(self, scratch: Scratch) -> Checked:
        """Components of the class map, or seeds."""
        class_map, settings = self._class_map, self._settings
        if settings.seed_threshold is None:
            found, name = Components(class_map.classes, self.shape), "components"
        else:
            seeds = SeedMap(class_map, settings.seed_threshold)
            found, name = Components(seeds.classes, self.shape, settings.min_seed_px), "seeds"
        return scratch.add(lambda: id_dtype(found.count), found.ids, label=name)

    def _last_stage(self, scratch: Scratch, ids: Checked) -> Checked:
        """Ids after all stages that are wanted."""
        dtype = ids.dtype
        for name in self._settings.stages:
            stage = STAGES.load(name)(ids, self._class_map, self._settings)
            ids = scratch.add(lambda: dtype, stage.ids, label=name)
        return ids

    def _classes_by_id(self, first: Checked, count: int) -> np.ndarray:
        """The class of each id, (count + 1,) uint8: that of its pixels in the first stage."""
        classes = np.ones(count + 1, np.uint8)
        classes[0] = 0
        if self._class_map.class_count > 2:
            for subblock in self._subblocks():
                ids = first[subblock.slices]
                is_object = ids > 0
                found = self._class_map.classes_of(self._class_map[subblock.slices])
                classes[ids[is_object]] = found[is_object]
        return classes

    def _subblocks(self) -> list[Block]:
        return subblocks(whole(self.shape), self.shape[0] == 1)

    @property
    def count(self) -> int:
        """How many objects there are."""
        return self._numbered[3]

    def ids(self, block: Block) -> np.ndarray:
        """Ids of a block, (z, y, x), 0 = background."""
        last, numbers, _, _ = self._numbered
        return self._looked_up(numbers, last, block)

    def classes(self, block: Block) -> np.ndarray:
        """Class map of a block, (z, y, x) uint8: of each object its class, else background."""
        last, _, classes, _ = self._numbered
        return self._looked_up(classes, last, block)

    def _looked_up(self, values: np.ndarray, ids: Checked, block: Block) -> np.ndarray:
        """At each pixel of a block the value of its id."""
        is_picture = self.shape[0] == 1
        return assemble(block, is_picture, lambda b: values[ids[b.slices]], values.dtype)
