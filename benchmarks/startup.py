"""How long each step takes until it would read its first input: interpreter and imports.

    python benchmarks/startup.py [--steps predict train] [--rounds 7]

Each script is given files that do not exist, or one file twice, and ends where it finds that out.
That includes the end of the process, so that what is measured is rather more than the start.
Prints a Markdown table of medians and exits with 1 where a step is slower than allowed: 1 s, or
3 s with torch. Run it on an idle machine; a first round, which fills the file cache, is left out.
"""

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"

ALLOWED_S = {"torch": 3.0, "": 1.0}

GIVEN = {
    "crate": "--results no --crate o --sheet no --snakefile no --config no/no",
    "demo": "--seed 1 --image no --labels no",
    "evaluate": "--reference no --segmentation no --scores o",
    "export": "--segmentation no --geojson o",
    "ingest": "--image no.tif --store o",
    "package": "--plan no --folds no --package o",
    "plan": "--images no --settings no --plan o",
    "predict": "--image no --model no --probabilities o",
    "report": "--models no --report o",
    "segment": "--probabilities no --segmentation o",
    "separate": "--labels no --separated o",
    "train": "--plan no --images no --weights no --model o",
    "update": "--directory no",
    "view": "--store no",
    "weigh": "--labels no --weights o",
}


def start(step: str, *flags: str) -> tuple[float, str]:
    """Seconds that a step takes to refuse its input, and what it says on standard error."""
    command = [sys.executable, *flags, SCRIPTS / f"{step}.py", *GIVEN[step].split()]
    began = time.perf_counter()
    result = subprocess.run(command, capture_output=True, text=True)
    seconds = time.perf_counter() - began
    last = result.stderr.splitlines()[-1]
    if result.returncode != 1 or not last.startswith(f"{step}.py: "):
        raise RuntimeError(f"{step}.py did not refuse its input: {last}")
    return seconds, result.stderr


def has_torch(step: str) -> str:
    """Whether a step has imported torch by then: its name or nothing. Also fills the file cache."""
    _, imported = start(step, "-X", "importtime")
    names = {line.rpartition("|")[2].strip() for line in imported.splitlines()}
    return "torch" if "torch" in names else ""


def main() -> int:
    """Print the table; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", nargs="+", default=sorted(p.stem for p in SCRIPTS.glob("*.py")))
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    slow = []
    print("| step | needs | median s | slowest s | allowed s |\n|---|---|---|---|---|")
    for step in args.steps:
        needs = has_torch(step)
        seconds = [start(step)[0] for _ in range(args.rounds)]
        median, allowed = statistics.median(seconds), ALLOWED_S[needs]
        print(f"| {step} | {needs} | {median:.2f} | {max(seconds):.2f} | {allowed} |", flush=True)
        if median > allowed:
            slow.append(step)
    if slow:
        print(f"too slow: {', '.join(slow)}", file=sys.stderr)
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
