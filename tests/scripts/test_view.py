"""View: what is printed opens the store, and refusals."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "view.py"


def test_the_printed_addresses_open_the_store_until_it_is_stopped(archive):
    command = [sys.executable, SCRIPT, "--store", archive / "a.ome.zarr" / "zarr.json", "--port", 0]
    with subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, text=True) as process:
        try:
            napari, neuroglancer = (process.stdout.readline().split()[-1] for _ in range(2))
            with urlopen(f"{napari}/zarr.json", timeout=20) as answer:
                assert answer.read() == (archive / "a.ome.zarr" / "zarr.json").read_bytes()
            viewer, layers = neuroglancer.split("/#!")
            assert viewer == "https://neuroglancer-demo.appspot.com"
            with urlopen(layers, timeout=20) as answer:
                names = [layer["name"] for layer in json.load(answer)["layers"]]
            assert names == ["picture", "reference", "reference classes"]
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0


def test_labels_in_place_of_a_picture_are_refused(step, archive):
    labels = archive / "a.ome.zarr" / "labels" / "reference"
    result = step("view", "--store", labels)
    assert result.returncode == 1
    assert result.stderr.splitlines() == [
        f"view.py: {labels}: holds labels; give a store that holds picture"
    ]
