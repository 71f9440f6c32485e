"""What an archive of many slides costs Snakemake, beside an empty workflow of the same shape.

    python benchmarks/archive.py make /tmp/archive --slides 1000
    python benchmarks/archive.py measure /tmp/archive

`make` draws up a sheet of made-up slides, and leaves everything as a finished run would: every
result as a tiny file, dated in the order of the jobs, and what Snakemake notes of every job, by
Snakemake itself. So the true workflow compares code, parameters, inputs and dates of all jobs, and
finds nothing to do. From its list of jobs comes an empty workflow: the same rules, wildcards,
inputs and outputs, and nothing else; its folder gets the same files and notes.

`measure` runs both in turn, each in a process of its own: first where there is nothing to do, then
a dry run after one more slide. It prints a Markdown table with medians, and the median ratio of two
runs that follow one another.
"""

import argparse
import asyncio
import json
import os
import re
import statistics
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
FIRST_DATE = 1_700_000_000
ONE_MORE = dict.fromkeys(
    ("ingest_image", "predict_probabilities", "segment_objects", "write_report", "write_crate"), 1
)
COLUMNS = ("slides", "run", "jobs", "overtile, s", "empty workflow, s", "ratio") + (
    *("ratio of processor time", "overtile, GB", "empty workflow, GB"),
)
CONFIG = {
    "slides": "slides.tsv",
    "data": ".",
    "device": "cpu",
    "labels": {"kind": "instances"},
    "models": {"unet": {}},
}


@dataclass(frozen=True)
class Job:
    """One job of a workflow. The patterns are those of its rule."""

    rule: str
    wildcards: dict[str, str]
    input: list[str]
    output: list[str]
    patterns: list[str]


@dataclass(frozen=True)
class Run:
    """One run of Snakemake: wall and processor time, largest memory, and what it printed."""

    seconds: float
    processor_seconds: float
    memory_gb: float
    printed: str


def split_of(number: int) -> str:
    """20 slides to train on, 5 to validate, one in ten of the others to test."""
    if number < 25:
        return "train" if number < 20 else "val"
    return "test" if number % 10 == 5 else ""


def write_slides(folder: Path, count: int) -> None:
    """A sheet of made-up slides, and their raw files, which are empty."""
    (folder / "raw").mkdir(parents=True, exist_ok=True)
    lines = ["slide\timage\tlabels\tsplit\tgroup"]
    for number in range(count):
        name, split = f"slide{number:06}", split_of(number)
        labels = f"raw/{name}_labels.tif" if split else ""
        lines.append(f"{name}\traw/{name}.tif\t{labels}\t{split}\tpatient{number}")
        for file in filter(None, (f"raw/{name}.tif", labels)):
            _make_file(folder / file, 0)
    (folder / "slides.tsv").write_text("\n".join(lines) + "\n")
    os.utime(folder / "slides.tsv", (FIRST_DATE, FIRST_DATE))


def _make_file(path: Path, place: int) -> None:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{path}\n")
        os.utime(path, (FIRST_DATE + place, FIRST_DATE + place))


def list_jobs(folder: Path, finish: bool) -> list[Job]:
    """The jobs of a folder's workflow, each after those that it needs.

    finish: make the outputs of all, and let Snakemake note each job as it does after a true one.
    """
    from snakemake.api import SnakemakeApi
    from snakemake.settings.types import (
        ConfigSettings,
        DAGSettings,
        ExecutionSettings,
        OutputSettings,
        Quietness,
        ResourceSettings,
    )

    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        made = api.workflow(
            resource_settings=ResourceSettings(cores=2),
            config_settings=ConfigSettings(configfiles=[folder / "config.yaml"]),
            snakefile=snakefile_of(folder),
            workdir=folder,
        )
        made.dag(DAGSettings())
        workflow = made._workflow
        workflow.execution_settings = ExecutionSettings()
        workflow._prepare_dag(forceall=False, ignore_incomplete=True, lock_warn_only=True)
        workflow._build_dag()
        found = []
        for level, jobs in enumerate(workflow.dag.toposorted(), start=1):
            for job in jobs:
                for path in job.output if finish else ():
                    _make_file(Path(path), level)
                found.append(_describe(job))
        if finish:
            workflow.iocache.deactivate()
            asyncio.run(_note(workflow))
    return found


def _describe(job) -> Job:
    from snakemake.io import strip_wildcard_constraints

    patterns = [str(strip_wildcard_constraints(pattern)) for pattern in job.rule.output]
    lists = [sorted(map(str, files)) for files in (job.input, job.output)]
    return Job(job.rule.name, dict(job.wildcards_dict), *lists, patterns)


async def _note(workflow) -> None:
    for job in workflow.dag.jobs:
        if job.output:
            await workflow.persistence.finished(job)


def snakefile_of(folder: Path) -> Path:
    """The empty workflow if the folder has one, else the true one."""
    own = folder / "Snakefile"
    return own if own.exists() else ROOT / "Snakefile"


def empty_workflow(jobs: list[Job]) -> tuple[str, dict]:
    """A Snakefile with the rules, wildcards, inputs and outputs of some jobs, and its inputs.

    Inputs are patterns where one fits all jobs of a rule, else lists that are looked up.
    """
    rules: dict[str, list[Job]] = {}
    for job in jobs:
        rules.setdefault(job.rule, []).append(job)
    models = "|".join(sorted({j.wildcards["model"] for j in jobs if "model" in j.wildcards}))
    lists: dict[str, object] = {}
    text = 'import json\n\nINPUTS = json.load(open("inputs.json"))\n\n'
    text += f'wildcard_constraints:\n    slide="[^/]+",\n    model="{models}",\n\n'
    for name in sorted(rules, key=lambda name: name != "all"):
        text += _empty_rule(name, rules[name], lists)
    return text, lists


def _empty_rule(name: str, jobs: list[Job], lists: dict) -> str:
    patterns = [_as_patterns(job) for job in jobs]
    if all(pattern == patterns[0] for pattern in patterns) and len(patterns[0]) < 10:
        given = repr(patterns[0])[1:-1] or "[]"
    elif not jobs[0].wildcards:
        lists[name] = jobs[0].input
        given = f"INPUTS[{name!r}]"
    else:
        keys = sorted(jobs[0].wildcards)
        lists[name] = {"/".join(job.wildcards[k] for k in keys): job.input for job in jobs}
        parts = ", ".join(f"wildcards.{key}" for key in keys)
        given = f'lambda wildcards: INPUTS[{name!r}]["/".join([{parts}])]'
    text = f"rule {name}:\n    input:\n        {given},\n"
    if jobs[0].patterns:
        written = ", ".join(map(repr, jobs[0].patterns))
        text += f'    output:\n        {written},\n    shell:\n        "true"\n'
    return text + "\n"


def _as_patterns(job: Job) -> list[str]:
    """The job's inputs with the values of its wildcards replaced by their names."""
    found = []
    for path in job.input:
        for name, value in job.wildcards.items():
            if name != "fold":
                path = re.sub(rf"(?<=/){re.escape(value)}(?=[/._])", f"{{{name}}}", path)
        found.append(path)
    return found


def shape(jobs: list[Job]) -> list[tuple]:
    """What two workflows of the same shape have in common."""
    return sorted((job.rule, sorted(job.wildcards.items()), job.input, job.output) for job in jobs)


def list_in_own_process(*arguments) -> list[Job]:
    """`list_jobs` in a new process: Snakemake keeps much in memory, and changes folder."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(list_jobs, *arguments).result()


def make(folder: Path, count: int) -> None:
    """Make both archives, finished with `count` slides; the empty workflow knows one more."""
    true, empty = folder / "true", folder / "empty"
    for part in (true, empty):
        write_slides(part, count + 1)
        (part / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    for number in (count + 1, count):
        write_slides(true, number)
        write_empty(empty, list_in_own_process(true, number == count), number)
    use(folder, count)
    jobs = list_in_own_process(true, False)
    if shape(list_in_own_process(empty, True)) != shape(jobs):
        raise SystemExit("the empty workflow is not of the same shape")
    (folder / "count.json").write_text(json.dumps([count, len(jobs)]))


def write_empty(folder: Path, jobs: list[Job], count: int) -> None:
    """Write the empty workflow of some jobs into its folder."""
    text, lists = empty_workflow(jobs)
    (folder / "Snakefile").write_text(text)
    (folder / f"inputs{count}.json").write_text(json.dumps(lists))


def use(folder: Path, count: int) -> None:
    """Let both workflows know so many slides."""
    write_slides(folder / "true", count)
    (folder / "empty" / "inputs.json").write_bytes(
        (folder / "empty" / f"inputs{count}.json").read_bytes()
    )


def snakemake(folder: Path, *flags: str) -> Run:
    """Run Snakemake as a user would."""
    command = [sys.executable, "-m", "snakemake", "--cores", "2", *flags]
    command += ["--snakefile", str(snakefile_of(folder)), "--configfile", "config.yaml"]
    start = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    with process.stdout as output:
        printed = output.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(printed)
    seconds = time.perf_counter() - start
    # Linux counts ru_maxrss in units of 1024 bytes.
    memory_gb = usage.ru_maxrss * 1024 / 1e9
    return Run(seconds, usage.ru_utime + usage.ru_stime, memory_gb, printed)


def planned(run: Run) -> dict[str, int]:
    """Jobs that a dry run lists, by rule, without `all`."""
    table = re.findall(r"^(\w+) +(\d+)$", run.printed, re.M)
    return {name: int(count) for name, count in table if name not in ("all", "total")}


def in_turn(folder: Path, repeats: int, *flags: str) -> tuple[list[Run], list[Run]]:
    """Runs of the true and of the empty workflow, alternating."""
    runs: tuple[list[Run], list[Run]] = ([], [])
    for _ in range(repeats):
        for part, found in zip(("true", "empty"), runs, strict=True):
            found.append(snakemake(folder / part, *flags))
    return runs


def row(*columns: object) -> str:
    """A row of a Markdown table."""
    return f"| {' | '.join(map(str, columns))} |"


def ratio(runs: tuple[list[Run], list[Run]], of: str) -> str:
    """Median ratio of runs that follow one another."""
    pairs = [(getattr(a, of), getattr(b, of)) for a, b in zip(*runs, strict=True)]
    return f"{statistics.median(a / b for a, b in pairs):.2f}"


def columns_of(runs: tuple[list[Run], list[Run]]) -> list[str]:
    """Medians, ratios and the largest memory of alternating runs."""
    medians = [statistics.median(run.seconds for run in part) for part in runs]
    memory = [max(run.memory_gb for run in part) for part in runs]
    return [
        *(f"{value:.1f}" for value in medians),
        ratio(runs, "seconds"),
        ratio(runs, "processor_seconds"),
        *(f"{value:.2f}" for value in memory),
    ]


def measure(folder: Path, kinds: list[str], repeats: int) -> None:
    """Measure both and print a table."""
    count, jobs = json.loads((folder / "count.json").read_text())
    print(row(*COLUMNS))
    print("|" + "---|" * len(COLUMNS))
    if "idle" in kinds:
        use(folder, count)
        runs = in_turn(folder, repeats)
        for run in (*runs[0], *runs[1]):
            if "Nothing to be done" not in run.printed:
                raise SystemExit(f"something was done:\n{run.printed[-2000:]}")
        print(row(f"{count:,}", "nothing to do", f"{jobs:,}", *columns_of(runs)), flush=True)
    if "more" in kinds:
        use(folder, count + 1)
        runs = in_turn(folder, repeats, "--dry-run")
        plans = [planned(run) for run in (*runs[0], *runs[1])]
        if any(plan != ONE_MORE for plan in plans):
            raise SystemExit(f"plans are {plans}")
        print(row(f"{count:,}", "dry run, one more slide", f"{jobs + 3:,}", *columns_of(runs)))
        use(folder, count)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("make", "measure"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--slides", type=int, default=1000)
    parser.add_argument("--kinds", nargs="+", choices=("idle", "more"), default=["idle", "more"])
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    folder = args.folder.resolve()
    if args.what == "make":
        make(folder, args.slides)
    else:
        measure(folder, args.kinds, args.repeats)


if __name__ == "__main__":
    main()
