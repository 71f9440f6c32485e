"""What viewers need to show a store over HTTP: byte ranges, and one address for all layers.

Shards are read in parts, which Python's own `http.server` does not offer. Neuroglancer does not
look for labels by itself, but takes the address of a list of layers (google/neuroglancer #869).
"""

import json
import re
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, AnyStr, BinaryIO
from urllib.parse import quote, urlsplit

from overtile.errors import InputError
from overtile.stores.store import ROOT

if TYPE_CHECKING:
    from _typeshed import SupportsRead, SupportsWrite

LAYERS = "neuroglancer.json"
"""Where the store is served, this file seems to lie in it; it is made for each request."""

PIECE_BYTES = 1 << 20
"""How much of a file is read at a time."""


METRES = {"micrometer": 1e-6}
"""Of a unit of length that stores have."""


def neuroglancer_state(store: Path, address: str) -> dict:
    """A Neuroglancer state that shows a picture from the front, with its labels.

    store: of a picture. address: of the same folder, for the viewer. Layers are the picture, its
    finished labels, and their class maps, hidden. Labels that other programs wrote are shown if
    they are NGFF; they have no class map.
    """
    roots = sorted((store / "labels").glob(f"*/{ROOT}"))
    labels = [root.parent.name for root in roots if _multiscale(root.parent)]
    layers = [_layer("image", "picture", f"{address}/")]
    layers += [_layer("segmentation", name, f"{address}/labels/{quote(name)}/") for name in labels]
    layers += [
        _layer("segmentation", f"{name} classes", f"{address}/labels/{quote(name)}/classes/", False)
        for name in labels
        if _multiscale(store / "labels" / name / "classes")
    ]
    return {**_front_view(_multiscale(store)), "layers": layers, "layout": "xy"}


def _layer(kind: str, name: str, source: str, is_visible: bool = True) -> dict:
    """One layer; source: address of a store."""
    return {"type": kind, "name": name, "source": f"zarr3://{source}", "visible": is_visible}


def _front_view(multiscale: dict | None) -> dict:
    """Which axes lie on the screen, and the size of a pixel: x to the right, y down, z through it.

    Without it Neuroglancer takes the order of the array: z to the right and y down, edge-on.
    """
    if multiscale is None:
        return {}
    steps = multiscale["datasets"][0]["coordinateTransformations"]
    scale = next(step["scale"] for step in steps if step["type"] == "scale")
    pixels = {}
    for axis, size in zip(multiscale["axes"], scale, strict=True):
        metres = METRES.get(axis.get("unit", ""))
        pixels[axis["name"]] = [size * metres, "m"] if metres else [size, ""]
    shown = ("x", "y", "z")
    return {"dimensions": {name: pixels[name] for name in shown}, "displayDimensions": [*shown]}


def _multiscale(folder: Path) -> dict | None:
    """The levels and axes of the image that lies in a folder; None if it is no NGFF image."""
    try:
        return json.loads((folder / ROOT).read_bytes())["attributes"]["ome"]["multiscales"][0]
    except (OSError, ValueError, LookupError, TypeError):
        return None


RANGE = re.compile(r"\s*bytes\s*=\s*([0-9]*)-([0-9]*)\s*")
"""A Range header with one range, of bytes: the first and the last, of which one may be missing."""


def byte_range(header: str | None, size: int) -> tuple[int, int] | None:
    """First byte and the one after the last that a Range header asks of a file of `size` bytes.

    None for the whole file: without a header, and for one that is not understood (several ranges,
    another unit). Raises ValueError if nothing of the range is in the file. Source: RFC 9110,
    section 14.
    """
    found = RANGE.fullmatch(header or "")
    first, last = found.groups() if found else ("", "")
    if not first and not last:
        return None
    if first and last and int(last) < int(first):
        return None
    start = int(first) if first else max(0, size - int(last))
    stop = min(size, int(last) + 1) if first and last else size
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
            if path == self.server.store / LAYERS:
                return self._send_state()
            if self._is_served(path):
                return self._send_file(path)
        except (OSError, ValueError):  # a path too long, or with characters that no file has
            pass
        self._start(HTTPStatus.NOT_FOUND, 0)
        return None

    def _is_served(self, path: Path) -> bool:
        """Whether it is a file of the store; where a link leads out of it, it is not."""
        return path.resolve().is_relative_to(self.server.store) and path.is_file()

    def _send_state(self) -> BinaryIO:
        state = neuroglancer_state(self.server.store, self.server.address)
        content = json.dumps(state).encode()
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

    def copyfile(self, source: "SupportsRead[AnyStr]", outputfile: "SupportsWrite[AnyStr]") -> None:
        """Send as many bytes as were announced, piece by piece."""
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
