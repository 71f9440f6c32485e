"""How a slide is predicted: in which tiles, where it is looked at, and under which key."""

from collections.abc import Sequence

from overtile.errors import InputError
from overtile.prediction.blend import blending_tile_px
from overtile.prediction.foreground import Foreground, find_foreground, own_foreground
from overtile.prediction.memory import Tiling, plan_tiling
from overtile.prediction.predictor import Predictor
from overtile.prediction.slide import Prediction
from overtile.settings.keys import key_values
from overtile.stores.digest import digest_of
from overtile.stores.store import Store


def choose_tiling(
    predictor: Predictor, shape: Sequence[int], memory_gb: float, block_px: int | None
) -> Tiling:
    """Tiles for a slide of (z, y, x) px, as the networks see it, within memory_gb, 10^9 bytes.

    block_px: their edge along each axis, in place of a choice.
    """
    plan, geometry = predictor.plan, predictor.geometry
    tile_px = (block_px,) * geometry.ndim if block_px else None
    if not geometry.is_exact:
        tile_px = blending_tile_px(plan, block_px)
    return plan_tiling(plan, shape, predictor.members, predictor.device, memory_gb, tile_px)


def choose_foreground(
    image: Store, mask: Store | None, method: str, fill_value: float
) -> tuple[Foreground | None, object]:
    """Where to look in a slide, and what of the settings decides that, as part of a key.

    mask: takes the place of the other two; see `foreground.find_foreground` for these.
    """
    if mask is not None:
        foreground = own_foreground(image, mask)
        refuse_other_view(mask, image)
        return foreground, mask.digest
    foreground_key = [method, fill_value if method == "fill" else None]
    return find_foreground(image, method, fill_value), foreground_key


def refuse_other_view(mask: Store, image: Store) -> None:
    """Raise InputError for a mask whose edges y and x do not stand to each other as the slide's.

    Each edge of the mask may have been rounded by up to a pixel, either way.
    """
    (my, mx), (iy, ix) = mask.shape[-2:], image.shape[-2:]
    if iy * (mx - 1) > ix * (my + 1) or ix * (my - 1) > iy * (mx + 1):
        raise InputError(
            f"{mask.shown}: mask is {my} x {mx} (y, x) px, the slide {iy} x {ix}; "
            "height and width must have the same ratio; give a mask of the same view"
        )


def prediction_key(prediction: Prediction, foreground_key: object, code: str) -> str:
    """Digest of all that decides the bytes of a prediction, and of nothing else.

    foreground_key: from `choose_foreground`. code: digest of the code that computes it.
    """
    p, device = prediction, prediction.predictor.device
    return digest_of(
        *(
            p.image.digest,
            p.predictor.digests,
            key_values(p.predictor.wanted),
            p.tiling.tile_px,
            foreground_key,
        ),
        *(device.torch.type, device.precision, p.scaling and p.scaling.ratio, code),
    )
