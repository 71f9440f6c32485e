"""A score file as evaluate.py writes it."""


def score_values(slide: str, f1: float | None = 0.8, model: str = "unet") -> dict:
    """A score file as evaluate.py writes it. f1: in tenths, None for a slide without objects."""
    objects = 0 if f1 is None else 10
    share = None if f1 is None else round(10 * f1) / 10
    return {
        "slide": slide,
        "model": model,
        "reference": "d1",
        "segmentation": "d2",
        "pixels": 80,
        "ignored_px": 3,
        "pixel_error": 12 / 80,
        "confusion": [[54, 6], [6, 14]],
        "classes": {
            "background": {"dice": 0.9, "iou": 54 / 66, "reference_px": 60, "segmented_px": 60},
            "cell": {"dice": 0.7, "iou": 14 / 26, "reference_px": 20, "segmented_px": 20},
        },
        "objects": {
            "iou_threshold": 0.5,
            "reference": objects,
            "segmented": objects,
            "matched": 0 if f1 is None else round(10 * f1),
            "precision": share,
            "recall": share,
            "f1": share,
        },
        "rand": None,
        "information": {"f1": 0.5, "splits_bits": 0.1, "merges_bits": 0.2},
    }
