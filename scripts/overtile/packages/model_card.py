"""The page that goes with a model."""

from collections.abc import Sequence

from overtile.packages.trained import Best
from overtile.planning.plan import Plan


def model_card(plan: Plan, scores: Sequence[Best]) -> str:
    """What the model is, was trained on, and how well it did there: Markdown."""
    a, weights = plan.architecture, plan.weights
    edges = " x ".join(map(str, plan.tile_input_px))
    names = [known.slide for known in plan.slides]
    sigma = f"{weights.sigma_px} px" if weights.sigma_um is None else f"{weights.sigma_um} um"
    lines = [
        "# Model card",
        "",
        f"A {a.ndim}D {plan.network.describe(a)} that tells apart: {', '.join(plan.classes)}.",
        "",
        f"- Input: {a.in_channels} channel(s), each slide normalised to zero mean and unit "
        f"variance; trained on tiles of {edges} px.",
        f"- Pixel sizes of the training slides, z y x in um: {_pixel_sizes(plan)}. "
        "Slides of other pixel sizes give other results.",
        f"- Trained on {len(names)} slides: {', '.join(names[:20])}"
        + (" and more." if len(names) > 20 else "."),
        f"- Loss {plan.loss}, w0 {weights.w0}, sigma {sigma}, {plan.epochs} epochs of "
        f"{plan.steps_per_epoch} steps, seed {plan.seed}.",
        "",
        "| fold | best epoch | validation Dice |",
        "|---|---|---|",
    ]
    for fold, best in enumerate(scores):
        dice = best.validation_dice
        lines.append(f"| {fold} | {best.epoch} | {'none' if dice is None else f'{dice:.4f}'} |")
    return "\n".join([*lines, "", "Weights are safetensors; settings are in plan.yaml.", ""])


def _pixel_sizes(plan: Plan) -> str:
    sizes = sorted({str(list(s.pixel_size_um or ()) or "unknown") for s in plan.slides})
    return "; ".join(sizes[:5])
