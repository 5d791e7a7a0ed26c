"""A local HTTP server of files that honours ranges, counts what it sends, and fails on demand."""

from __future__ import annotations

import hashlib
import random
import re
import socket
import struct
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from .served import served

#: What may go wrong with an answer.
FAULTS: Final = ("reset", "reset_midway", "truncated", "status_500", "status_503", "status_429", "slow", "no_answer")
_RANGE: Final = re.compile(r"bytes=(\d+)-(\d*)")
_PIECE_BYTES: Final = 8192
_COMPANY_S: Final = 10.0


@dataclass
class RangeServer:
    """Contents by path, and what happened to them.

    Attributes:
        files: path (without the leading slash) -> content; may be changed at any time.
        fault: asked for each request; one of `FAULTS`, or None for an honest answer.
        has_ranges: whether `Range` is honoured.
        tagging: `strong`, `weak`, `date` or `none`.
        redirects: path -> URL.
        guard: sees path and headers; a status to refuse with, or None.
        retry_after: of the answers 429 and 503.
        delay_s: before each answer.
        company: no request is answered before so many were in work at the same time, or none more came for 10 s.
        slow_s: between the pieces of a slow body.
        bytes_sent: of bodies, by path.
        requests: by path.
        answers: status -> number.
        faults_done: fault -> number.
        connections: that were opened.
        times: when each request began, by `time.monotonic`.
        at_once_max: requests in work at the same time, at most.
        ranges: (path, first, last) of each honoured range.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    fault: Callable[[str], str | None] = lambda path: None
    has_ranges: bool = True
    tagging: str = "strong"
    redirects: dict[str, str] = field(default_factory=dict)
    guard: Callable[[str, dict[str, str]], int | None] = lambda path, headers: None
    retry_after: str | None = "0"
    delay_s: float = 0.0
    company: int = 0
    slow_s: float = 0.02
    url: str = ""
    bytes_sent: Counter[str] = field(default_factory=Counter)
    requests: Counter[str] = field(default_factory=Counter)
    answers: Counter[int] = field(default_factory=Counter)
    faults_done: Counter[str] = field(default_factory=Counter)
    times: list[float] = field(default_factory=list)
    ranges: list[tuple[str, int, int]] = field(default_factory=list)
    at_once_max: int = 0
    connections: int = 0
    _at_once: int = 0
    _lock: threading.Condition = field(default_factory=threading.Condition)

    @property
    def sent(self) -> int:
        """Bytes of all bodies."""
        return sum(self.bytes_sent.values())

    def forget(self) -> None:
        """Count from zero."""
        with self._lock:
            for counts in (self.bytes_sent, self.requests, self.answers, self.faults_done):
                counts.clear()
            self.times.clear()
            self.ranges.clear()
            self.at_once_max = 0

    def enter(self) -> None:
        """Count a request from now on."""
        with self._lock:
            self.times.append(time.monotonic())
            self._at_once += 1
            self.at_once_max = max(self.at_once_max, self._at_once)
            self._lock.notify_all()

    def await_company(self) -> None:
        """Hold a request until there were as many at once as there shall be."""
        with self._lock:
            while self.at_once_max < self.company and self._lock.wait(_COMPANY_S):
                pass

    def leave(self) -> None:
        """A request is as good as answered."""
        with self._lock:
            self._at_once -= 1


@contextmanager
def range_server(files: dict[str, bytes] | None = None) -> Iterator[RangeServer]:
    """Serve while the context is open."""
    state = RangeServer(files=dict(files or {}))

    class Handler(_Handler):
        server_state = state

    with served(_Server(("127.0.0.1", 0), Handler)) as state.url:
        yield state


def random_faults(seed: int, share: float, kinds: tuple[str, ...] = FAULTS) -> Callable[[str], str | None]:
    """Faults for a share of the requests, drawn from a seed."""
    draw = random.Random(seed)
    lock = threading.Lock()

    def fault(path: str) -> str | None:
        with lock:
            return draw.choice(kinds) if draw.random() < share else None

    return fault


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Connections that are broken on purpose need no traceback; other mistakes do."""
        if not isinstance(sys.exception(), OSError | ValueError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server_state: RangeServer

    def setup(self) -> None:
        super().setup()
        self.server_state.connections += 1

    def do_GET(self) -> None:
        state = self.server_state
        path = self.path.split("?")[0].lstrip("/")
        self._is_counted = True
        state.enter()
        state.requests[path] += 1
        fault = state.fault(path)
        if fault is not None:
            state.faults_done[fault] += 1
        state.await_company()
        time.sleep(state.delay_s)
        try:
            self._answer(path, fault)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            self._leave()

    def _leave(self) -> None:
        """To be called before the client can see the end of the answer, and ask again elsewhere."""
        if self._is_counted:
            self._is_counted = False
            self.server_state.leave()

    def _answer(self, path: str, fault: str | None) -> None:
        state = self.server_state
        refused = state.guard(self.path, {name.lower(): value for name, value in self.headers.items()})
        content = state.files.get(path)
        if fault in ("reset", "no_answer"):
            self._hang_up(hard=fault == "reset")
        elif fault is not None and fault.startswith("status_"):
            self._refuse(int(fault.removeprefix("status_")))
        elif refused is not None:
            self._refuse(refused)
        elif path in state.redirects:
            self._head(302, 0, {"Location": state.redirects[path]})
        elif content is None:
            self._refuse(404)
        elif self._is_stale(content):
            self._refuse(412)
        else:
            self._send(path, content, fault)

    def _send(self, path: str, content: bytes, fault: str | None) -> None:
        state = self.server_state
        asked = _RANGE.fullmatch(self.headers.get("Range", "")) if state.has_ranges else None
        headers = self._tags(content)
        status, first, last = 200, 0, len(content) - 1
        if asked is not None:
            first, last = int(asked[1]), min(int(asked[2] or last), last)
            if first > last:
                return self._refuse(416)
            status = 206
            headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
            state.ranges.append((path, first, last))
        body = content[first : last + 1]
        self._head(status, len(body), headers)
        stop = len(body) // 2 if fault in ("truncated", "reset_midway") else len(body)
        for at in range(0, stop, _PIECE_BYTES):
            piece = body[at : min(at + _PIECE_BYTES, stop)]
            if at + _PIECE_BYTES >= stop:
                self._leave()
            state.bytes_sent[path] += len(piece)  # before the client sees them
            self.wfile.write(piece)
            if fault == "slow":
                time.sleep(state.slow_s)
        if fault in ("truncated", "reset_midway"):
            self._hang_up(hard=fault == "reset_midway")
        return None

    def _is_stale(self, content: bytes) -> bool:
        tags = self._tags(content)
        if "If-Match" in self.headers:
            return self.headers["If-Match"] != tags.get("ETag")
        since = self.headers.get("If-Unmodified-Since")
        return since is not None and since != tags.get("Last-Modified")

    def _tags(self, content: bytes) -> dict[str, str]:
        digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
        minute, second = int(digest[:4], 16) % 60, int(digest[4:8], 16) % 60
        return {
            "strong": {"ETag": f'"{digest}"'},
            "weak": {"ETag": f'W/"{digest}"'},
            "date": {"Last-Modified": f"Thu, 05 Jul 2018 10:{minute:02d}:{second:02d} GMT"},
            "none": {},
        }[self.server_state.tagging]

    def _head(self, status: int, length: int, headers: dict[str, str]) -> None:
        if not length:
            self._leave()
        self.server_state.answers[status] += 1
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _refuse(self, status: int) -> None:
        waits = self.server_state.retry_after
        self._head(status, 0, {"Retry-After": waits} if status in (429, 503) and waits is not None else {})

    def _hang_up(self, *, hard: bool) -> None:
        self._leave()
        self.close_connection = True
        self.wfile.flush()
        if hard:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            self.connection.shutdown(socket.SHUT_RDWR)
        self.connection.close()

    def finish(self) -> None:
        try:
            super().finish()
        except (OSError, ValueError):
            return

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet."""
