"""Ranges of an object over HTTP (RFC 9110, section 14), as Earth Search, Planetary Computer and plain servers offer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Protocol
from urllib.parse import urljoin, urlsplit

import urllib3
from urllib3.exceptions import HTTPError

from landseries_fetcher.remote.persistence import Interrupted, Persistence, retry_after_s
from landseries_fetcher.remote.persistent_ranges import PersistentRanges
from landseries_fetcher.remote.reader import (
    CHUNK_BYTES,
    HEAD_BYTES,
    Gate,
    Identity,
    RemoteChanged,
    RemoteError,
    RemoteForbidden,
    RemoteMissing,
    checked_size,
)
from landseries_fetcher.remote.reasons import reason_of

_CONNECT_S: Final = 10.0
_READ_S: Final = 30.0
_CONNECTIONS: Final = 16
_REDIRECTS_MAX: Final = 5
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_AWAY: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_CONTENT_RANGE: Final = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})")


@dataclass(frozen=True)
class Signed:
    """A URL that may be asked for now, and the headers that go with it."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)


class Signer(Protocol):
    """Makes a URL one that the server lets through."""

    def __call__(self, url: str, *, renew: bool) -> Signed:
        """Sign a URL; `renew` where the server refused the last signature, so that a remembered one will not do."""


def unsigned(url: str, *, renew: bool) -> Signed:
    """The URL as it is; a `Signer`."""
    return Signed(url)


def new_pool(ca_file: str | None = None) -> urllib3.PoolManager:
    """Connections that the readers of one process share (not those of a process that it forks).

    Args:
        ca_file: trusted certificates in PEM format; None for the system's.
    """
    return urllib3.PoolManager(
        num_pools=8,
        maxsize=_CONNECTIONS,
        timeout=urllib3.Timeout(connect=_CONNECT_S, read=_READ_S),
        retries=False,
        ca_certs=ca_file,
    )


class HttpRanges(PersistentRanges):
    """One object at a URL; see `RangeReader`."""

    def __init__(
        self,
        url: str,
        *,
        pool: urllib3.PoolManager,
        signer: Signer = unsigned,
        gate: Gate | None = None,
        persistence: Persistence | None = None,
        known: Identity | None = None,
    ) -> None:
        """Ask for the first bytes, and learn size and tag.

        Args:
            url: with the scheme `http` or `https`.
            pool: connections; see `new_pool`.
            signer: called before each request.
            gate: the server's limits.
            persistence: how long faults are borne.
            known: what an earlier reader learnt of the same object; then nothing is asked for now.

        Raises:
            RemoteError: see `RangeReader.read`; or the URL is none.
        """
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise RemoteError(f"{url[:200]!r} is no URL of an image; it must begin with https:// or http://")
        self._url, self._pool, self._signer = url, pool, signer
        self._must_renew = False
        super().__init__(url.split("?")[0].split("#")[0], gate, persistence, known)

    def _begin(self) -> None:
        with self._gate.request(), self._response({"Range": f"bytes=0-{HEAD_BYTES - 1}"}) as response:
            if response.status == 416:  # what a server answers for an empty object
                return
            has_ranges = response.status == 206
            if has_ranges:
                first, last, size = _content_range(response, self.name)
                self._head = b"".join(_pieces(response, last + 1 - first))
                if first != 0 or len(self._head) != last + 1:
                    raise Interrupted("the first bytes came incomplete")
            else:
                size = _content_length(response, self.name)
            self.identity = Identity(checked_size(size, self.name), _tag(response), has_ranges)

    def _ask(self, start: int, stop: int) -> Iterator[bytes]:
        known = self.identity
        headers = {"Range": f"bytes={start}-{stop - 1}"} if known.has_ranges else {}
        if known.etag.startswith('"'):
            headers["If-Match"] = known.etag
        elif known.etag and not known.etag.startswith("W/"):  # a weak tag matches nothing (RFC 9110, section 13.1.1)
            headers["If-Unmodified-Since"] = known.etag
        with self._response(headers) as response:
            self._check_identity(response)
            if response.status == 206:
                first, last, size = _content_range(response, self.name)
                if size != known.size:
                    raise RemoteChanged(f"{self.name} has {size} bytes now and had {known.size} at first")
                if first != start or last >= stop:
                    raise Interrupted(f"bytes {first} to {last} came instead of {start} to {stop - 1}")
                yield from _pieces(response, last + 1 - first)
                return
            if response.status == 416 or _content_length(response, self.name) != known.size:
                raise RemoteChanged(f"{self.name} has another size than the {known.size} bytes it had at first")
            # The whole body, although a part was asked for: what comes before the part is left out.
            position = 0
            for piece in _pieces(response, stop):
                if position + len(piece) > start:
                    yield piece[max(start - position, 0) :]
                position += len(piece)

    def _check_identity(self, response: urllib3.BaseHTTPResponse) -> None:
        """See that a server that ignores `If-Match` answers for the same object."""
        if _tag(response) != self.identity.etag and response.status != 416:
            raise RemoteChanged(f"{self.name} is another object than at first; search for products again")

    @contextmanager
    def _response(self, headers: Mapping[str, str]) -> Iterator[urllib3.BaseHTTPResponse]:
        """An answer of status 200, 206 or 416, its body unread; the connection is closed where the body is not used up.

        Raises:
            Interrupted: the server is away, or the connection broke (also while the body is read).
            RemoteError: it refused.
        """
        signed = self._signer(self._url, renew=self._must_renew)
        renewed, self._must_renew = self._must_renew, False
        response = self._followed(signed, {**headers, "Accept-Encoding": "identity"})
        try:
            if response.status in (401, 403) and not renewed and self._signer is not unsigned:
                self._must_renew = True
                raise Interrupted(f"status {response.status}: the signature may have run out")
            _check_status(response, self.name)
            yield response
        except (HTTPError, OSError) as error:
            raise Interrupted(reason_of(error)) from error
        finally:
            if response.length_remaining == 0:
                # An empty body must be read as well: else the connection sends another request and takes no answer.
                response.drain_conn()
            else:
                # Not released into the pool: that would first wait for the rest of a body that nobody wants.
                response.close()
            response.release_conn()

    def _followed(self, signed: Signed, headers: Mapping[str, str]) -> urllib3.BaseHTTPResponse:
        url = signed.url
        for _ in range(_REDIRECTS_MAX + 1):
            own = {**signed.headers, **headers} if _is_same_host(url, signed.url) else dict(headers)
            try:
                response = self._pool.request(
                    "GET", url, headers=own, preload_content=False, decode_content=False, redirect=False, retries=False
                )
            except (HTTPError, OSError) as error:
                raise Interrupted(reason_of(error)) from error
            if response.status not in _REDIRECTS:
                return response
            target = urljoin(url, response.headers.get("Location", ""))
            response.close()
            response.release_conn()
            if target == url or urlsplit(target).scheme not in ("https", urlsplit(url).scheme):
                raise RemoteError(f"{self.name}: the server redirects to {target[:200]!r}, which is not followed")
            url = target
        raise RemoteError(f"{self.name}: the server redirects more than {_REDIRECTS_MAX} times")


def _check_status(response: urllib3.BaseHTTPResponse, name: str) -> None:
    status = response.status
    if status in _AWAY:
        raise Interrupted(f"status {status}", retry_after_s(response.headers.get("Retry-After")))
    if status in (401, 403):
        raise RemoteForbidden(f"{name}: the server refuses (status {status}); check the credentials of the source")
    if status in (404, 410):
        raise RemoteMissing(f"{name}: there is no such object (status {status})")
    if status == 412:
        raise RemoteChanged(f"{name} is another object than at first; search for products again")
    if status not in (200, 206, 416):
        raise RemoteError(f"{name}: the server answers with status {status}")
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise RemoteError(f"{name}: the server compresses what it sends, so that ranges mean nothing")


def _content_range(response: urllib3.BaseHTTPResponse, name: str) -> tuple[int, int, int]:
    text = response.headers.get("Content-Range", "")
    found = _CONTENT_RANGE.fullmatch(text.strip())
    if found is None:
        raise RemoteError(f"{name}: the server gives the content range {text[:100]!r}, which says no offsets and size")
    first, last, size = (int(number) for number in found.groups())
    if not first <= last < size:
        raise RemoteError(f"{name}: the server gives the content range {text[:100]!r}, which contradicts itself")
    return first, last, size


def _content_length(response: urllib3.BaseHTTPResponse, name: str) -> int:
    text = response.headers.get("Content-Length", "")
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise RemoteError(f"{name}: the server does not say how long the object is (Content-Length {text[:100]!r})")
    return int(text)


def _tag(response: urllib3.BaseHTTPResponse) -> str:
    return response.headers.get("ETag") or response.headers.get("Last-Modified", "")


def _pieces(response: urllib3.BaseHTTPResponse, length: int) -> Iterator[bytes]:
    """A body's first bytes as they come in; fewer where it ends early."""
    while length > 0:
        piece = response.read1(min(CHUNK_BYTES, length))
        if not piece:
            return
        length -= len(piece)
        yield piece


def _is_same_host(url: str, other: str) -> bool:
    one, two = urlsplit(url), urlsplit(other)
    return (one.scheme, one.hostname, one.port) == (two.scheme, two.hostname, two.port)
