"""A DHuS hub, asked through sentinelsat: the only module that knows that client.

sentinelsat is GPL-3.0-or-later and no dependency of landseries: it is an extra, imported when a hub is opened. Of it,
searching, OData and the retrieval of offline products are used. Bodies are read here, because its own download takes
the file's name from the server, knows no time limit, and adds a whole body to the part that is there where a server
does not know ranges.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any, Final, TypeVar

from landseries.config import Period
from landseries.errors import ConfigError, SourceError
from landseries_fetcher.remote.answers import BoundedAdapter
from landseries_fetcher.remote.persistence import Interrupted, Persistence, retry_after_s
from landseries_fetcher.remote.reader import OpenGate
from landseries_fetcher.remote.reasons import reason_of
from landseries_fetcher.sources.metadata import ProductName, parse_name

#: Digests that hubs give, the strongest first.
DIGESTS: Final = {"sha3-256": "sha3_256", "md5": "md5"}
#: Seconds to connect, and between two pieces of an answer.
_TIMEOUT_S: Final = (20.0, 60.0)
_CHUNK_BYTES: Final = 1 << 20
#: A page of a search has a hundred products, each of some 10 KiB.
_ANSWER_BYTES_MAX: Final = 16 * 2**20
#: No product comes near, zipped; a hub that says more is wrong.
_SIZE_MAX_BYTES: Final = 16 * 2**30
#: More products of a year and a granule, or of an area, than there can be.
_PRODUCTS_MAX: Final = 20_000
_UUID: Final = re.compile(r"[0-9A-Za-z-]{1,64}", re.ASCII)

ResultT = TypeVar("ResultT")


class Offline(Exception):
    """The product lies in the hub's long-term archive; the hub was asked to bring it, and has accepted."""


class NoRanges(Exception):
    """The hub sends products as a whole only."""


class QuotaExceeded(Exception):
    """The hub brings no more offline products for this user at the moment; the text is the hub's."""


class MissingProduct(SourceError):
    """The hub has no such product."""


@dataclass(frozen=True)
class HubProduct:
    """A product that a search found; `ingested` grows with every copy of a product that the hub has taken in."""

    uuid: str
    name: ProductName
    ingested: str


@dataclass(frozen=True)
class HubFile:
    """The zip file of a product: length in bytes, algorithm and value of its digest, and whether it is online."""

    size: int
    algorithm: str
    digest: str
    online: bool


class Hub:
    """One hub and user."""

    def __init__(self, api_url: str, patience_s: float, user: tuple[str | None, str | None]) -> None:
        """Prepare to ask; nothing is sent.

        Args:
            api_url: the hub.
            patience_s: how long a question is repeated while the hub is away.
            user: name and password.

        Raises:
            ConfigError: sentinelsat is not installed.
        """
        try:
            sentinelsat = import_module("sentinelsat")
        except ImportError as error:
            raise ConfigError(
                f"source.kind: a DHuS hub is asked through sentinelsat, which cannot be imported ({error}); install it "
                "with `pip install 'landseries-fetcher[dhus]'` (GPL-3.0-or-later)"
            ) from error

        self.place = api_url
        self._library = sentinelsat
        self._api = sentinelsat.SentinelAPI(*user, api_url=api_url, show_progressbars=False)
        for scheme in ("http://", "https://"):
            self._api.session.mount(scheme, BoundedAdapter(_ANSWER_BYTES_MAX, _TIMEOUT_S))
        # The setting is a time; pauses grow, so there are few tries in it.
        self._persistence = Persistence(tries=1_000, patience_s=patience_s)

    def products(
        self, period: Period, product_types: tuple[str, ...], *, area: str | None = None, granule: str | None = None
    ) -> list[HubProduct]:
        """Level-2A products whose datatake began in a period; several of one name are copies.

        Args:
            period: the days.
            product_types: such as S2MSI2A.
            area: well-known text in degrees that footprints intersect; None for everywhere.
            granule: MGRS tile; None for all.

        Raises:
            SourceError: the hub does not answer, refuses, or answers what cannot be read.
        """
        keywords: dict[str, Any] = {"platformname": "Sentinel-2", "producttype": set(product_types)}
        if granule is not None:
            keywords["filename"] = f"*_T{granule}_*"
        # A product begins after its datatake: at the end of a period, perhaps on the next day.
        date = (f"{period.start}T00:00:00Z", f"{period.end + timedelta(days=1)}T23:59:59Z")
        found: Mapping[str, Mapping[str, Any]] = self._ask(
            lambda: self._api.query(area, date, order_by="+beginposition", limit=_PRODUCTS_MAX + 1, **keywords),
            "search",
        )
        if len(found) > _PRODUCTS_MAX:
            raise SourceError(
                f"{self.place}: the search finds more than {_PRODUCTS_MAX} products; make the area smaller"
            )
        products = []
        for uuid, attributes in found.items():
            name = parse_name(str(attributes.get("title") or attributes.get("identifier") or ""))
            if name is None or not _UUID.fullmatch(str(uuid)) or not period.holds(name.datatake_start.date()):
                continue
            if granule is None or name.granule == granule:
                products.append(HubProduct(uuid, name, str(attributes.get("ingestiondate", ""))))
        return products

    def file(self, uuid: str) -> HubFile:
        """What the hub says of a product's file now.

        Raises:
            MissingProduct: there is no such product.
            SourceError: see `products`.
        """
        found: Mapping[str, Any] = self._ask(lambda: self._api.get_product_odata(uuid), uuid)
        for algorithm in DIGESTS:
            digest = str(found.get(algorithm, "")).strip().lower()
            if re.fullmatch(r"[0-9a-f]{32,128}", digest):
                break
        else:
            algorithm = digest = ""
        size = found["size"]
        if not 0 <= size <= _SIZE_MAX_BYTES:
            raise SourceError(
                f"{self.place}: {uuid} has {size} bytes, the hub says; at most {_SIZE_MAX_BYTES} are believed"
            )
        return HubFile(size, algorithm, digest, bool(found.get("Online", True)))

    def order(self, uuid: str) -> bool:
        """Have the hub bring an offline product; whether it has to (False: it is online).

        Raises:
            QuotaExceeded: it does not take the order at the moment.
            SourceError: see `products`.
        """
        try:
            return bool(self._ask(lambda: self._api.trigger_offline_retrieval(uuid), uuid))
        except self._library.exceptions.LTAError as error:
            raise QuotaExceeded(error.msg) from error

    def download(self, uuid: str, size: int, path: Path) -> None:
        """Bring a product's zip file to its full length; what is there already is not asked for again.

        Raises:
            Offline: the product has gone offline.
            QuotaExceeded: it has, and the hub does not take the order.
            SourceError: see `products`.
        """
        if path.exists() and path.stat().st_size > size:
            path.unlink()
        with path.open("ab") as target:
            pieces = self._persistence.deliver(
                lambda start, _: self._body(uuid, start), target.tell(), size, OpenGate(), f"{self.place}: {uuid}"
            )
            for _, piece in pieces:
                target.write(piece)
                # What has come must be there for whoever goes on after a crash.
                target.flush()

    def part(self, uuid: str, start: int, stop: int) -> bytes:
        """Some bytes of a product's zip file.

        Raises:
            NoRanges: the hub sends all or nothing.
            Offline, QuotaExceeded, SourceError: see `download`.
        """
        pieces = self._persistence.deliver(
            lambda first, last: self._body(uuid, first, last), start, stop, OpenGate(), f"{self.place}: {uuid}"
        )
        return b"".join(piece for _, piece in pieces)

    def _body(self, uuid: str, start: int, stop: int | None = None) -> Iterator[bytes]:
        """The bytes of a file from a start on, all, or to a stop."""
        headers = {"Accept-Encoding": "identity"}
        if start or stop is not None:
            headers["Range"] = f"bytes={start}-{'' if stop is None else stop - 1}"
        with self._faults(uuid):
            try:
                response = self._api.get_stream(uuid, headers=headers)
            except self._library.exceptions.LTATriggered as error:
                raise Offline from error
            except self._library.exceptions.LTAError as error:
                raise QuotaExceeded(error.msg) from error
            with closing(response):
                if response.status_code == 202:
                    raise Offline
                if response.status_code != 206 and stop is not None:
                    raise NoRanges
                skip = _skipped(response.status_code, response.headers.get("Content-Range", ""), start)
                # What has come in, and not whole chunks: nothing of a body that breaks off is lost.
                while piece := response.raw.read1(_CHUNK_BYTES, decode_content=False):
                    rest = piece[min(skip, len(piece)) :]
                    skip -= len(piece) - len(rest)
                    if rest:
                        yield rest

    def _ask(self, question: Callable[[], ResultT], what: str) -> ResultT:
        answers: list[ResultT] = []

        def once() -> None:
            with self._faults(what):
                answers.append(question())

        self._persistence.call(once, f"{self.place}: {what}")
        return answers[-1]

    @contextmanager
    def _faults(self, what: str) -> Iterator[None]:
        """Sort what the client raises: what may pass, and what will not."""
        import requests
        import urllib3

        known = self._library.exceptions
        try:
            yield
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise Interrupted(reason_of(error)) from error
        except (known.LTAError, known.LTATriggered):
            raise
        except known.UnauthorizedError as error:
            raise ConfigError(
                f"source.api_url: {self.place}: the hub does not know the user or the password; set "
                "LANDSERIES_DHUS_USER and LANDSERIES_DHUS_PASSWORD (or ..._PASSWORD_FILE)"
            ) from error
        except known.InvalidKeyError as error:
            raise MissingProduct(f"{self.place} has no product {what}") from error
        except known.SentinelAPIError as error:
            raise self._sorted(error, what) from error
        except (LookupError, ValueError, TypeError, AttributeError, SyntaxError, RecursionError) as error:
            raise SourceError(
                f"{self.place}: {what}: the hub's answer cannot be read ({type(error).__name__})"
            ) from error

    def _sorted(self, error: Any, what: str) -> Exception:
        status = 0 if error.response is None else error.response.status_code
        text = " ".join(str(error.msg).split())[:200]
        # A hub answers 403 where the user has too many downloads at the same time, and 200 with a page for maintenance.
        if status == 429 or status >= 500 or "concurrent flows" in text or 200 <= status < 300:
            return Interrupted(f"HTTP {status} {text}", retry_after_s(error.response.headers.get("Retry-After")))
        if status == 404:
            return MissingProduct(f"{self.place} has no {what}")
        return SourceError(f"{self.place}: {what}: the hub refuses (HTTP {status}): {text}")


def credentials() -> tuple[str | None, str | None]:
    """User and password from the environment; None where there are none: the client then looks into ~/.netrc.

    Raises:
        ConfigError: one is missing, or the file of the password cannot be read.
    """
    user = os.environ.get("LANDSERIES_DHUS_USER") or None
    password = os.environ.get("LANDSERIES_DHUS_PASSWORD") or None
    file = os.environ.get("LANDSERIES_DHUS_PASSWORD_FILE")
    if file:
        try:
            password = Path(file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"LANDSERIES_DHUS_PASSWORD_FILE: {file} cannot be read ({error}); it must hold the password"
            ) from None
    if (user is None) != (password is None):
        given, missing = ("USER", "PASSWORD") if password is None else ("PASSWORD", "USER")
        raise ConfigError(f"LANDSERIES_DHUS_{given} is set, LANDSERIES_DHUS_{missing} is not; a hub needs both or none")
    return user, password


def _skipped(status: int, content_range: str, start: int) -> int:
    """How many bytes of a body are known already.

    Raises:
        Interrupted: it is another part than the one that was asked for.
    """
    if status != 206:
        return start
    first = re.match(r"bytes (\d{1,18})-", content_range)
    if first is None or int(first[1]) > start:
        raise Interrupted(f"another part came than the one asked for ({content_range[:60]!r})")
    return start - int(first[1])
