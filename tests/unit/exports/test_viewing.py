"""Stores are served to viewers in parts, and Neuroglancer is told of all layers."""

import json
import shutil
import threading
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from overtile.errors import InputError
from overtile.exports import viewing
from overtile.exports.viewing import byte_range, neuroglancer_layers, serve
from overtile.ingest.pictures import write_picture
from overtile.ingest.references import write_reference
from overtile.readers.raw import RawImage

VIEWER = "https://viewer.example"


@given(st.integers(0, 12), st.one_of(st.none(), st.integers(0, 14)), st.integers(1, 14))
def test_a_range_is_a_slice_of_the_file(first, last, size):
    content = bytes(range(size))
    expected = content[first:] if last is None else content[first : last + 1]
    header = f"bytes={first}-{'' if last is None else last}"
    if last is not None and last < first:
        assert byte_range(header, size) is None
    elif expected == b"":
        with pytest.raises(ValueError, match="allowed: within"):
            byte_range(header, size)
    else:
        assert content[slice(*byte_range(header, size))] == expected


@given(st.integers(1, 14), st.integers(1, 14))
def test_a_range_from_the_end_is_no_longer_than_the_file(length, size):
    content = bytes(range(size))
    assert content[slice(*byte_range(f"bytes=-{length}", size))] == content[-length:]


@pytest.mark.parametrize("header", [None, "", "bytes", "bytes=-", "bytes=0-1,3-4", "lines=1-2"])
def test_what_is_no_single_range_of_bytes_is_the_whole_file(header):
    assert byte_range(header, 9) is None


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
    with serve(slide, 0, f"{VIEWER}/page/") as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert server.address == f"http://127.0.0.1:{server.server_port}/slide%201.ome.zarr"
        yield server.address.removesuffix("/slide%201.ome.zarr")
        server.shutdown()


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
    monkeypatch.setattr(viewing, "PIECE_BYTES", 1000)
    content = np.random.default_rng(0).bytes(9_500)
    (slide / "large").write_bytes(content)
    copied, copyfile = [], viewing._Handler.copyfile

    class Watched:
        def __init__(self, file):
            self._file = file

        def read(self, size):
            copied.append(size)
            return self._file.read(size)

    monkeypatch.setattr(
        viewing._Handler, "copyfile", lambda self, file, to: copyfile(self, Watched(file), to)
    )
    answer = get(f"{served}/slide%201.ome.zarr/large", Range=header)
    assert answer.read() == content[first:]
    assert max(copied) == 1000 and len(copied) >= 10


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
    assert len(neuroglancer_layers(tmp_path, "http://host/s")["layers"]) == 1


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
    before = neuroglancer_layers(slide, "http://host/s")["layers"]
    foreign = slide / "labels" / "by hand"
    foreign.mkdir()
    (foreign / "zarr.json").write_text(json.dumps(root))
    added = [
        one for one in neuroglancer_layers(slide, "http://host/s")["layers"] if one not in before
    ]
    assert [layer["name"] for layer in added] == ["by hand"] * is_shown
    (foreign / "zarr.json").write_bytes(b"\xff{")
    assert neuroglancer_layers(slide, "http://host/s")["layers"] == before


def test_a_port_that_is_taken_is_one_line(slide):
    with (
        serve(slide, 0, VIEWER) as server,
        pytest.raises(InputError, match="--port: .*choose another one"),
    ):
        serve(slide, server.server_port, VIEWER)
