"""Time scripts/crate.py on a made-up result folder of many segmented slides.

    python benchmarks/crate.py --slides 10000

Prints processor seconds, most memory, and the size of the crate. Nothing but root files and records
is made: that is all that the step reads, but for the tables of objects, which it digests.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

from overtile.stores.ngff import multiscale_attributes  # noqa: E402
from overtile.stores.root import sealed_root  # noqa: E402

TABLE_BYTES = 20_000
VERSIONS = [f"library{number}" for number in range(15)]


def write_store(folder: Path, holds: str, script: str, **facts: object) -> None:
    """The root of a store, and the record of the run that made it."""
    folder.mkdir(parents=True)
    own = {"holds": holds, "digest": "0" * 64}
    if holds == "picture":
        own |= {"mean": [1.0], "std": [1.0]}
    ome = multiscale_attributes(folder.name, "zyx", [(1, 1, 1)], None, is_label=False)
    root = json.dumps(sealed_root(ome, own, {"0": "0" * 64}))
    (folder / "zarr.json").write_text(root)
    run = {
        "script": script,
        "command": f"python scripts/{script} --image slide.ome.zarr --store {folder}",
        "code": "0123456789abcdef",
        "started": "2026-01-01T00:00:00.000+00:00",
        "ended": "2026-01-01T00:01:00.000+00:00",
        "versions": dict.fromkeys(VERSIONS, "1.0"),
        "content": sha256(root.encode()).hexdigest(),
        **facts,
    }
    (folder / "effort.json").write_text(json.dumps({"runs": [run]}))


def write_results(results: Path, slides: list[str]) -> None:
    """What the workflow leaves for slides without reference."""
    tables = results / "objects" / "unet"
    tables.mkdir(parents=True)
    for slide in slides:
        store = results / "slides" / f"{slide}.ome.zarr"
        raw = {f"/data/{slide}.tif": "0" * 64}
        write_store(store, "picture", "ingest.py", inputs=raw)
        probabilities = results / "probabilities" / "unet" / store.name
        write_store(probabilities, "probabilities", "predict.py")
        table = bytes(TABLE_BYTES)
        written = [sha256(table).hexdigest()]
        write_store(store / "labels" / "unet", "labels", "segment.py", also=written)
        (tables / f"{slide}.parquet").write_bytes(table)
    (results / "workflow").mkdir()
    (results / "workflow" / "config.yaml").write_text("models: {unet: {}}\n")
    rows = "".join(f"{slide}\t{slide}.tif\t\n" for slide in slides)
    (results.parent / "slides.tsv").write_text(f"slide\timage\tsplit\n{rows}")


def main() -> None:
    """Make the folder, describe it, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slides", type=int, default=10_000)
    count = parser.parse_args().slides
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results"
        write_results(results, [f"slide{number}" for number in range(count)])
        crate = results / "ro-crate-metadata.json"
        command = [sys.executable, ROOT / "scripts" / "crate.py", "--models", "unet"]
        command += ["--results", results, "--crate", crate, "--sheet", f"{folder}/slides.tsv"]
        command += ["--snakefile", ROOT / "Snakefile"]
        command += ["--config", results / "workflow" / "config.yaml"]
        subprocess.run(list(map(str, command)), check=True)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        print(
            f"{count} slides: {used.ru_utime + used.ru_stime:.1f} s of one core, "
            f"{used.ru_maxrss / 1e3:.0f} MB of memory, {crate.stat().st_size / 1e6:.1f} MB"
        )


if __name__ == "__main__":
    main()
