"""Plans of networks that nobody trained, for benchmarks: what counts is their size."""

import sys
from dataclasses import replace

from own_process import SCRIPTS

sys.path[:0] = [str(SCRIPTS.parent), str(SCRIPTS)]

from overtile.networks.unet.family import Architecture, choose_levels  # noqa: E402
from overtile.planning.plan import Plan  # noqa: E402
from tests.plans import small_plan  # noqa: E402


def unet_plan(ndim: int, width: int, depth: int) -> Plan:
    """The plan of a U-Net for one channel and two classes."""
    pools, kernels = choose_levels(ndim, depth, (1.0,) * 3)
    plan = small_plan(Architecture(ndim, 1, 2, width, pools, kernels))
    tile_px = (388, 388) if ndim == 2 else (96,) * 3
    return replace(plan, tile_output_px=plan.geometry.sizes_for(tile_px)[1])
