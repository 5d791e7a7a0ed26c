"""Answers that are small when they are sent and large when they are read, or that never end."""

from __future__ import annotations

import json
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import pytest
import requests
from support.served import served

from landseries.config import Period
from landseries_fetcher.remote import answers
from landseries_fetcher.remote.answers import BoundedAdapter
from landseries_fetcher.remote.http_ranges import new_pool
from landseries_fetcher.remote.persistence import Persistence
from landseries_fetcher.remote.reader import OpenGate, RemoteError, RemoteUnavailable
from landseries_fetcher.sources.catalogue_client import CatalogueClient
from landseries_fetcher.sources.dhus_hub import Hub
from landseries_fetcher.sources.sas_tokens import SasSigner

_MIB: Final = 2**20
_YEAR: Final = Period(start=date(2018, 1, 1), end=date(2018, 12, 31))


def _bomb(times: int = 1) -> bytes:
    """256 MiB of blanks, packed with gzip, some times over."""
    content: bytes = b" " * _MIB
    for number in range(times):
        packer = zlib.compressobj(9, wbits=31)
        pieces = [packer.compress(content) for _ in range(1 if number else 256)]
        content = b"".join([*pieces, packer.flush()])
    return content


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    way = ""
    body = b""
    sent_bytes = 0

    def do_GET(self) -> None:
        kind = type(self)
        self.send_response(500 if kind.way == "error" else 200)
        if kind.way in ("packed", "twice"):
            self.send_header("Content-Encoding", "gzip" if kind.way == "packed" else "gzip, gzip")
        if kind.way in ("packed", "twice", "small"):
            self.send_header("Content-Length", str(len(kind.body)))
            self.end_headers()
            self.wfile.write(kind.body)
            return
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.close_connection = True
        with suppress(OSError):  # the client breaks off
            while kind.sent_bytes < 1024 * _MIB:
                self.wfile.write(b"10000\r\n" + b" " * 65_536 + b"\r\n")
                kind.sent_bytes += 65_536

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet."""


@contextmanager
def _server(way: str, body: bytes = b"") -> Iterator[tuple[str, type[_Handler]]]:
    class Handler(_Handler):
        pass

    Handler.way, Handler.body = way, body
    with served(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as url:
        yield url, Handler


def _ask_catalogue(url: str) -> None:
    client = CatalogueClient(url, "any", 10, OpenGate(), Persistence(tries=2, patience_s=5.0))
    client.during(_YEAR, place={"bbox": [11.0, 46.0, 12.0, 47.0]}, where=None)


def _ask_hub(url: str) -> None:
    Hub(url, 5.0, ("user", "password")).products(_YEAR, ("S2MSI2A",), granule="32TQS")


def _ask_for_a_token(url: str) -> None:
    SasSigner(url, ["127.0.0.1"], new_pool(), Persistence(tries=2, patience_s=5.0))(url, renew=False)


@pytest.mark.parametrize("way", ["packed", "twice", "endless", "error"])
@pytest.mark.parametrize("ask", [_ask_catalogue, _ask_hub, _ask_for_a_token])
def test_no_answer_fills_the_memory(ask: Callable[[str], None], way: str) -> None:
    if ask is _ask_hub:
        pytest.importorskip("sentinelsat", reason="sentinelsat is not installed, and a hub is asked through it")
    ask_fails = pytest.raises((RemoteError, RemoteUnavailable))
    with _server(way, _bomb(2 if way == "twice" else 1)) as (url, handler), ask_fails:
        tracemalloc.start()
        try:
            ask(url)
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            # The bound of a hub is the widest, 16 MiB; then come the pieces themselves and the library.
            assert peak < 64 * _MIB
            # What lies in the sockets' buffers was sent and not read.
            assert handler.sent_bytes < 64 * _MIB


def test_the_reason_says_what_was_too_long() -> None:
    with _server("packed", _bomb()) as (url, _), pytest.raises(RemoteError, match=r"longer than 4 MiB"):
        _ask_catalogue(url)
    with _server("twice", _bomb(2)) as (url, _), pytest.raises(RemoteError, match="packs its answer more than once"):
        _ask_catalogue(url)


def _session(bytes_max: int) -> requests.Session:
    session = requests.Session()
    session.mount("http://", BoundedAdapter(bytes_max, (5.0, 5.0)))
    return session


@pytest.mark.parametrize("length", [0, 1, 99, 100])
def test_what_fits_comes_whole(length: int) -> None:
    body = json.dumps("x" * length).encode()[:length]
    with _server("small", body) as (url, _), _session(100) as session:
        assert session.get(url).content == body


def test_one_byte_more_does_not_fit() -> None:
    with _server("small", b"x" * 101) as (url, _), _session(100) as session, pytest.raises(RemoteError):
        session.get(url)


def test_a_stream_is_left_to_who_asked_for_it() -> None:
    with _server("small", b"x" * 101) as (url, _), _session(100) as session, session.get(url, stream=True) as answer:
        assert answer.raw.read() == b"x" * 101


def test_an_answer_that_trickles_in_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "_LASTS_MAX_S", 0.05)
    with _server("endless") as (url, _), _session(2**40) as session, pytest.raises(requests.Timeout):
        session.get(url)
