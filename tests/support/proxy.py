"""A TCP proxy in front of a server, with which tests cut, freeze, delay and slow down what goes through it."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
import time
from types import TracebackType
from typing import Final, Self

_CHUNK_BYTES: Final = 65_536
_POLL_S: Final = 0.05
#: Closes with a reset instead of an orderly end: what a router does that forgot a connection.
_RESET: Final = struct.pack("ii", 1, 0)


class Proxy:
    """Passes connections on to a server; all methods may be called from any thread.

    Args:
        target_port: of 127.0.0.1, where the server listens, now or later.
        port: where the proxy listens; by default a free one.

    Attributes:
        port: where the proxy listens, on 127.0.0.1.
        latency_s: how long every piece of data is held, in both directions.
        throttle_bytes_per_s: of one connection in one direction; None for no limit.
        accepted: connections that were taken so far.
    """

    def __init__(self, target_port: int, port: int = 0) -> None:
        self._target = ("127.0.0.1", target_port)
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port: int = self._listener.getsockname()[1]
        self.latency_s = 0.0
        self.throttle_bytes_per_s: float | None = None
        self.accepted = 0
        self._links: set[_Link] = set()
        self._lock = threading.Lock()
        self._frozen_until = 0.0
        self._refusing = False
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._accept, name=f"proxy {self.port}", daemon=True)
        self._thread.start()

    @property
    def connections(self) -> int:
        """Connections that are open now."""
        with self._lock:
            return len(self._links)

    def cut(self) -> int:
        """Reset every connection; new ones are taken at once. How many it were."""
        with self._lock:
            links = list(self._links)
            self._links.clear()
        for link in links:
            link.reset()
        return len(links)

    def pause(self, seconds: float) -> None:
        """Let nothing through for a time, while connections stay open, as a network does that lost its way.

        Returns at once. New connections are taken, and wait as well.
        """
        self._frozen_until = time.monotonic() + seconds

    def refuse(self, refusing: bool = True) -> None:
        """Reset every connection, and each new one as it comes, until called with False."""
        self._refusing = refusing
        if refusing:
            self.cut()

    def close(self) -> None:
        """Reset every connection and stop listening."""
        self._closed.set()
        self._thread.join()
        self._listener.close()
        self.cut()

    def wait_while_frozen(self) -> None:
        """For the proxy's own threads: return when data may pass."""
        while (left := self._frozen_until - time.monotonic()) > 0 and not self._closed.is_set():
            time.sleep(min(left, _POLL_S))

    def forget(self, link: _Link) -> None:
        """For the proxy's own threads: a connection has ended."""
        with self._lock:
            self._links.discard(link)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _accept(self) -> None:
        while not self._closed.is_set():
            if not select.select([self._listener], [], [], _POLL_S)[0]:
                continue
            client, _ = self._listener.accept()
            self.accepted += 1
            if self._refusing:
                _reset(client)
                continue
            link = _Link(self, client, self._target)
            with self._lock:
                self._links.add(link)
            link.start()


class _Link(threading.Thread):
    """One connection: this thread carries what the client says, another one what the server answers."""

    def __init__(self, proxy: Proxy, client: socket.socket, target: tuple[str, int]) -> None:
        super().__init__(name="proxy link", daemon=True)
        self._proxy = proxy
        self._client = client
        self._target = target
        self._server: socket.socket | None = None
        self._lock = threading.Lock()
        self._over = False

    def run(self) -> None:
        """Carry data until both sides are done."""
        self._proxy.wait_while_frozen()
        try:
            server = socket.create_connection(self._target, timeout=10.0)
        except OSError:
            self._finish()
            return
        server.settimeout(None)
        for end in (self._client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._server = server
            over = self._over
        if over:  # cut while the connection was made
            _reset(server)
            return
        back = threading.Thread(target=self._carry, args=(server, self._client), name="proxy link back", daemon=True)
        back.start()
        self._carry(self._client, server)
        back.join()
        self._finish()

    def reset(self) -> None:
        """Cut both sides."""
        with self._lock:
            self._over = True
            ends = [end for end in (self._client, self._server) if end is not None]
        for end in ends:
            _reset(end)

    def _finish(self) -> None:
        self._proxy.forget(self)
        self.reset()

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(_CHUNK_BYTES):
                self._proxy.wait_while_frozen()
                if self._proxy.latency_s:
                    time.sleep(self._proxy.latency_s)
                if limit := self._proxy.throttle_bytes_per_s:
                    time.sleep(len(data) / limit)
                self._send(sink, memoryview(data))
            if not self._over:
                sink.shutdown(socket.SHUT_WR)  # the other direction may go on
        except (OSError, ValueError):  # a socket that was closed meanwhile is no value for select
            self.reset()

    def _send(self, sink: socket.socket, data: memoryview) -> None:
        # A blocking send to one who does not read could not be woken up without an orderly end of the connection.
        while data and not self._over:
            if select.select([], [sink], [], _POLL_S)[1]:
                data = data[sink.send(data, socket.MSG_DONTWAIT) :]


def _reset(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        # A thread that waits for data wakes up only by this, and a reset goes out only when it has let go.
        end.shutdown(socket.SHUT_RD)
    end.close()
