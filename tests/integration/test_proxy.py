"""The proxy of the tests does to connections what its methods say."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
import time
from collections.abc import Iterator

import pytest
from support.proxy import Proxy
from support.served import served


class Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        try:
            while data := self.request.recv(65_536):
                self.request.sendall(data)
        except ConnectionResetError:
            self.server.resets += 1  # type: ignore[attr-defined]


class EchoServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    resets = 0


@pytest.fixture
def server() -> Iterator[EchoServer]:
    running = EchoServer(("127.0.0.1", 0), Echo)
    with served(running):
        yield running


@pytest.fixture
def proxy(server: EchoServer) -> Iterator[Proxy]:
    with Proxy(server.server_address[1]) as running:
        yield running


def connect(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=10)


def echo(client: socket.socket, data: bytes = b"hello") -> float:
    """Send and receive; seconds that it took."""

    def send() -> None:
        with contextlib.suppress(ConnectionError):  # told to one of the two who use the socket: see below
            client.sendall(data)

    begun = time.monotonic()
    threading.Thread(target=send, daemon=True).start()
    received = bytearray()
    while len(received) < len(data):
        part = client.recv(65_536)
        if not part:
            raise ConnectionError("the connection ended")
        received += part
    assert received == data
    return time.monotonic() - begun


def test_it_passes_data_on_and_ends_with_the_client(proxy: Proxy) -> None:
    with connect(proxy) as client:
        echo(client, bytes(range(256)) * 20_000)
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
    deadline = time.monotonic() + 5
    while proxy.connections and time.monotonic() < deadline:
        time.sleep(0.01)
    assert (proxy.connections, proxy.accepted) == (0, 1)


def test_a_cut_resets_both_sides_and_lets_new_connections_in(proxy: Proxy, server: EchoServer) -> None:
    with connect(proxy) as one, connect(proxy) as other, connect(proxy) as idle:
        for client in (one, other, idle):
            echo(client)
        assert proxy.cut() == 3
        for client in (one, other, idle):
            with pytest.raises(ConnectionResetError):
                client.recv(1)
    deadline = time.monotonic() + 5
    while server.resets < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert server.resets == 3
    with connect(proxy) as client:
        echo(client)


def test_a_cut_ends_a_client_that_does_not_read(proxy: Proxy) -> None:
    with connect(proxy) as client:
        client.settimeout(1.0)
        with pytest.raises(TimeoutError):
            client.sendall(bytes(50_000_000))
        proxy.cut()
        with pytest.raises(ConnectionError):
            client.sendall(b"more")


def test_a_pause_holds_data_and_keeps_connections(proxy: Proxy) -> None:
    with connect(proxy) as client:
        echo(client)
        proxy.pause(0.5)
        assert 0.4 < echo(client) < 5
        assert echo(client) < 0.4


def test_latency_and_throttle_slow_down(proxy: Proxy) -> None:
    with connect(proxy) as client:
        proxy.latency_s = 0.1
        assert 0.2 <= echo(client) < 5
        proxy.latency_s = 0.0
        proxy.throttle_bytes_per_s = 1e6
        assert echo(client, bytes(500_000)) >= 0.5
        proxy.throttle_bytes_per_s = None
        assert echo(client) < 0.1


def test_refusing_lasts_until_it_is_taken_back(proxy: Proxy) -> None:
    with connect(proxy) as before:
        echo(before)
        proxy.refuse()
        with pytest.raises(ConnectionError):
            before.recv(1)
    with pytest.raises(ConnectionError), connect(proxy) as client:
        echo(client)
    proxy.refuse(False)
    with connect(proxy) as client:
        echo(client)


def test_a_server_that_is_away_looks_like_a_reset() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with Proxy(port) as proxy, pytest.raises(ConnectionResetError), connect(proxy) as client:
        client.recv(1)
