"""Settings that do not fit each other are one line, named as the user named them."""

import pytest

from overtile.errors import InputError
from overtile.settings.labels import Labels
from overtile.settings.segmentation import Segmenting
from overtile.settings.together import flag, labels_fault, tile_fault


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ({"kind": "instances", "classes": ("b", "x", "y")}, "--classes: has 3 names; allowed"),
        ({"kind": "binary", "values": (0, 1, 2)}, "--values: has 3 values for 2 classes"),
        (
            {"kind": "semantic", "values": (4, 4)},
            "--values: is [4, 4]; each class needs a value of its own",
        ),
        ({"kind": "semantic", "values": (4, 5), "ignore": 5}, "--ignore: is 5, which is also"),
        ({"kind": "semantic", "ignore": 1}, "--ignore: is 1, which is also a class"),
        ({"kind": "semantic", "classes": ("b", "x", "y"), "values": (2, 1, 0)}, ""),
        ({"kind": "semantic", "ignore": 2}, ""),
        ({"kind": "instances", "ignore": 1}, ""),
        ({"kind": "binary"}, ""),
    ],
)
def test_labels_whose_settings_do_not_fit_are_refused(given, fault):
    labels = Labels(**given)
    if not fault:
        labels.check()
        return
    with pytest.raises(InputError) as refused:
        labels.check()
    assert str(refused.value).startswith(fault) and "\n" not in str(refused.value)


def test_a_fault_bears_the_names_that_the_user_wrote():
    given = ("semantic", ("b", "x"), (1, 1), None)
    assert labels_fault(*given, flag).startswith("--values: ")
    assert labels_fault(*given, "labels.{}".format).startswith("labels.values: ")
    with pytest.raises(InputError, match="^--seed-threshold: is 0.3, but --threshold is 0.4;"):
        Segmenting(0.4, 0.3).check()


@pytest.mark.parametrize(("ndim", "edges", "is_fault"), [(2, 2, False), (3, 2, True), (2, 3, True)])
def test_a_tile_has_an_edge_per_axis(ndim, edges, is_fault):
    assert bool(tile_fault(ndim, [8] * edges)) == is_fault
