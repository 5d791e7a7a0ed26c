"""What a worker answers over HTTP: whether it lives, whether it is ready for work, and its metrics.

A small server for probes and scrapers, not for the world: few connections at once, short requests, short patience.
"""

from __future__ import annotations

import errno
import socket
import socketserver
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from landseries.errors import ConfigError

_LONGEST_REQUEST_LINE: Final = 2048
_LARGEST_REQUEST_BYTES: Final = 16384
_MOST_CONNECTIONS: Final = 16
_PATIENCE_S: Final = 10.0
_POLL_S: Final = 0.2
_TEXT: Final = "text/plain; charset=utf-8"

Check = Callable[[], str | None]


class HealthServer:
    """/healthz, /readyz and /metrics on threads of their own.

    Attributes:
        port: the port it listens on; chosen by the system where the address says 0.
    """

    def __init__(self, address: str, live: Check, ready: Check, registry: CollectorRegistry) -> None:
        """Listen at an address; `start` begins to answer.

        Args:
            address: HOST:PORT; an IPv6 address in brackets, no host for all interfaces, port 0 for a free one.
            live: None, or why the process should be restarted. Called on the server's threads, as is `ready`.
            ready: None, or why there is no use in sending work here now.
            registry: what /metrics shows.

        Raises:
            ConfigError: the address is none, or is taken, or may not be used.
        """
        pages: dict[str, Callable[[], tuple[HTTPStatus, str, bytes]]] = {
            "/healthz": lambda: _checked(live),
            "/readyz": lambda: _checked(ready),
            "/metrics": lambda: (HTTPStatus.OK, CONTENT_TYPE_LATEST, generate_latest(registry)),
        }
        self._server = _listen(address, pages)
        self.port: int = self._server.server_address[1]
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to answer."""
        self._thread = threading.Thread(target=self._server.serve_forever, args=(_POLL_S,), name="health", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End all connections and threads, and free the port."""
        if self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._thread = None
        self._server.server_close()
        self._server.end_connections(older_than_s=0.0)


def _checked(check: Check) -> tuple[HTTPStatus, str, bytes]:
    reason = check()
    if reason is None:
        return HTTPStatus.OK, _TEXT, b"ok\n"
    return HTTPStatus.SERVICE_UNAVAILABLE, _TEXT, f"{reason}\n".encode(errors="replace")


def _listen(address: str, pages: dict[str, Callable[[], tuple[HTTPStatus, str, bytes]]]) -> _Server:
    host, colon, port = address.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535 or (":" in host and not bracketed):
        raise ConfigError(
            f"{address!r} is no address to listen at: write HOST:PORT, such as 127.0.0.1:8080, :8080 or [::1]:8080"
        )
    host = host.strip("[]")
    try:
        found = socket.getaddrinfo(host or "0.0.0.0", int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"{address}: the host {host!r} is not known here: {error}") from error
    family, _, _, _, place = found[0]
    try:
        return _Server(family, place, pages)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            said = "is in use by another process; choose another port, or 0 for a free one"
        elif error.errno == errno.EACCES:
            said = "may not be used by this user; choose a port above 1023"
        else:
            said = f"cannot be listened at: {error.strerror}"
        raise ConfigError(f"{address}: {said}") from error


class _Server(HTTPServer):
    """One thread per connection, at most `_MOST_CONNECTIONS`, none older than `_PATIENCE_S`."""

    request_queue_size = 64

    def __init__(self, family: int, place: Any, pages: dict[str, Callable[[], tuple[HTTPStatus, str, bytes]]]) -> None:
        self.address_family = socket.AddressFamily(family)
        self.pages = pages
        self._lock = threading.Lock()
        self._open: dict[threading.Thread, tuple[socket.socket, float]] = {}
        super().__init__(place, _Handler)

    def server_bind(self) -> None:
        # HTTPServer would ask the resolver for the host's full name, which may take long and is not used.
        socketserver.TCPServer.server_bind(self)

    def process_request(self, request: Any, client_address: Any) -> None:
        thread = threading.Thread(
            target=self._serve, args=(request, client_address), name="health-request", daemon=True
        )
        with self._lock:
            room = len(self._open) < _MOST_CONNECTIONS
            if room:
                self._open[thread] = (request, time.monotonic())
        if not room:
            self.shutdown_request(request)
            return
        thread.start()

    def service_actions(self) -> None:
        self.end_connections(older_than_s=_PATIENCE_S)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is nothing to tell."""

    def end_connections(self, *, older_than_s: float) -> None:
        """Shut down connections that last too long; with 0 also wait for their threads."""
        now = time.monotonic()
        with self._lock:
            old = [(thread, sock) for thread, (sock, since) in self._open.items() if now - since >= older_than_s]
        for _, sock in old:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # the client or the thread was faster
        if older_than_s == 0.0:
            for thread, _ in old:
                thread.join(_PATIENCE_S)

    def _serve(self, request: Any, client_address: Any) -> None:
        try:
            self.finish_request(request, client_address)
        except (OSError, ValueError):
            pass  # the client went away in the middle of it
        finally:
            self.shutdown_request(request)
            with self._lock:
                self._open.pop(threading.current_thread(), None)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    raw_requestline: bytes
    timeout = _PATIENCE_S
    server_version = "landseries"
    sys_version = ""

    def setup(self) -> None:
        super().setup()
        self.rfile = _Limited(self.rfile)  # type: ignore[assignment]

    def parse_request(self) -> bool:
        if len(self.raw_requestline) > _LONGEST_REQUEST_LINE:
            self.requestline, self.command = "", ""
            self._answer(HTTPStatus.REQUEST_URI_TOO_LONG, _TEXT, b"the request is too long\n")
            return False
        return super().parse_request()

    def do_GET(self) -> None:
        page = self.server.pages.get(self.path.partition("?")[0])
        if page is None:
            self._answer(HTTPStatus.NOT_FOUND, _TEXT, b"known are /healthz, /readyz and /metrics\n")
            return
        try:
            answer = page()
        except Exception as error:  # a check that fails is an answer too: the prober must not wait in vain
            answer = HTTPStatus.SERVICE_UNAVAILABLE, _TEXT, f"the check failed: {type(error).__name__}\n".encode()
        self._answer(*answer)

    do_HEAD = do_GET

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        if code == HTTPStatus.NOT_IMPLEMENTED:
            code = HTTPStatus.METHOD_NOT_ALLOWED
        status = HTTPStatus(code)
        self._answer(status, _TEXT, f"{status.phrase}\n".encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Probes come every few seconds: nothing to tell."""

    def _answer(self, status: HTTPStatus, content_type: str, body: bytes) -> None:
        self.close_connection = True
        self.request_version = "HTTP/1.0"  # also for what cannot be read: the answer has a status line
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "GET, HEAD")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class _Limited:
    """A request's stream that ends after so many bytes, whatever the client sends."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._left = _LARGEST_REQUEST_BYTES

    def readline(self, limit: int) -> bytes:
        line: bytes = self._stream.readline(min(limit, self._left))
        self._left -= len(line)
        return line

    def close(self) -> None:
        self._stream.close()

    @property
    def closed(self) -> bool:
        return bool(self._stream.closed)
