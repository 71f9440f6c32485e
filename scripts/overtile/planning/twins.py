"""The same picture under two names: it must not be in training and in validation."""

from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence

import numpy as np

from overtile.errors import InputError
from overtile.planning.plan import Fold
from overtile.stores.store import Store
from overtile.stores.subblocks import subblocks, whole


def refuse_twins(pictures: Sequence[Store], folds: Sequence[Fold]) -> None:
    """Raise InputError, one line, where a fold learns from a picture and validates on it as well.

    Two of them to learn from are allowed: two people may have labelled one picture. Digests of
    stores cover names, so that pixels are compared, of those pictures whose statistics are equal.
    """
    stores = {store.name: store for store in pictures}
    for fold in folds:
        learnt, judging = (
            [stores[name] for name in part] for part in (fold.train, fold.validation)
        )
        for one, other in twins(learnt, judging):
            raise InputError(
                f"slide {other.name}: is the same picture as slide {one.name}; one would be in "
                "training and the other in validation; remove one, or give both the same split "
                "and group"
            )


def twins(pictures: Sequence[Store], others: Sequence[Store]) -> Iterator[tuple[Store, Store]]:
    """Pairs of a picture and another one with the same pixels."""
    alike = defaultdict(list)
    for picture in pictures:
        alike[_statistics(picture)].append(picture)
    for other in others:
        for picture in alike.get(_statistics(other), ()):
            if _same_pixels(picture, other):
                yield picture, other


def _statistics(store: Store) -> Hashable:
    """What equal pictures have in common, of whatever dtype; an even one is like no other."""
    known = store.attributes
    if not any(known["std"]):
        return store.name
    return tuple(store.array.shape), tuple(known["mean"]), tuple(known["std"])


def _same_pixels(one: Store, other: Store) -> bool:
    """Whether two pictures (c, z, y, x) of equal shape have equal pixels."""
    boxes = [(slice(None), *part.slices) for part in subblocks(whole(one.shape), one.shape[0] == 1)]
    return all(np.array_equal(one.array[box], other.array[box]) for box in boxes)
