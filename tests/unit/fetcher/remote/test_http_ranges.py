"""Ranges over HTTP against a local server: honest, faulty and hostile."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
import urllib3
from support.range_server import FAULTS, RangeServer, random_faults, range_server

from landseries_fetcher.remote.http_ranges import HttpRanges, Signed, new_pool
from landseries_fetcher.remote.persistence import Persistence
from landseries_fetcher.remote.reader import (
    Identity,
    RemoteChanged,
    RemoteError,
    RemoteForbidden,
    RemoteMissing,
    RemoteUnavailable,
)

CONTENT = random.Random(1).randbytes(300_000)
PATIENT = Persistence(tries=60, sleep=lambda seconds: None)
HASTY = Persistence(tries=4, sleep=lambda seconds: None)


@pytest.fixture
def server() -> Iterator[RangeServer]:
    with range_server({"image.jp2": CONTENT, "other.jp2": CONTENT[::-1]}) as running:
        yield running


@pytest.fixture
def pool() -> Iterator[urllib3.PoolManager]:
    connections = new_pool()
    yield connections
    connections.clear()


def _reader(server: RangeServer, pool: urllib3.PoolManager, path: str = "image.jp2", **options: Any) -> HttpRanges:
    return HttpRanges(f"{server.url}/{path}", pool=pool, **{"persistence": HASTY, **options})


def _read(reader: HttpRanges, *ranges: tuple[int, int]) -> bytes:
    """The bytes of ranges, after a look at their offsets."""
    found, places = b"", [byte for start, stop in ranges for byte in (start, stop)]
    for offset, content in reader.read(ranges):
        assert offset in range(min(places), max(places))
        assert CONTENT[offset : offset + len(content)] == content
        found += content
    return found


@pytest.mark.parametrize("tagging", ["strong", "weak", "date", "none"])
def test_ranges(server: RangeServer, pool: urllib3.PoolManager, tagging: str) -> None:
    server.tagging = tagging
    reader = _reader(server, pool)
    assert reader.identity.size == len(CONTENT)
    ranges = [(0, 10), (16_380, 16_390), (100_000, 250_000), (299_999, 300_000), (7, 7)]
    assert _read(reader, *ranges) == b"".join(CONTENT[start:stop] for start, stop in ranges)
    assert server.sent == 16_384 + 6 + 150_000 + 1, "the head came with the first request"
    assert sum(server.requests.values()) == 4


def test_what_is_known_is_not_asked_again(server: RangeServer, pool: urllib3.PoolManager) -> None:
    known = _reader(server, pool).identity
    server.forget()
    assert _read(_reader(server, pool, known=known), (500, 700)) == CONTENT[500:700]
    assert server.sent == 200


@pytest.mark.parametrize("kind", ["status_503", "status_429"])
def test_after_a_refusal_no_request_is_sent_in_vain(server: RangeServer, pool: urllib3.PoolManager, kind: str) -> None:
    """A connection whose last answer had no body is fit for the next request: here another reader's, meanwhile."""
    other = _reader(server, pool)
    turns = iter([kind, None, None])
    server.fault = lambda path: next(turns)
    waiting = Persistence(sleep=lambda seconds: found.append(_read(other, (20_000, 30_000))))
    found: list[bytes] = []
    _reader(server, pool, persistence=waiting)
    assert found == [CONTENT[20_000:30_000]]
    assert sum(server.requests.values()) == 4
    assert server.connections == 1


@pytest.mark.parametrize("kind", FAULTS)
def test_every_fault_is_outlasted(server: RangeServer, pool: urllib3.PoolManager, kind: str) -> None:
    """Each other request fails; what came before the fault is not asked for again."""
    turns = iter([None, kind, None, kind, kind, None, kind, *[None] * 100])
    server.fault = lambda path: next(turns)
    persistence = Persistence(sleep=lambda seconds: None, stall_s=0.05, slowest_bytes_per_s=1e6, tries=30)
    reader = _reader(server, pool, persistence=persistence)
    assert _read(reader, (20_000, 150_000), (160_000, 300_000)) == CONTENT[20_000:150_000] + CONTENT[160_000:]
    assert server.faults_done[kind] >= 2


def test_five_hundred_faults(server: RangeServer, pool: urllib3.PoolManager) -> None:
    server.fault = random_faults(5, 0.5)
    server.slow_s = 0.0
    draw = random.Random(2)
    reader = _reader(server, pool, persistence=PATIENT)
    while sum(server.faults_done.values()) < 500:
        start = draw.randrange(len(CONTENT))
        stop = min(len(CONTENT), start + draw.randrange(1, 60_000))
        assert _read(reader, (start, stop)) == CONTENT[start:stop]
    assert set(server.faults_done) == set(FAULTS)


@pytest.mark.parametrize("tagging", ["strong", "weak", "date"])
def test_an_object_that_changed_is_an_error(server: RangeServer, pool: urllib3.PoolManager, tagging: str) -> None:
    server.tagging = tagging
    reader = _reader(server, pool)
    server.files["image.jp2"] = CONTENT[::-1]
    with pytest.raises(RemoteChanged, match=r"image\.jp2"):
        _read(reader, (100_000, 200_000))


def test_an_object_that_became_shorter_is_an_error(server: RangeServer, pool: urllib3.PoolManager) -> None:
    server.tagging = "none"
    reader = _reader(server, pool)
    for rest in (CONTENT[:-1], CONTENT[:50_000]):
        server.files["image.jp2"] = rest
        with pytest.raises(RemoteChanged, match=r"size|bytes now"):
            _read(reader, (100_000, 200_000))


def test_a_server_without_ranges(server: RangeServer, pool: urllib3.PoolManager) -> None:
    server.has_ranges = False
    reader = _reader(server, pool)
    assert not reader.identity.has_ranges
    assert _read(reader, (0, len(CONTENT))) == CONTENT


def test_a_server_that_stops_honouring_ranges(server: RangeServer, pool: urllib3.PoolManager) -> None:
    reader = _reader(server, pool)
    server.has_ranges = False
    assert _read(reader, (50_000, 60_000)) == CONTENT[50_000:60_000]


def test_patience_ends(server: RangeServer, pool: urllib3.PoolManager) -> None:
    server.fault = lambda path: "status_503"
    with pytest.raises(RemoteUnavailable, match=r"image\.jp2: status 503 \(4 tries\)"):
        _reader(server, pool)
    assert server.requests["image.jp2"] == 4


def test_retry_after_is_honoured(server: RangeServer, pool: urllib3.PoolManager) -> None:
    waits: list[float] = []
    turns = iter(["status_429", None, None])
    server.fault, server.retry_after = lambda path: next(turns), "17"
    _reader(server, pool, persistence=Persistence(sleep=waits.append))
    assert waits == [17.0]
    server.fault, server.retry_after = lambda path: "status_429", "86400"
    with pytest.raises(RemoteUnavailable, match="asks to wait 86400 s"):
        _reader(server, pool, persistence=Persistence(sleep=waits.append))
    assert waits == [17.0]


@pytest.mark.parametrize(("status", "error"), [(403, RemoteForbidden), (404, RemoteMissing), (418, RemoteError)])
def test_refusals_are_not_tried_again(
    server: RangeServer, pool: urllib3.PoolManager, status: int, error: type[Exception]
) -> None:
    server.guard = lambda path, headers: status
    with pytest.raises(error, match=r"image\.jp2.*"):
        _reader(server, pool)
    assert server.requests["image.jp2"] == 1


def test_a_signature_is_renewed_once(server: RangeServer, pool: urllib3.PoolManager) -> None:
    server.guard = lambda path, headers: None if f"key={valid}" in path else 403
    calls: list[bool] = []

    def sign(url: str, *, renew: bool) -> Signed:
        calls.append(renew)
        return Signed(f"{url}?key={valid if renew or len(calls) < 3 else 0}")

    valid = 1
    reader = _reader(server, pool, signer=sign)
    valid = 2
    assert _read(reader, (20_000, 40_000)) == CONTENT[20_000:40_000]
    valid = 3
    assert _read(reader, (50_000, 60_000)) == CONTENT[50_000:60_000]
    assert True in calls
    valid = -1
    server.guard = lambda path, headers: 403
    with pytest.raises(RemoteForbidden) as caught:
        _read(reader, (70_000, 80_000))
    assert "key" not in str(caught.value), "no signature in messages"


def test_redirects_are_followed_without_secrets(server: RangeServer, pool: urllib3.PoolManager) -> None:
    with range_server({"there.jp2": CONTENT}) as other:
        seen: list[dict[str, str]] = []

        def look(path: str, headers: dict[str, str]) -> None:
            seen.append(headers)

        other.guard = look
        server.redirects = {"image.jp2": f"{other.url}/there.jp2"}
        reader = _reader(server, pool, signer=lambda url, renew: Signed(url, {"Authorization": "secret"}))
        assert _read(reader, (30_000, 40_000)) == CONTENT[30_000:40_000]
    assert all("authorization" not in headers for headers in seen)
    assert all("range" in headers for headers in seen)


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://host/x", "", "/image.jp2"])
def test_other_redirects_are_refused(server: RangeServer, pool: urllib3.PoolManager, target: str) -> None:
    server.redirects = {"image.jp2": target}
    with pytest.raises(RemoteError, match="redirect"):
        _reader(server, pool)


def test_endless_redirects_are_refused(server: RangeServer, pool: urllib3.PoolManager) -> None:
    server.redirects = {"image.jp2": "/a", "a": "/b", "b": "/a"}
    with pytest.raises(RemoteError, match="more than 5 times"):
        _reader(server, pool)


def test_ranges_outside_are_never_asked_for(server: RangeServer, pool: urllib3.PoolManager) -> None:
    reader = _reader(server, pool)
    server.forget()
    for wrong in ((-1, 5), (5, 4), (0, len(CONTENT) + 1)):
        with pytest.raises(RemoteError, match="300000 bytes"):
            list(reader.read([wrong]))
    assert not server.requests


def test_no_url(pool: urllib3.PoolManager) -> None:
    for wrong in ("file:///etc/passwd", "image.jp2", "https://"):
        with pytest.raises(RemoteError, match="no URL"):
            HttpRanges(wrong, pool=pool)


def test_an_empty_object(server: RangeServer, pool: urllib3.PoolManager) -> None:
    server.files["empty"] = b""
    assert _reader(server, pool, "empty").identity == Identity(0, "")
