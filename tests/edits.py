"""Edits of the project such as updates bring: what changes no existing result, and what does."""

from collections.abc import Callable
from pathlib import Path

LIBRARY = "scripts/overtile"


def replace(file: str, old: str, new: str) -> Callable[[Path], None]:
    """An edit that replaces a text, which must be there, in a file of the project."""

    def edit(root: Path) -> None:
        path = root / file
        text = path.read_text(encoding="utf-8")
        assert old in text, f"{file} has no {old!r}"
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    return edit


def add(file: str, text: str) -> Callable[[Path], None]:
    """An edit that adds a file, or a text to its end."""

    def edit(root: Path) -> None:
        with open(root / file, "a", encoding="utf-8") as opened:
            opened.write(text)

    return edit


WITHOUT_EFFECT: dict[str, list[Callable[[Path], None]]] = {
    "an error is reworded": [
        replace(f"{LIBRARY}/system_errors.py", "free space", "make room"),
        replace(f"{LIBRARY}/stores/root.py", "is damaged; ", "has been damaged; "),
        replace(f"{LIBRARY}/stores/store.py", "; give a store that holds", "; name one with"),
        replace(f"{LIBRARY}/networks/weights.py", "no such file", "is not there"),
        replace(f"{LIBRARY}/prediction/pixel_size.py", "predict slides like those", "take slides"),
        replace(f"{LIBRARY}/ingest/references.py", "save them as grey", "save as grey values"),
    ],
    "a text of progress is reworded": [
        replace(f"{LIBRARY}/ingest/pictures.py", 'label=f"ingest', 'label=f"reading'),
        replace(f"{LIBRARY}/objects/measurements.py", 'label="measure objects"', 'label="objects"'),
    ],
    "comments and docstrings change": [
        replace(f"{LIBRARY}/networks/unet/layers.py", '"""', '"""Changed. '),
        add(f"{LIBRARY}/geometry/spans.py", "\n# A remark.\n"),
    ],
    "a help text and a default of a command line change": [
        replace(f"{LIBRARY}/settings/segmentation.py", "Smaller seeds", "Small seeds"),
        replace(f"{LIBRARY}/settings/prediction.py", "        4.0,", "        6.0,"),
    ],
    "a family of networks is added": [
        add(
            f"{LIBRARY}/networks/segnet.py",
            '"""SegNet."""\n\nfrom overtile.networks.blocks import crop\n\n\nclass SegNet: ...\n',
        ),
        replace(
            f"{LIBRARY}/networks/family.py",
            "FAMILIES = Registry({",
            'FAMILIES = Registry({"segnet": "overtile.networks.segnet:SegNet", ',
        ),
    ],
    "a network is described in other words": [
        replace(f"{LIBRARY}/networks/unet/family.py", "levels, width", "levels deep, width"),
    ],
    "a loss is added": [
        add(f"{LIBRARY}/training/losses.py", "\n\ndef focal(logits, target):\n    return logits\n"),
        replace(
            f"{LIBRARY}/training/losses.py",
            "LOSSES = Registry(\n    {",
            'LOSSES = Registry(\n    {\n        "focal": "overtile.training.losses:focal",',
        ),
    ],
    "a reader is added": [
        add(f"{LIBRARY}/readers/czi.py", '"""CZI."""\n\n\ndef open_czi(path):\n    return path\n'),
        replace(
            f"{LIBRARY}/readers/opening.py",
            "    {\n",
            '    {\n        ".czi": "overtile.readers.czi:open_czi",\n',
        ),
    ],
    "a metric is added": [
        add(f"{LIBRARY}/metrics/boundary.py", '"""Boundaries."""\n\nMETRIC = Metric()\n'),
        add(f"{LIBRARY}/metrics/objects.py", "\n\ndef aggregated_jaccard():\n    return 0\n"),
        replace(
            f"{LIBRARY}/metrics/registry.py",
            "    },\n    always=",
            '        "boundary": "overtile.metrics.boundary:METRIC",\n    },\n    always=',
        ),
    ],
    "what readers of scores are told is reworded": [
        replace(f"{LIBRARY}/metrics/objects.py", "; 1 is perfect", "; best is 1"),
        replace(f"{LIBRARY}/metrics/objects.py", 'title="Object F1"', 'title="F1 of objects"'),
        replace(f"{LIBRARY}/metrics/overlap.py", "Overlap of the area", "Common area"),
    ],
    "an export format is added": [
        add(f"{LIBRARY}/exports/csv_table.py", '"""CSV."""\n\n\ndef write_csv(): ...\n'),
        replace(
            f"{LIBRARY}/exports/formats.py",
            "    {\n",
            '    {\n        "csv": "overtile.exports.csv_table:write_csv",\n',
        ),
        replace(
            "scripts/export.py",
            '    parser.add_argument(\n        "--what"',
            '    parser.add_argument("--csv", type=outputs.file(".csv"))\n'
            '    parser.add_argument(\n        "--what"',
        ),
    ],
    "an optional setting of segmentation is added": [
        replace(
            "workflow/schemas/config.schema.yaml",
            "      min_object_um:\n",
            "      smooth_px: {type: integer, default: 0}\n      min_object_um:\n",
        ),
        replace(
            f"{LIBRARY}/settings/segmentation.py",
            "    min_object_um: ",
            '    smooth_px: int = setting(0, "Smooth outlines.")\n    min_object_um: ',
        ),
    ],
    "an optional setting of prediction is added": [
        replace(
            "workflow/schemas/config.schema.yaml",
            "      pixel_size:\n",
            "      sharpen: {type: boolean, default: false}\n      pixel_size:\n",
        ),
        replace(
            f"{LIBRARY}/settings/prediction.py",
            "    background: ",
            '    sharpen: bool = setting(False, "Sharpen.")\n    background: ',
        ),
    ],
    "optional settings of a model are added": [
        replace(
            "workflow/schemas/config.schema.yaml",
            "      folds:\n",
            "      warmup_steps: {type: integer, default: 0}\n      folds:\n",
        ),
        replace(
            "workflow/schemas/config.schema.yaml",
            "          noise:\n",
            "          blur: {type: number, default: 0}\n          noise:\n",
        ),
        replace(
            f"{LIBRARY}/settings/model.py",
            "    noise: ",
            '    blur: float = setting(0.0, "Blur.")\n    noise: ',
        ),
        replace(
            f"{LIBRARY}/settings/model.py",
            "    folds: ",
            '    warmup_steps: int = setting(0, "Steps.")\n    folds: ',
        ),
    ],
    "training, planning and weighing change": [
        replace(f"{LIBRARY}/training/augment.py", "GRID_POINTS = 3", "GRID_POINTS = 4"),
        add(f"{LIBRARY}/targets/class_balance.py", "\nX = 1\n"),
    ],
}
"""By what they are: all of them together make nothing run again but the report."""

WITH_EFFECT: dict[str, tuple[str, Callable[[Path], None]]] = {
    "statistics": (
        "ingest",
        replace(f"{LIBRARY}/ingest/pictures.py", "np.square(part - mean)", "abs(part - mean)"),
    ),
    "normalisation": (
        "predict",
        replace(f"{LIBRARY}/networks/normalise.py", "spread or 1.0", "spread or 2.0"),
    ),
    "layers of the chosen network": (
        "predict",
        replace(f"{LIBRARY}/networks/unet/layers.py", "[crop(skips.pop(), x", "[crop(skips[0], x"),
    ),
    "the order of ties": (
        "segment",
        replace(f"{LIBRARY}/objects/class_map.py", "part > best", "part >= best"),
    ),
    "dice": ("evaluate", replace(f"{LIBRARY}/geometry/dice.py", "2 * b / e", "3 * b / e")),
    "matching": (
        "evaluate",
        replace(f"{LIBRARY}/metrics/matching.py", "ious >= iou", "ious > iou"),
    ),
    "Rand scores": (
        "evaluate",
        replace(f"{LIBRARY}/metrics/partitions.py", "size * (size - 1)", "size * size"),
    ),
    "outlines": (
        "export",
        replace(f"{LIBRARY}/exports/geojson.py", "Area px^2", "Area px"),
    ),
}
"""A change of arithmetic, and the step that is made again for it."""
