"""What viewers need to show a store over HTTP: byte ranges, and one address for all layers.

Shards are read in parts, which Python's own `http.server` does not offer. Neuroglancer does not
look for labels by itself, but takes the address of a list of layers (google/neuroglancer #869).
"""

import json
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote, urlsplit

from overtile.errors import InputError
from overtile.stores.store import ROOT

LAYERS = "neuroglancer.json"
"""Asked for inside a store, this file is made up: it lies nowhere."""

PIECE_BYTES = 1 << 20
"""Of a file that is sent, however large, so much is held at a time."""


def neuroglancer_layers(store: Path, address: str) -> dict:
    """A Neuroglancer state: the picture, its finished labels, and their class maps, hidden.

    Labels that other programs wrote are shown if they are NGFF, and have no class map. store: of a
    picture. address: of the same folder, for the viewer.
    """
    roots = sorted((store / "labels").glob(f"*/{ROOT}"))
    labels = [root.parent.name for root in roots if _is_ngff(root)]
    layers = [{"type": "image", "name": "picture", "source": f"zarr3://{address}/"}]
    for name in labels:
        source = f"zarr3://{address}/labels/{quote(name)}/"
        layers.append({"type": "segmentation", "name": name, "source": source})
    for name in labels:
        if not _is_ngff(store / "labels" / name / "classes" / ROOT):
            continue
        source = f"zarr3://{address}/labels/{quote(name)}/classes/"
        hidden = {"type": "segmentation", "name": f"{name} classes", "visible": False}
        layers.append({**hidden, "source": source})
    return {"layers": layers, "layout": "xy"}


def _is_ngff(root: Path) -> bool:
    """Whether the root file of a store lists the levels of a multiscale image."""
    try:
        return bool(json.loads(root.read_bytes())["attributes"]["ome"]["multiscales"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def byte_range(header: str | None, size: int) -> tuple[int, int] | None:
    """First byte and the one after the last that a Range header asks of a file of `size` bytes.

    None for the whole file: without a header, and for one that is not understood (several ranges,
    another unit). Raises ValueError if nothing of the range is in the file. Source: RFC 9110,
    section 14.
    """
    unit, _, text = (header or "").partition("=")
    first, dash, last = text.strip().partition("-")
    is_known = all(part == "" or (part.isascii() and part.isdigit()) for part in (first, last))
    if unit.strip() != "bytes" or not dash or not is_known or first == last == "":
        return None
    if first == "":
        start, stop = max(0, size - int(last)), size
    else:
        start, stop = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < start:
            return None
    if start >= stop:
        raise ValueError(f"range is {header}; allowed: within {size} bytes")
    return start, stop


def serve(store: Path, port: int, viewer: str) -> "StoreServer":
    """Serve one store, nothing beside it, to this machine alone, once `serve_forever` is called.

    port: 0 takes a free one. viewer: the address of a viewer, whose pages may read the store; no
    other page can. Each request is answered as the files are then: results of a model appear when
    it ends. Raises InputError if the port is taken.
    """
    parts = urlsplit(viewer)
    try:
        return StoreServer(Path(store).resolve(), port, f"{parts.scheme}://{parts.netloc}")
    except (OSError, OverflowError) as error:
        raise InputError(f"--port: {port} cannot be had ({error}); choose another one") from None


class StoreServer(ThreadingHTTPServer):
    """An HTTP server of one store; viewer: the origin that may read it."""

    daemon_threads = True

    def __init__(self, store: Path, port: int, viewer: str):
        self.store, self.viewer = store, viewer
        super().__init__(("127.0.0.1", port), _Handler)

    @property
    def address(self) -> str:
        """The address of the store, which ends in its name, as viewers show it."""
        return f"http://127.0.0.1:{self.server_port}/{quote(self.store.name)}"

    def is_called(self, host: str | None) -> bool:
        """Whether a request's Host is this machine's.

        Another name may be one that a page made point here, to read what only viewers may.
        """
        names = ("127.0.0.1", "localhost")
        return host in (*names, *(f"{name}:{self.server_port}" for name in names))


class _Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: StoreServer

    def __init__(self, request, client_address, server: StoreServer):
        super().__init__(request, client_address, server, directory=str(server.store.parent))

    def do_OPTIONS(self) -> None:
        """Tell a browser that ranges may be asked for."""
        self._start(HTTPStatus.NO_CONTENT, 0)

    def send_head(self) -> BinaryIO | None:
        """Answer with a file or a part of it; folders are not listed."""
        if not self.server.is_called(self.headers["Host"]):
            self._start(HTTPStatus.FORBIDDEN, 0)
            return None
        path = Path(self.translate_path(self.path))
        try:
            if path.name == LAYERS and self._is_served(path.with_name(ROOT)):
                return self._send_layers(path.parent)
            if self._is_served(path):
                return self._send_file(path)
        except (OSError, ValueError):  # a path too long, or with characters that no file has
            pass
        self._start(HTTPStatus.NOT_FOUND, 0)
        return None

    def _is_served(self, path: Path) -> bool:
        """Whether it is a file of the store; where a link leads out of it, it is not."""
        return path.resolve().is_relative_to(self.server.store) and path.is_file()

    def _send_layers(self, store: Path) -> BinaryIO:
        inside = quote(store.relative_to(self.server.store).as_posix())
        address = f"{self.server.address}/{inside}".removesuffix("/.")
        content = json.dumps(neuroglancer_layers(store, address)).encode()
        self._start(HTTPStatus.OK, len(content))
        return BytesIO(content)

    def _send_file(self, path: Path) -> BinaryIO | None:
        file = open(path, "rb")  # noqa: SIM115  (closed by who sends it)
        size = path.stat().st_size
        try:
            part = byte_range(self.headers["Range"], size)
        except ValueError:
            file.close()
            self._start(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, 0, f"bytes */{size}")
            return None
        if part is None:
            self._start(HTTPStatus.OK, size)
            return file
        start, stop = part
        file.seek(start)
        content_range = f"bytes {start}-{stop - 1}/{size}"
        self._start(HTTPStatus.PARTIAL_CONTENT, stop - start, content_range)
        return file

    def copyfile(self, source: BinaryIO, outputfile: BinaryIO) -> None:
        """Send as many bytes as were announced, in pieces."""
        left = self._length
        while piece := source.read(min(left, PIECE_BYTES)):
            outputfile.write(piece)
            left -= len(piece)

    def _start(self, status: HTTPStatus, length: int, content_range: str = "") -> None:
        self._length = length
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.send_header("Accept-Ranges", "bytes")
        if content_range:
            self.send_header("Content-Range", content_range)
        self.send_header("Access-Control-Allow-Origin", self.server.viewer)
        self.send_header("Access-Control-Allow-Headers", "Range")
        self.send_header("Access-Control-Allow-Private-Network", "true")
        self.send_header("Access-Control-Expose-Headers", "Content-Range")
        self.send_header("Cache-Control", "no-cache")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing of single requests."""
