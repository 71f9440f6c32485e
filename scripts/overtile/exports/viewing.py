"""What viewers need to show a store over HTTP: byte ranges, and one address for all layers.

Shards are read in parts, which tornado's handler of static files offers. Neuroglancer does not look
for labels by itself, but takes the address of a list of layers (google/neuroglancer #869).
"""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, urlsplit

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, HTTPError, StaticFileHandler

from overtile.errors import InputError
from overtile.stores.store import ROOT

STATE = "neuroglancer.json"
"""Where the store is served, this file seems to lie in it; it is made for each request."""


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


async def serve(store: Path, port: int, viewer: str, started: Callable[[str], None]) -> None:
    """Serve one store, nothing beside it, to this machine alone, until the task is cancelled.

    port: 0 takes a free one. viewer: the address of a viewer, whose pages may read the store; no
    other page can. started: is called with the store's address, which ends in its name, as viewers
    show it. Each request is answered as the files are then: results of a model appear when it ends.
    Raises InputError if the port is taken.
    """
    try:
        (socket,) = bind_sockets(port, "127.0.0.1")
    except (OSError, OverflowError) as error:
        raise InputError(f"--port: {port} is not free ({error}); choose another port") from None
    store, parts = store.resolve(), urlsplit(viewer)
    hosts = [f"{name}:{socket.getsockname()[1]}" for name in ("127.0.0.1", "localhost")]
    application = Application(
        [(r"/(.*)", _Files, {"path": str(store.parent)})],
        log_function=lambda handler: None,
        store=store,
        hosts=hosts,
        viewer=f"{parts.scheme}://{parts.netloc}",
    )
    HTTPServer(application).add_socket(socket)
    started(f"http://{hosts[0]}/{quote(store.name)}")
    await asyncio.Event().wait()


class _Files(StaticFileHandler):
    """Files of one store, and its state for Neuroglancer.

    Settings of the application: store, its folder; hosts, the server's names; viewer, the origin
    that may read.
    """

    def set_default_headers(self) -> None:
        """Headers of all answers, also where a file is not there."""
        self.set_header("Access-Control-Allow-Origin", self.settings["viewer"])
        self.set_header("Access-Control-Allow-Headers", "Range")
        self.set_header("Access-Control-Allow-Private-Network", "true")
        self.set_header("Access-Control-Expose-Headers", "Content-Range")
        self.set_header("Cache-Control", "no-cache")

    def prepare(self) -> None:
        """Refuse a request whose Host is not this machine's.

        Another name may be one that a page made point here, to read what only viewers may.
        """
        hosts = self.settings["hosts"]
        if self.request.host not in (*hosts, "127.0.0.1", "localhost"):
            raise HTTPError(403)

    def options(self, path: str) -> None:
        """Tell a browser that ranges may be asked for."""
        self.set_status(204)

    async def get(self, path: str, include_body: bool = True) -> None:
        """Answer with the state, or a file or a part of it."""
        store = self.settings["store"]
        if path != f"{store.name}/{STATE}":
            return await super().get(path, include_body)
        address = f"http://{self.settings['hosts'][0]}/{quote(store.name)}"
        return await self.finish(neuroglancer_state(store, address))

    @classmethod
    def get_absolute_path(cls, root: str, path: str) -> str:
        """Where a file would lie; whether it may be read is seen later."""
        return str(Path(root, path))

    def validate_absolute_path(self, root: str, absolute_path: str) -> str:
        """Refuse folders, what is not there, and what does not lie in the store, also by a link."""
        path = Path(absolute_path)
        try:
            if path.resolve().is_relative_to(self.settings["store"]) and path.is_file():
                return absolute_path
        except (OSError, ValueError):  # a path too long, or with characters that no file has
            pass
        raise HTTPError(404)

    def compute_etag(self) -> None:
        """None: it would be a digest of the whole file."""

    def should_return_304(self) -> bool:
        """A file may be replaced by one that is older."""
        return False

    def write_error(self, status_code: int, **_: object) -> None:
        """Say no more than the status."""
        self.finish()
