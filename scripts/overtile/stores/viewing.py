"""What viewers need to show a store over HTTP: byte ranges, and one address for all layers.

Shards are read in parts, which Python's own `http.server` does not offer. Neuroglancer does not
look for labels by itself, but takes the address of a list of layers (google/neuroglancer #869).
"""

import json
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from urllib.parse import quote, urlsplit

from overtile.errors import InputError
from overtile.stores.store import ROOT

LAYERS = "neuroglancer.json"
"""Asked for inside a store, this file is made up: it lies nowhere."""


def neuroglancer_layers(store: Path, address: str) -> dict:
    """A Neuroglancer state: the picture, its finished labels, and their class maps, hidden.

    store: of a picture. address: of the same folder, for the viewer.
    """
    labels = sorted(root.parent.name for root in (store / "labels").glob(f"*/{ROOT}"))
    layers = [{"type": "image", "name": "picture", "source": f"zarr3://{address}/"}]
    for name in labels:
        source = f"zarr3://{address}/labels/{quote(name)}/"
        layers.append({"type": "segmentation", "name": name, "source": source})
    for name in labels:
        source = f"zarr3://{address}/labels/{quote(name)}/classes/"
        hidden = {"type": "segmentation", "name": f"{name} classes", "visible": False}
        layers.append({**hidden, "source": source})
    return {"layers": layers, "layout": "xy"}


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


def serve(folder: Path, port: int, viewer: str) -> "StoreServer":
    """Serve the stores in a folder to this machine alone, once `serve_forever` is called.

    port: 0 takes a free one. viewer: the address of a viewer, whose pages may read the stores; no
    other page can. Each request is answered as the files are then: results of a model appear when
    it ends. Raises InputError if the port is taken.
    """
    parts = urlsplit(viewer)
    try:
        return StoreServer(Path(folder).resolve(), port, f"{parts.scheme}://{parts.netloc}")
    except (OSError, OverflowError) as error:
        raise InputError(f"--port: {port} cannot be had ({error}); choose another one") from None


class StoreServer(ThreadingHTTPServer):
    """An HTTP server of one folder; viewer: the origin that may read it."""

    daemon_threads = True

    def __init__(self, folder: Path, port: int, viewer: str):
        self.folder, self.viewer = folder, viewer
        super().__init__(("127.0.0.1", port), _Handler)

    @property
    def address(self) -> str:
        """The address of the folder."""
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: StoreServer

    def __init__(self, request, client_address, server: StoreServer):
        super().__init__(request, client_address, server, directory=str(server.folder))

    def do_OPTIONS(self) -> None:
        """Tell a browser that ranges may be asked for."""
        self._start(HTTPStatus.NO_CONTENT, 0)

    def send_head(self) -> BytesIO | None:
        """Answer with a file or a part of it; folders are not listed."""
        path = Path(self.translate_path(self.path))
        if path.name == LAYERS and (path.parent / ROOT).is_file():
            inside = quote(path.parent.relative_to(self.server.folder).as_posix())
            layers = neuroglancer_layers(path.parent, f"{self.server.address}/{inside}")
            return self._send(json.dumps(layers).encode(), HTTPStatus.OK)
        if not path.is_file():
            self._start(HTTPStatus.NOT_FOUND, 0)
            return None
        size = path.stat().st_size
        try:
            part = byte_range(self.headers["Range"], size)
        except ValueError:
            self._start(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, 0, f"bytes */{size}")
            return None
        start, stop = part or (0, size)
        with open(path, "rb") as file:
            file.seek(start)
            found = file.read(stop - start)
        if part is None:
            return self._send(found, HTTPStatus.OK)
        return self._send(found, HTTPStatus.PARTIAL_CONTENT, f"bytes {start}-{stop - 1}/{size}")

    def _send(self, content: bytes, status: HTTPStatus, content_range: str = "") -> BytesIO:
        self._start(status, len(content), content_range)
        return BytesIO(content)

    def _start(self, status: HTTPStatus, length: int, content_range: str = "") -> None:
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
