"""What planning decides, against the definitions of what it decides."""

from types import SimpleNamespace

import pytest

from overtile.errors import InputError
from overtile.planning.decisions import (
    choose_network,
    choose_tile,
    plan_folds,
    plan_weights,
    relative_spacing,
)
from overtile.planning.plan import Fold
from overtile.planning.training_set import count_classes
from overtile.settings.model import Settings


def slide(shape_px=(1, 300, 400), pixel_size_um=None, class_counts=(60, 40), channels=1):
    """What a decision looks at of a slide."""
    return SimpleNamespace(
        slide="s",
        shape_px=shape_px,
        pixel_size_um=pixel_size_um,
        class_counts=class_counts,
        channels=channels,
    )


def test_spacing_is_that_of_the_median_pixel_in_edges_of_the_finest_of_y_and_x():
    sizes = [(6.0, 2.0, 2.5), (9.0, 1.5, 2.0), (3.0, 3.0, 1.0), None]
    assert relative_spacing([slide(pixel_size_um=size) for size in sizes]) == (3.0, 1.0, 1.0)
    assert relative_spacing([slide(pixel_size_um=(1.0, 0.5, 0.25))]) == (4.0, 2.0, 1.0)
    assert relative_spacing([slide()]) == (1.0, 1.0, 1.0)


def test_rare_classes_weigh_more_and_settings_are_taken_over():
    weights = plan_weights([75, 20, 5], Settings(w0=7.0, sigma_px=3.0, border_tolerance=0.01))
    assert weights.class_weights == pytest.approx([100 / 225, 100 / 60, 100 / 15], abs=1e-6)
    assert (weights.w0, weights.sigma_px, weights.sigma_um, weights.tolerance) == (7, 3, None, 0.01)
    assert plan_weights([75, 20, 5], Settings(sigma_um=0.5)).sigma_um == 0.5


def test_pixels_of_a_class_are_those_of_all_slides_and_one_without_any_is_named():
    assert count_classes([slide(), slide(class_counts=(5, 0))], ["ground", "cell"]) == [65, 40]
    with pytest.raises(InputError, match="have no pixel of class cell"):
        count_classes([slide(class_counts=(5, 0))], ["ground", "cell"])


def test_one_fold_has_the_slides_of_the_sheet_in_order_of_their_names():
    assert plan_folds(["c", "a"], ["1", "2"], ["z", "b"], 1) == (Fold(("a", "c"), ("b", "z")),)


def test_each_of_several_folds_validates_the_groups_that_it_leaves_out_and_the_given_slides():
    folds = plan_folds(["d", "b", "c", "a"], ["2", "1", "2", "3"], ["z"], 2)
    assert folds == (Fold(("c", "d"), ("a", "b", "z")), Fold(("a", "b"), ("c", "d", "z")))


def test_a_network_is_as_the_settings_say_with_the_slides_channels():
    settings = Settings(ndim=3, width=8, depth=2, norm="batch", dropout=0.1, tile_px=(8, 8, 8))
    network = choose_network(
        [slide(pixel_size_um=(4.0, 1.0, 1.0), channels=3)], 5, settings
    ).architecture
    assert (network.ndim, network.in_channels, network.classes, network.width) == (3, 3, 5, 8)
    assert (network.norm, network.dropout) == ("batch", 0.1)
    assert network.pools == ((1, 2, 2), (1, 2, 2))


def test_a_tile_holds_what_is_wanted_but_is_no_longer_than_the_longest_slide():
    settings = Settings(depth=2)
    network = choose_network([slide()], 2, settings).architecture
    slides = [slide((1, 60, 300)), slide((1, 50, 400))]
    output = choose_tile(slides, network.geometry, (200, 200))
    assert output == network.geometry.sizes_for((60, 200))[1]
    assert (
        60 <= output[0] < 60 + network.geometry.stride[0]
        and 200 <= output[1] < 200 + network.geometry.stride[1]
    )
    volumes = choose_network(slides, 2, Settings(ndim=3, tile_px=(8, 8, 8)))
    with pytest.raises(InputError, match="has one plane, but ndim is 3"):
        choose_tile(slides, volumes.architecture.geometry, (8, 8, 8))
