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
    "plan": [()],
    "weigh": [()],
    "train": [("cross_entropy",), ("cross_entropy_dice",)],
    "package": [()],
    "predict": [()],
    "segment": list(chain.from_iterable(combinations(STAGES, n) for n in range(len(STAGES) + 1))),
    "evaluate": [()],
    "export": [("geojson",), ("tiff",)],
}
"""Steps whose results archives keep, and what each may choose by name. Reports are made anew."""


def read_table() -> list[tuple[str, str, str]]:
    """Rows (script, digest, name), oldest first."""
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    return [tuple(line.split("\t")) for line in lines if not line.startswith("#")]


def unnamed(step: str) -> list[tuple[tuple[str, ...], str]]:
    """What a step may choose, with its digest, where that has no name."""
    script = ROOT / "scripts" / f"{step}.py"
    known = {(of, digest) for of, digest, _ in read_table()}
    pairs = [(chosen, raw_digest(script, frozenset(chosen))) for chosen in CHOICES[step]]
    return [(chosen, digest) for chosen, digest in pairs if (script.name, digest) not in known]


def add_names(step: str, is_same: bool) -> None:
    """Write rows for what has no name: the step's last name, or names of their own."""
    last = [name for of, _, name in read_table() if of == f"{step}.py"]
    with open(TABLE, "a", encoding="utf-8") as file:
        for digest in dict.fromkeys(digest for _, digest in unnamed(step)):
            file.write(f"{step}.py\t{digest}\t{last[-1] if is_same else digest}\n")


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
