"""Stores are served to viewers in parts, and Neuroglancer is told of all layers."""

import asyncio
import json
import queue
import re
import shutil
import threading
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import pytest

from overtile.errors import InputError
from overtile.exports import viewing
from overtile.exports.viewing import neuroglancer_state, serve
from overtile.ingest.pictures import write_picture
from overtile.ingest.references import write_reference
from overtile.readers.raw import RawImage

VIEWER = "https://viewer.example"


@pytest.fixture
def slide(tmp_path):
    """A picture with labels of a reference and a model, under a name with a blank."""
    store = tmp_path / "slides" / "slide 1.ome.zarr"
    pixels = np.random.default_rng(0).integers(0, 9, (1, 1, 40, 50)).astype(np.uint8)
    raw = RawImage(tmp_path / "made.tif", pixels, (0, 1, 2, 3), None)
    write_picture(raw, store, "k", None, None)
    for name in ("reference", "unet"):
        folder = store / "labels" / name
        write_reference(raw, folder, "k", "instances", ["background", "cell"], [], None, None)
    (tmp_path / "secret.txt").write_text("secret")
    shutil.copytree(store, store.with_name("other.ome.zarr"))
    (store / "inside.json").symlink_to(store / "zarr.json")
    (store / "outside.txt").symlink_to(tmp_path / "secret.txt")
    (store / "linked").symlink_to(tmp_path / "slides" / "other.ome.zarr")
    return store


@pytest.fixture
def served(slide):
    """The address under which the store has its name."""
    loop, started = asyncio.new_event_loop(), queue.Queue()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(serve(slide, 0, f"{VIEWER}/page/", started.put), loop)
    address = started.get(timeout=20)
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/slide%201\.ome\.zarr", address)
    yield address.removesuffix("/slide%201.ome.zarr")
    server.cancel()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def get(address, method="GET", **headers):
    return urlopen(Request(address, headers=headers, method=method), timeout=20)


def test_files_are_served_whole_and_in_parts(slide, served):
    path = "slide%201.ome.zarr/0/c/0/0/0/0"
    content = (slide / "0/c/0/0/0/0").read_bytes()
    whole = get(f"{served}/{path}")
    assert (whole.status, whole.read()) == (200, content)
    part = get(f"{served}/{path}", Range="bytes=-20")
    assert (part.status, part.read()) == (206, content[-20:])
    size = len(content)
    assert part.headers["Content-Range"] == f"bytes {size - 20}-{size - 1}/{size}"
    head = get(f"{served}/{path}", "HEAD")
    assert (head.headers["Content-Length"], head.read()) == (str(size), b"")


def test_only_the_viewer_may_read_and_it_may_ask_for_ranges(served):
    for method in ("GET", "OPTIONS"):
        answer = get(f"{served}/slide%201.ome.zarr/zarr.json", method)
        assert answer.headers["Access-Control-Allow-Origin"] == VIEWER
        assert answer.headers["Access-Control-Allow-Headers"] == "Range"


@pytest.mark.parametrize(
    ("path", "header", "status"),
    [
        ("", "", 404),
        ("no.zarr/zarr.json", "", 404),
        ("neuroglancer.json", "", 404),
        ("../secret.txt", "", 404),
        ("%2e%2e/secret.txt", "", 404),
        ("other.ome.zarr/zarr.json", "", 404),
        ("other.ome.zarr/neuroglancer.json", "", 404),
        ("slide%201.ome.zarr/../other.ome.zarr/zarr.json", "", 404),
        ("slide%201.ome.zarr/outside.txt", "", 404),
        ("slide%201.ome.zarr/linked/zarr.json", "", 404),
        ("slide%201.ome.zarr/linked/neuroglancer.json", "", 404),
        ("slide%201.ome.zarr/" + "a/" * 3000, "", 404),
        ("slide%201.ome.zarr/" + "a" * 300, "", 404),
        ("slide%201.ome.zarr/%00", "", 404),
        ("slide%201.ome.zarr/zarr.json", "bytes=99999-", 416),
    ],
)
def test_what_is_not_there_is_not_served(served, path, header, status, capfd):
    with pytest.raises(HTTPError) as refused:
        get(f"{served}/{path}", Range=header)
    assert refused.value.status == status
    assert refused.value.headers["Access-Control-Allow-Origin"] == VIEWER
    assert capfd.readouterr().err == ""


def test_a_link_to_another_file_of_the_store_is_served(slide, served):
    with get(f"{served}/slide%201.ome.zarr/inside.json") as answer:
        assert answer.read() == (slide / "zarr.json").read_bytes()


def test_a_page_that_has_its_own_name_point_here_may_not_read(served):
    port = served.rpartition(":")[2]
    address = f"{served}/slide%201.ome.zarr/zarr.json"
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", "localhost"):
        assert get(address, Host=host).status == 200
    for host in (f"evil.example:{port}", "evil.example", "127.0.0.1:1", f"127.0.0.1.nip.io:{port}"):
        with pytest.raises(HTTPError) as refused:
            get(address, Host=host)
        assert (refused.value.status, refused.value.read()) == (403, b"")


@pytest.mark.parametrize(("header", "first"), [("", 0), ("bytes=100-", 100)])
def test_a_large_file_is_sent_in_pieces(slide, served, monkeypatch, header, first):
    content = np.random.default_rng(0).bytes(10**6)
    (slide / "large").write_bytes(content)
    sent, pieces = [], viewing._Files.get_content

    def watched(*which):
        for piece in pieces(*which):
            sent.append(len(piece))
            yield piece

    monkeypatch.setattr(viewing._Files, "get_content", staticmethod(watched))
    answer = get(f"{served}/slide%201.ome.zarr/large", Range=header)
    assert answer.read() == content[first:]
    assert max(sent) <= 10**5 and sum(sent) == len(content) - first


def test_one_address_names_picture_and_labels_as_they_are_when_asked(slide, served):
    address = f"{served}/slide%201.ome.zarr"

    def layers():
        return json.load(get(f"{address}/neuroglancer.json"))["layers"]

    assert [(layer["name"], layer["type"]) for layer in layers()] == [
        ("picture", "image"),
        ("reference", "segmentation"),
        ("unet", "segmentation"),
        ("reference classes", "segmentation"),
        ("unet classes", "segmentation"),
    ]
    assert {layer["name"] for layer in layers() if not layer.get("visible", True)} == {
        "reference classes",
        "unet classes",
    }
    for layer in layers():
        root = json.load(get(layer["source"].removeprefix("zarr3://") + "zarr.json"))
        assert root["attributes"]["ome"]["multiscales"]
    (slide / "labels" / "unet" / "zarr.json").unlink()
    assert [layer["name"] for layer in layers()] == ["picture", "reference", "reference classes"]


def test_a_picture_without_labels_is_one_layer(tmp_path):
    assert len(neuroglancer_state(tmp_path, "http://host/s")["layers"]) == 1


@pytest.mark.parametrize(
    ("pixel_size_um", "dimensions"),
    [
        ((2.0, 0.5, 0.25), {"x": [2.5e-7, "m"], "y": [5e-7, "m"], "z": [2e-6, "m"]}),
        (None, {"x": [1.0, ""], "y": [1.0, ""], "z": [1.0, ""]}),
    ],
)
def test_a_picture_is_seen_from_the_front(slide, pixel_size_um, dimensions):
    raw = RawImage(slide / "made.tif", np.ones((2, 1, 4, 5), np.uint8), (0, 1, 2, 3), None)
    store = slide.with_name("other size.ome.zarr")
    write_picture(raw, store, "k", pixel_size_um, None)
    state = neuroglancer_state(store, "http://host/s")
    # Layout "xy" puts the first displayed axis to the right and the second one down.
    assert (state["layout"], state["displayDimensions"]) == ("xy", ["x", "y", "z"])
    assert state["dimensions"] == dimensions
    assert list(state["dimensions"]) == ["x", "y", "z"]


@pytest.mark.parametrize(
    ("root", "is_shown"),
    [
        ({"attributes": {"ome": {"multiscales": [{"datasets": [{"path": "0"}]}]}}}, True),
        *(({"attributes": part}, False) for part in ({}, {"ome": {}}, {"ome": []}, [], None)),
        *((part, False) for part in ([], 3)),
    ],
)
def test_labels_of_another_program_are_shown_if_they_are_ngff_and_break_nothing(
    slide, root, is_shown
):
    before = neuroglancer_state(slide, "http://host/s")["layers"]
    foreign = slide / "labels" / "by hand"
    foreign.mkdir()
    (foreign / "zarr.json").write_text(json.dumps(root))
    added = [
        one for one in neuroglancer_state(slide, "http://host/s")["layers"] if one not in before
    ]
    assert [layer["name"] for layer in added] == ["by hand"] * is_shown
    (foreign / "zarr.json").write_bytes(b"\xff{")
    assert neuroglancer_state(slide, "http://host/s")["layers"] == before


def test_a_port_that_is_taken_is_one_line(slide, served):
    port = int(served.rpartition(":")[2])
    with pytest.raises(InputError, match="--port: .*choose another port"):
        asyncio.run(serve(slide, port, VIEWER, print))
