"""A DHuS hub on localhost: OpenSearch, OData and product files of an archive of SAFE folders, with faults on demand."""

from __future__ import annotations

import hashlib
import io
import json
import random
import re
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import NAMESPACE_URL, uuid5

import shapely
from pyproj import Transformer

from landseries_fetcher.sources.metadata import ProductName, parse_name
from support.served import served
from support.tiny_archive import LEFT_M, TOP_M

GML = (
    '<gml:Polygon xmlns:gml="http://www.opengis.net/gml"><gml:outerBoundaryIs><gml:LinearRing>'
    "<gml:coordinates>{}</gml:coordinates></gml:LinearRing></gml:outerBoundaryIs></gml:Polygon>"
)


@dataclass
class Stored:
    """A product on the hub; what is not its content can be set by a test.

    Attributes:
        polls: how many more times it says that it is offline, once it was ordered; None: it is online.
    """

    uuid: str
    name: ProductName
    content: bytes
    footprint: shapely.Polygon
    ingested: str = "2024-01-01T00:00:00.000Z"
    digest: str = ""
    geometry: str = ""
    polls: int | None = None
    ordered: int = 0

    @property
    def md5(self) -> str:
        return self.digest or hashlib.md5(self.content).hexdigest()


@dataclass
class Faults:
    """What goes wrong, each so many times before it goes right.

    Attributes:
        away: answers 503 to anything.
        truncated: bodies of products end after `part` bytes.
        flows: 403, because the user has too many downloads.
        damaged: bodies of products have one other byte.
        slow_s: waits so long before each piece of a body.
        quota: orders of offline products are refused.
        ignores_ranges: whole bodies, whatever was asked for.
        share: of all requests goes wrong in one of the first three ways, by chance.
    """

    away: int = 0
    truncated: int = 0
    part: int = 1_000
    flows: int = 0
    damaged: int = 0
    slow_s: float = 0.0
    quota: int = 0
    ignores_ranges: bool = False
    share: float = 0.0


@dataclass
class Hub:
    """A running hub.

    Attributes:
        asked: how often a kind of request came: search, odata, online, body, order.
        body_bytes: bytes of products that were sent.
        at_once: the largest number of bodies that were sent at the same time.
        injected: how many faults there were.
    """

    url: str
    products: dict[str, Stored]
    faults: Faults = field(default_factory=Faults)
    asked: Counter[str] = field(default_factory=Counter)
    queries: list[str] = field(default_factory=list)
    body_bytes: int = 0
    bodies: int = 0
    at_once: int = 0
    injected: int = 0
    chance: random.Random = field(default_factory=lambda: random.Random(1))
    login: tuple[str, str] | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, fault: str) -> bool:
        """Whether a fault is due; counts it down."""
        with self.lock:
            left = getattr(self.faults, fault)
            setattr(self.faults, fault, max(0, left - 1))
            is_due = bool(left) or (
                fault in ("away", "truncated", "flows") and self.chance.random() < self.faults.share
            )
            self.injected += is_due
            return is_due

    def only(self) -> Stored:
        """The one product of a hub with one."""
        (product,) = self.products.values()
        return product


def zipped(root: Path) -> bytes:
    """A SAFE folder as a hub delivers it, with files beside those that are needed."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{root.name}/manifest.safe", "<manifest/>")
        archive.writestr(f"{root.name}/HTML/UserProduct_index.html", "<html/>")
        for path in sorted(root.rglob("*")):
            archive.write(path, f"{root.name}/{path.relative_to(root).as_posix()}")
    return sink.getvalue()


@contextmanager
def dhus(archive: Path) -> Iterator[Hub]:
    """A hub with all products of a folder."""
    products = {}
    for root in sorted(archive.glob("*.SAFE")):
        name = parse_name(root.name)
        assert name is not None
        uuid = str(uuid5(NAMESPACE_URL, name.id))
        products[uuid] = Stored(uuid, name, zipped(root), _footprint())
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    with served(server) as url:
        server.hub = hub = Hub(f"{url}/dhus", products)  # type: ignore[attr-defined]
        yield hub


def _footprint() -> shapely.Polygon:
    to_lonlat = Transformer.from_crs("EPSG:32632", "EPSG:4326", always_xy=True)
    box = shapely.box(LEFT_M, TOP_M - 10_000, LEFT_M + 10_000, TOP_M)
    return shapely.transform(box, to_lonlat.transform, interleaved=False)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16
    disable_nagle_algorithm = True

    @property
    def hub(self) -> Hub:
        return self.server.hub  # type: ignore[attr-defined,no-any-return]

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        path = unquote(parts.path).removeprefix("/dhus/")
        if self.hub.login is not None and self.headers.get("Authorization") is None:
            return self._send(401, b"<html>no</html>")
        if self.hub.take("away"):
            return self._send(503, b"<html>maintenance</html>")
        if path == "search":
            return self._search(parse_qs(parts.query))
        found = re.fullmatch(r"odata/v1/Products\('([^']*)'\)(/\$value|/Online/\$value)?", path)
        product = None if found is None else self.hub.products.get(found[1])
        if found is None or product is None:
            return self._json({"error": {"message": {"value": f"Invalid key ({path[-40:]}) to access Products"}}}, 404)
        if found[2] is None:
            self.hub.asked["odata"] += 1
            return self._json({"d": _odata(product, self.hub.url)})
        if found[2] == "/Online/$value":
            self.hub.asked["online"] += 1
            return self._send(200, b"true" if _is_online(product) else b"false", "text/plain")
        return self._body(product)

    def _search(self, query: dict[str, list[str]]) -> None:
        self.hub.asked["search"] += 1
        text = query["q"][0]
        self.hub.queries.append(text)
        found = sorted(_found(text, self.hub.products.values()), key=lambda p: (p.name.datatake_start, p.uuid))
        start, rows = int(query["start"][0]), int(query["rows"][0])
        page: Any = [_entry(product) for product in found[start : start + min(rows, 100)]]
        feed = {"opensearch:totalResults": str(len(found))}
        if page:
            # As the real hub does: one entry is no list.
            feed["entry"] = page[0] if len(page) == 1 else page
        self._json({"feed": feed})

    def _body(self, product: Stored) -> None:
        hub, faults = self.hub, self.hub.faults
        if not _is_online(product, count=False):
            hub.asked["order"] += 1
            if hub.take("quota"):
                return self._send(403, b"", cause="User 'x' offline products retrieval quota exceeded (20 fetches max)")
            product.ordered += 1
            return self._send(202, b"", cause="accepted")
        if hub.take("flows"):
            return self._send(403, b"{}", cause="Maximum number of 4 concurrent flows achieved by the user")
        hub.asked["body"] += 1
        content, start = product.content, 0
        if hub.take("damaged"):
            content = content[:-1] + bytes([content[-1] ^ 1])
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        last, is_part = len(content), asked is not None and not faults.ignores_ranges
        if asked is not None and is_part:
            start, last = int(asked[1]), min(last, int(asked[2] or last) + 1)
        end = min(start + faults.part, last) if hub.take("truncated") else last
        self.send_response(206 if is_part else 200)
        self.send_header("Content-Length", str(last - start))
        if is_part:
            self.send_header("Content-Range", f"bytes {start}-{last - 1}/{len(content)}")
        self.end_headers()
        with hub.lock:
            hub.bodies += 1
            hub.at_once = max(hub.at_once, hub.bodies)
        try:
            for place in range(start, end, 4_096):
                time.sleep(faults.slow_s)
                piece = content[place : min(place + 4_096, end)]
                self.wfile.write(piece)
                self.wfile.flush()
                with hub.lock:
                    hub.body_bytes += len(piece)
        finally:
            with hub.lock:
                hub.bodies -= 1
        self.close_connection = end < last

    def _json(self, content: Any, status: int = 200) -> None:
        self._send(status, json.dumps(content).encode(), "application/json")

    def _send(self, status: int, content: bytes, kind: str = "text/html", cause: str | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        if cause is not None:
            self.send_header("cause-message", cause)
        self.end_headers()
        self.wfile.write(content)


def _is_online(product: Stored, count: bool = True) -> bool:
    """Whether it is; an ordered product comes after it was asked for so many times."""
    if product.polls is None:
        return True
    if product.polls == 0 and product.ordered:
        return True
    if product.ordered and count:
        product.polls -= 1
    return False


def _found(text: str, products: Any) -> Iterator[Stored]:
    """What a query finds: dates, product types, names and footprints, all of which must fit."""
    dates = re.search(r"beginPosition:\[(\S+) TO (\S+)\]", text)
    names = re.search(r"filename:(\S+)", text)
    area = re.search(r'footprint:"Intersects\((.*)\)"', text)
    for product in products:
        begins = f"{product.name.datatake_start:%Y-%m-%dT%H:%M:%SZ}"
        if dates and not dates[1].strip('"') <= begins <= dates[2].strip('"'):
            continue
        if names and not re.fullmatch(names[1].replace("*", ".*"), f"{product.name.id}.SAFE"):
            continue
        if "platformname:" in text and "Sentinel-2" not in text:
            continue
        if area and not shapely.from_wkt(area[1]).intersects(product.footprint):
            continue
        if 'producttype:"S2MSI2A"' in text:
            yield product


def _entry(product: Stored) -> dict[str, Any]:
    start = f"{product.name.datatake_start:%Y-%m-%dT%H:%M:%S}.024Z"
    return {
        "title": product.name.id,
        "id": product.uuid,
        "link": [{"href": "https://elsewhere/"}, {"rel": "icon", "href": "https://elsewhere/icon"}],
        "date": [{"name": "beginposition", "content": start}, {"name": "ingestiondate", "content": product.ingested}],
        "int": {"name": "relativeorbitnumber", "content": str(product.name.relative_orbit)},
        "double": {"name": "cloudcoverpercentage", "content": "12.5"},
        "str": [
            {"name": "identifier", "content": product.name.id},
            {"name": "size", "content": f"{len(product.content) / 2**20:.2f} MB"},
            {"name": "footprint", "content": product.footprint.wkt},
        ],
    }


def _odata(product: Stored, url: str) -> dict[str, Any]:
    corners = " ".join(f"{y},{x}" for x, y in product.footprint.exterior.coords)
    at = f"/Date({int(product.name.datatake_start.timestamp() * 1000)})/"
    return {
        "Id": product.uuid,
        "Name": product.name.id,
        "ContentLength": str(len(product.content)),
        "Checksum": {"Algorithm": "MD5", "Value": product.md5.upper()},
        "ContentDate": {"Start": at, "End": at},
        "ContentGeometry": product.geometry or GML.format(corners),
        "CreationDate": at,
        "IngestionDate": at,
        "Online": _is_online(product),
        "Attributes": {"__deferred": {}},
        "__metadata": {"media_src": f"{url}/odata/v1/Products('{product.uuid}')/$value"},
    }
