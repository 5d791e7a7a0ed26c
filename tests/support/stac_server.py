"""A local STAC API over SAFE products, with pages, faults and items that make no sense."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import rasterio

from landseries.bands import BANDS, GROUND_SAMPLING_DISTANCE_M

from .range_server import RangeServer
from .served import served
from .tiny_archive import LEFT_M, TOP_M, TinyProduct

#: Every image of a product: (image, pixel size in metres).
IMAGES: Final = (*GROUND_SAMPLING_DISTANCE_M.items(), ("SCL", 20))
_CONFORMS: Final = (
    "https://api.stacspec.org/v1.0.0/core",
    "https://api.stacspec.org/v1.0.0/item-search",
    "https://api.stacspec.org/v1.0.0/item-search#query",
)


@dataclass
class StacServer:
    """Items, and what happened to them.

    Attributes:
        items: what a search finds; anything, also what is no item.
        page_size: items of a page, at most.
        conforms: conformance classes.
        fault: asked for each request; (status, Retry-After) to answer with, or None.
        searches: bodies of the searches.
        answers: status -> number.
        is_endless: each page has a next one, which holds the same.
        enter, leave: called when a request begins, and when its answer is about to be sent.
    """

    items: list[Any] = field(default_factory=list)
    collection: str = "sentinel-2-l2a"
    page_size: int = 2
    conforms: tuple[str, ...] = _CONFORMS
    fault: Callable[[str], tuple[int, str] | None] = lambda path: None
    searches: list[dict[str, Any]] = field(default_factory=list)
    answers: Counter[int] = field(default_factory=Counter)
    times: list[float] = field(default_factory=list)
    is_endless: bool = False
    enter: Callable[[], None] = lambda: None
    leave: Callable[[], None] = lambda: None
    landing: bytes | None = None
    url: str = ""

    def found(self, body: dict[str, Any]) -> list[Any]:
        """Items that a search finds; those without a place in time are always found."""
        return [item for item in self.items if _fits(item, body)]


def _fits(item: Any, body: dict[str, Any]) -> bool:
    if not isinstance(item, dict) or not isinstance(item.get("properties"), dict):
        return "ids" not in body
    if "ids" in body:
        return item.get("id") in body["ids"]
    first, last = body["datetime"].split("/")
    for name, terms in body.get("query", {}).items():
        if item["properties"].get(name) != terms["eq"]:
            return False
    return bool(first <= str(item["properties"].get("datetime", first)) <= last)


@contextmanager
def stac_server() -> Iterator[StacServer]:
    """Serve while the context is open."""
    state = StacServer()

    class Handler(_Handler):
        server_state = state

    with served(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as state.url:
        yield state


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_state: StacServer

    def do_GET(self) -> None:
        state = self.server_state
        if self._is_refused():
            return
        if self.path.rstrip("/"):
            return self._send(404, b"{}")
        if state.landing is not None:
            return self._send(200, state.landing)
        links = [{"rel": "self", "href": state.url}, {"rel": "root", "href": state.url}]
        links.append({"rel": "search", "href": f"{state.url}/search", "type": "application/geo+json", "method": "POST"})
        landing = {"type": "Catalog", "id": "test", "stac_version": "1.0.0", "description": "test", "links": links}
        return self._send(200, json.dumps({**landing, "conformsTo": state.conforms}).encode())

    def do_POST(self) -> None:
        state = self.server_state
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self._is_refused():
            return None
        state.searches.append(body)
        found = state.found(body)
        start = int(body.get("token", 0))
        stop = start + min(state.page_size, body.get("limit", state.page_size))
        links = []
        if stop < len(found) or state.is_endless:
            token = 0 if state.is_endless else stop
            link = {"rel": "next", "href": f"{state.url}/search", "method": "POST", "body": {**body, "token": token}}
            links = [link]
        page = {"type": "FeatureCollection", "features": found[start:stop], "links": links}
        return self._send(200, json.dumps(page).encode())

    def _is_refused(self) -> bool:
        self.server_state.times.append(time.monotonic())
        self.server_state.enter()
        fault = self.server_state.fault(self.path)
        if fault is not None:
            self._send(fault[0], b"later", {"Retry-After": fault[1]})
        return fault is not None

    def _send(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.server_state.answers[status] += 1
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.server_state.leave()
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet."""


def files_of(root: Path) -> dict[str, Path]:
    """Image or kind of metadata -> file, of a product's folder."""
    found = {}
    for image, pixel_m in IMAGES:
        found[image] = next(root.glob(f"GRANULE/*/IMG_DATA/R{pixel_m}m/*_{image}_{pixel_m}m.jp2"))
    found["product"] = next(root.glob("MTD_MSIL2[Aa].xml"))
    found["granule"] = next(root.glob("GRANULE/*/MTD_TL.xml"))
    datastrip = next(root.glob("DATASTRIP/*/MTD_DS.xml"), None)
    if datastrip is not None:
        found["datastrip"] = datastrip
    return found


def item_of(product: TinyProduct, collection: str, assets: dict[str, dict[str, Any]], **fields: Any) -> dict[str, Any]:
    """An item as catalogues write them."""
    day = product.start
    instant = f"{day[:4]}-{day[4:6]}-{day[6:8]}T{day[9:11]}:{day[11:13]}:{day[13:]}.024Z"
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": f"{product.platform}_T{product.granule}_{product.start}_{product.discriminator}_L2A",
        "collection": collection,
        "geometry": None,
        "links": [],
        "properties": {
            "datetime": instant,
            "updated": "2024-02-03T04:05:06Z",
            "proj:epsg": product.epsg,
            "grid:code": f"MGRS-{product.granule}",
            "s2:mgrs_tile": product.granule,
            "s2:product_uri": f"{product.name}.SAFE",
            "s2:processing_baseline": f"{product.baseline[:2]}.{product.baseline[2:]}",
            "s2:datastrip_id": f"S2A_OPER_MSI_L2A_DS_VGS2_{product.discriminator}_S{product.datastrip}_N02.08",
            "s2:nodata_pixel_percentage": 12.5,
            **fields,
        },
        "assets": assets,
    }


def asset_of(product: TinyProduct, image: str, href: str, offset: float | None = None) -> dict[str, Any]:
    """An image as items describe it."""
    pixel_m = GROUND_SAMPLING_DISTANCE_M.get(image, 20)
    shape = [product.shape[0] * 10 // pixel_m, product.shape[1] * 10 // pixel_m]
    content: dict[str, Any] = {
        "href": href,
        "type": "image/jp2" if href.endswith(".jp2") else "image/tiff; application=geotiff; profile=cloud-optimized",
        "proj:shape": shape,
        "proj:transform": [pixel_m, 0, LEFT_M, 0, -pixel_m, TOP_M],
    }
    if image in BANDS and offset is not None:
        content["raster:bands"] = [{"nodata": 0, "data_type": "uint16", "scale": 0.0001, "offset": offset}]
    return content


def to_cog(jp2: Path, target: Path) -> bytes:
    """The same pixels as a cloud-optimised GeoTIFF."""
    with rasterio.open(jp2) as source:
        values, profile = source.read(), source.profile
    kept = {name: profile[name] for name in ("width", "height", "count", "dtype", "crs", "transform")}
    with rasterio.open(target, "w", driver="COG", blocksize=128, compress="DEFLATE", **kept) as image:
        image.write(values)
    return target.read_bytes()


def publish(
    root: Path, product: TinyProduct, names: dict[str, str], server: RangeServer, offset: float | None = None
) -> dict[str, dict[str, Any]]:
    """Put a product's images as GeoTIFFs, and its metadata, onto a server; the assets of its item.

    Args:
        root: folder of the product.
        product: what was written there.
        names: image, `product`, `granule` or `datastrip` -> asset; others are left out.
        server: holds the files.
        offset: what the catalogue says of the bands.
    """
    assets: dict[str, dict[str, Any]] = {}
    for key, path in files_of(root).items():
        if key not in names:
            continue
        if path.suffix == ".xml":
            href = f"{product.name}/{path.name}"
            server.files[href] = path.read_bytes()
            assets[names[key]] = {"href": f"{server.url}/{href}", "type": "application/xml"}
        else:
            href = f"{product.name}/{key}.tif"
            server.files[href] = to_cog(path, root.parent / "image.tif")
            assets[names[key]] = asset_of(product, key, f"{server.url}/{href}", offset)
    return assets
