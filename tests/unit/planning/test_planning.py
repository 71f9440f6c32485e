"""What planning decides from the training set, each decision alone."""

from types import SimpleNamespace

import pytest

from overtile.errors import InputError
from overtile.networks.unet.family import Architecture, choose_levels
from overtile.planning.decisions import (
    choose_network,
    choose_tile,
    plan_folds,
    relative_spacing,
)
from overtile.planning.plan import Fold
from overtile.planning.training_set import (
    LabelledSlide,
    count_classes,
    refuse_mixed,
    refuse_same_name,
    refuse_unseparated,
)
from overtile.settings.model import Settings
from tests.plans import known_slide


def sized(*sizes):
    return [known_slide(str(n), pixel_size_um=size) for n, size in enumerate(sizes)]


@pytest.mark.parametrize(
    ("sizes", "spacing"),
    [
        ([None, None], (1.0, 1.0, 1.0)),
        ([(2.0, 0.5, 0.25)], (8.0, 2.0, 1.0)),
        ([(2.0, 0.25, 0.5)], (8.0, 1.0, 2.0)),
        ([(1.0, 1.0, 1.0), None, (9.0, 1.0, 1.0), (3.0, 1.0, 1.0)], (3.0, 1.0, 1.0)),
        ([(0.1, 1.0, 1.0)], (0.1, 1.0, 1.0)),
        ([(1.0, 3.0, 3.0)], (0.333333, 1.0, 1.0)),
    ],
)
def test_spacing_is_the_median_size_in_pixels_of_the_finest_of_y_and_x(sizes, spacing):
    assert relative_spacing(sized(*sizes)) == spacing


def architecture(ndim=2, depth=2):
    return Architecture(ndim, 1, 2, 4, *choose_levels(ndim, depth, (1.0, 1.0, 1.0)))


def test_tiles_are_as_large_as_wanted_but_no_larger_than_the_largest_slide():
    slides = [known_slide("a", shape_px=(1, 40, 300)), known_slide("b", shape_px=(1, 90, 200))]
    a = architecture()
    for wanted, within in [((64, 64), (64, 64)), ((500, 64), (90, 64)), ((999, 999), (90, 300))]:
        assert choose_tile(slides, a.geometry, wanted) == a.geometry.sizes_for(within)[1]


def test_a_volume_needs_planes():
    slides = [known_slide("deep", shape_px=(9, 40, 40)), known_slide("flat")]
    assert choose_tile(slides[:1], architecture(3, 1).geometry, (8, 8, 8))
    with pytest.raises(InputError, match="slide flat: has one plane, but ndim is 3"):
        choose_tile(slides, architecture(3, 1).geometry, (8, 8, 8))
    assert choose_tile(slides, architecture(2, 1).geometry, (8, 8))


def test_the_network_is_as_the_settings_say_for_the_slides_channels_and_pixels():
    slides = [known_slide(channels=3, pixel_size_um=(4.0, 1.0, 1.0))]
    settings = Settings(ndim=3, width=5, depth=2, norm="batch", dropout=0.1, tile_px=(8, 8, 8))
    pools, kernels = choose_levels(3, 2, (4.0, 1.0, 1.0))
    assert pools[0] == (1, 2, 2)
    assert choose_network(slides, 4, settings).architecture == Architecture(
        ndim=3,
        in_channels=3,
        classes=4,
        width=5,
        pools=pools,
        kernels=kernels,
        dropout=0.1,
        norm="batch",
    )


def test_pixels_of_classes_are_added_up_and_each_class_needs_some():
    slides = [known_slide(class_counts=(5, 0, 2)), known_slide(class_counts=(1, 0, 3))]
    slides.append(known_slide(class_counts=(0, 7, 0)))
    assert count_classes(slides, ["a", "b", "c"]) == [6, 7, 5]
    with pytest.raises(InputError, match="have no pixel of class b; add"):
        count_classes(slides[:2], ["a", "b", "c"])


def test_folds_are_sorted_and_no_row_order_shows_in_them():
    for names, groups in (("cab", "xzy"), ("bca", "yxz"), ("abc", "zyx")):
        assert plan_folds(names, groups, "ed", 1) == (Fold(("a", "b", "c"), ("d", "e")),)
        assert plan_folds(names, groups, "ed", 3) == (
            Fold(("a", "b"), ("c", "d", "e")),
            Fold(("a", "c"), ("b", "d", "e")),
            Fold(("b", "c"), ("a", "d", "e")),
        )


def labelled(name, class_names=("a", "b"), kind="binary", separate=(0, 2), **known):
    """A slide with labels as far as the checks look at them."""
    classes = SimpleNamespace(attributes={"class_names": list(class_names)})
    labels = SimpleNamespace(
        path=f"{name}/labels",
        attributes={"kind": kind, "separate_ndim": separate[1]},
        label_classes=lambda: classes,
    )
    known = known_slide(name, separate_px=separate[0], **known)
    return LabelledSlide(SimpleNamespace(name=name), labels, name, known)


def test_slides_must_agree_in_channels_and_in_the_order_of_their_classes():
    one = labelled("one")
    refuse_mixed([one, labelled("two")])
    for other, words in [
        (labelled("two", channels=2), "slide two: has channels 2, but slide one has 1"),
        (labelled("two", ("b", "a")), r"slide two: has classes \('b', 'a'\), but slide one has"),
        (labelled("two", ("a", "b", "c")), "slide two: has classes"),
    ]:
        with pytest.raises(InputError, match=words):
            refuse_mixed([one, other])


def test_instances_must_be_separated_as_the_settings_say():
    refuse_unseparated([labelled("a"), labelled("b", kind="instances", separate=(1, 2))], 1, 2)
    for separate, words in [((0, 2), "by 0 px, but separate_px"), ((1, 3), "in 3 dimensions")]:
        with pytest.raises(InputError, match=words):
            refuse_unseparated([labelled("b", kind="instances", separate=separate)], 1, 2)


def test_a_name_is_given_once():
    refuse_same_name(["a", "b"])
    with pytest.raises(InputError, match="slide b: is given 3 times"):
        refuse_same_name(["b", "a", "b", "b"])
