"""What fast code is held against: definitions, word for word, over whole pictures.

And what both are tried on: random pictures, and ways to cut a picture into shards.
"""

from math import ceil

import numpy as np
from hypothesis import strategies as st
from scipy import ndimage


def squared_distances(mask):
    """Squared distance of each pixel to the nearest one of a mask, in pixels: whole numbers."""
    nearest = ndimage.distance_transform_edt(~mask, return_distances=False, return_indices=True)
    return ((nearest - np.indices(mask.shape)) ** 2).sum(axis=0)


def two_nearest_sum(instances, spacing):
    """d_1 + d_2, float64: one distance transform per cell. inf where there is no second cell."""
    cells = [i for i in np.unique(instances) if i]
    if len(cells) < 2:
        return np.full(instances.shape, np.inf)
    distances = [ndimage.distance_transform_edt(instances != i, sampling=spacing) for i in cells]
    return np.sort(distances, axis=0)[:2].sum(axis=0)


def border_weights(instances, w0, sigma, spacing):
    """Equation 2 of the U-Net paper without its class term, never cut off. float64."""
    return w0 * np.exp(-(two_nearest_sum(instances, spacing) ** 2) / (2 * sigma**2))


def separate(instances, separate_px):
    """Pixels with another cell's pixel within separate_px become 0: each compared with each."""
    places = np.argwhere(instances)
    cells = instances[tuple(places.T)]
    crowded = [
        (((places - place) ** 2).sum(axis=1)[cells != cell] <= separate_px**2).any()
        for place, cell in zip(places, cells, strict=True)
    ]
    result = instances.copy()
    result[tuple(places[np.array(crowded, bool)].T)] = 0
    return result


@st.composite
def labels(draw, lengths, most_cells=5):
    """Random instances: noise or patches, sparse or without background. lengths: px, per axis."""
    shape = [draw(st.sampled_from(axis)) for axis in lengths]
    patch = draw(st.sampled_from([1, 2, 5]))
    share = draw(st.sampled_from([1.0, 0.3, 0.1, 0.02]))
    cells = draw(st.sampled_from(range(1, most_cells + 1)))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    coarse = [ceil(n / patch) for n in shape]
    picture = random.integers(1, cells + 1, coarse) * (random.random(coarse) < share)
    for axis in range(len(shape)):
        picture = np.repeat(picture, patch, axis)
    return np.ascontiguousarray(picture[tuple(slice(n) for n in shape)])


EDGES = st.one_of(st.sampled_from([1.0, 1.25, 2.5, 12.5]), st.floats(0.1, 30))
LENGTHS = {2: [(1, 2, 9, 16, 17, 25, 40)] * 2, 3: [(1, 3, 8, 13, 16, 17)] * 3}


@st.composite
def spaced_labels(draw):
    """Random instances of two or three axes, with pixel edges from 0.1 to 30."""
    ndim = draw(st.sampled_from([2, 3]))
    return draw(labels(LENGTHS[ndim])), tuple(draw(EDGES) for _ in range(ndim))


LAYOUTS = [
    {
        "PICTURE_CHUNK": (1, 5, 4),
        "PICTURE_SHARD": (1, 5, 8),
        "VOLUME_CHUNK": (1, 3, 4),
        "VOLUME_SHARD": (2, 3, 8),
    },
    {
        "PICTURE_CHUNK": (1, 4, 4),
        "PICTURE_SHARD": (1, 12, 4),
        "VOLUME_CHUNK": (2, 4, 4),
        "VOLUME_SHARD": (2, 4, 4),
    },
    {
        "PICTURE_CHUNK": (1, 3, 3),
        "PICTURE_SHARD": (1, 3, 6),
        "VOLUME_CHUNK": (1, 3, 2),
        "VOLUME_SHARD": (1, 3, 4),
        "MAX_SHARDS": 2,
    },
]
"""The last one has shards of many pieces."""


def use_layout(monkeypatch, values):
    """Let stores be cut as one of LAYOUTS says."""
    for name, value in values.items():
        monkeypatch.setattr(f"overtile.stores.layout.{name}", value)
