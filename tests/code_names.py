"""Names of code that gives the same results: what makes an archive run again after an update.

    python tests/code_names.py                  # which steps compute by code that has no name yet
    python tests/code_names.py --same STEP ...  # they give the same bytes as before: archives stay
    python tests/code_names.py --other STEP ... # they do not: archives make these results again

A step's digest changes when the code changes that it computes with. Where a test shows that the
bytes of its results are the same all the same, as after a clean-up, the new digest gets the name of
the one before. Run without flags by `make lint`; ends with exit code 1 where a decision is missing.
"""

import argparse
import sys
from itertools import chain, combinations
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

from overtile.code_digest import NAMES, raw_digest  # noqa: E402

TABLE = ROOT / "scripts" / "overtile" / NAMES
STAGES = ("flood", "holes", "gaps")
CHOICES = {
    "demo": [()],
    "ingest": [(".tif",), (".png",), (".nii",)],
    "separate": [()],
    "plan": [("unet",)],
    "weigh": [()],
    "train": [("cross_entropy", "unet", "layers"), ("cross_entropy_dice", "unet", "layers")],
    "package": [()],
    "predict": [("unet", "layers")],
    "segment": list(chain.from_iterable(combinations(STAGES, n) for n in range(len(STAGES) + 1))),
    "evaluate": [()],
    "export": [("geojson",), ("tiff",)],
}
"""Steps whose results archives keep, and what each may choose by name. No reports: they are always
made again."""


def read_table() -> list[tuple[str, str, str, str]]:
    """Rows (script, digest, name, what was chosen, joined by commas), oldest first."""
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines if not line.startswith("#")]
    return [(*row, "")[:4] for row in map(tuple, rows)]


def unnamed(step: str) -> list[tuple[tuple[str, ...], str]]:
    """What a step may choose, with its digest, where that has no name."""
    script = ROOT / "scripts" / f"{step}.py"
    known = {(of, digest) for of, digest, *_ in read_table()}
    pairs = [(chosen, raw_digest(script, frozenset(chosen))) for chosen in CHOICES[step]]
    return [(chosen, digest) for chosen, digest in pairs if (script.name, digest) not in known]


def name_before(step: str, chosen: tuple[str, ...]) -> str:
    """The last name of a step's results with these choices, or else with most of them.

    Results of different choices may have got different names: none may get that of another one. A
    choice that came later was none before: what it adds to had the name without it.
    """
    own = [(of_choice, name) for of, _, name, of_choice in read_table() if of == f"{step}.py"]
    parts = [(set(filter(None, of_choice.split(","))), name) for of_choice, name in own]
    held = [(len(part), n, name) for n, (part, name) in enumerate(parts) if part <= {*chosen}]
    return max(held)[2]


def add_names(step: str, is_same: bool) -> None:
    """Write rows for what has no name: the name of the code before, or names of their own."""
    rows = {
        digest: (name_before(step, chosen) if is_same else digest, ",".join(chosen))
        for chosen, digest in unnamed(step)
    }
    with open(TABLE, "a", encoding="utf-8") as file:
        for digest, (name, chosen) in rows.items():
            file.write("\t".join([f"{step}.py", digest, name, *filter(None, [chosen])]) + "\n")


def main() -> int:
    """Run from the command line; return the exit code."""
    from faults import tell

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--same", nargs="+", default=[], choices=CHOICES, metavar="STEP")
    parser.add_argument("--other", nargs="+", default=[], choices=CHOICES, metavar="STEP")
    args = parser.parse_args()
    for step in args.same:
        add_names(step, is_same=True)
    for step in args.other:
        add_names(step, is_same=False)
    return tell(
        "names of code",
        [
            f"scripts/{step}.py{' with ' + ', '.join(chosen) if chosen else ''}: computes by code "
            f"{digest}, which has no name; say whether results are the --same or --other"
            for step in CHOICES
            for chosen, digest in unnamed(step)
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
