"""The health server: what probes get, what hostile clients get, and that nothing is left behind."""

import http.client
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Gauge

from landseries import health
from landseries.errors import ConfigError
from landseries.health import HealthServer


class Probe:
    """A server with switches."""

    def __init__(self, address: str = "127.0.0.1:0") -> None:
        self.live: str | None = None
        self.ready: str | None = None
        registry = CollectorRegistry()
        Gauge("answer", "of all", registry=registry).set(42)
        self.server = HealthServer(address, lambda: self.live, lambda: self.ready, registry)
        self.server.start()

    def ask(self, path: str, method: str = "GET", host: str = "127.0.0.1") -> tuple[int, str]:
        connection = http.client.HTTPConnection(host, self.server.port, timeout=5)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def send(self, content: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=5) as sock:
            received = b""
            with suppress(OSError):  # it may answer and close before it has read all
                sock.sendall(content)
                sock.shutdown(socket.SHUT_WR)
            try:
                while part := sock.recv(65536):
                    received += part
            except ConnectionError:
                pass  # it may close before it has read all
            return received


@pytest.fixture
def probe() -> Iterator[Probe]:
    probe = Probe()
    yield probe
    probe.server.stop()


def test_the_three_pages(probe: Probe) -> None:
    assert probe.ask("/healthz") == (200, "ok\n")
    assert probe.ask("/readyz?verbose") == (200, "ok\n")
    status, text = probe.ask("/metrics")
    assert status == 200
    assert "answer 42.0" in text
    assert probe.ask("/")[0] == 404
    assert probe.ask("/healthz/..")[0] == 404


def test_why_it_is_not_well(probe: Probe) -> None:
    probe.live, probe.ready = "no progress for 900 s", "the broker is away: connection refused – wait"
    assert probe.ask("/healthz") == (503, "no progress for 900 s\n")
    assert probe.ask("/readyz") == (503, "the broker is away: connection refused – wait\n")
    assert probe.ask("/metrics")[0] == 200


def test_a_check_that_fails_is_an_answer() -> None:
    server = HealthServer("127.0.0.1:0", lambda: str(1 // 0), lambda: None, CollectorRegistry())
    server.start()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    connection.request("GET", "/healthz")
    response = connection.getresponse()
    assert (response.status, response.read()) == (503, b"the check failed: ZeroDivisionError\n")
    connection.close()
    server.stop()


def test_head_has_no_body_and_other_methods_are_refused(probe: Probe) -> None:
    assert probe.ask("/healthz", "HEAD") == (200, "")
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE"):
        assert probe.ask("/healthz", method)[0] == 405


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"GET /" + b"a" * 3000 + b" HTTP/1.1\r\n\r\n", b"414"),
        (b"GET /" + b"a" * 1_000_000, b"414"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/9.9\r\n\r\n", b"505"),
        (b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 200 + b"\r\n", b"431"),
        (b"GET /<script> HTTP/1.1\r\n\r\n", b"404"),
    ],
)
def test_bad_requests(probe: Probe, content: bytes, status: bytes) -> None:
    received = probe.send(content)
    if received or len(content) < 10_000:  # a client that sends far too much may be cut off before it reads
        assert received.split()[1] == status
    assert b"script" not in received
    assert probe.ask("/healthz") == (200, "ok\n")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(content=st.binary(max_size=200) | st.binary(max_size=60).map(lambda rest: b"GET /healthz HTTP/1.1\r\n" + rest))
def test_random_bytes_do_no_harm(probe: Probe, content: bytes) -> None:
    probe.send(content)
    assert probe.ask("/healthz") == (200, "ok\n")


def test_slow_clients_are_dropped_and_do_not_keep_others_out(probe: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_PATIENCE_S", 0.5)
    before = threading.active_count()
    slow = [socket.create_connection(("127.0.0.1", probe.server.port)) for _ in range(40)]
    for sock in slow:
        sock.sendall(b"GET /he")
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            if probe.ask("/healthz")[0] == 200:
                break
        except (OSError, http.client.HTTPException):
            time.sleep(0.05)
    assert probe.ask("/healthz") == (200, "ok\n")
    assert threading.active_count() <= before + 1
    for sock in slow:
        sock.close()


def test_nothing_is_left_after_stop() -> None:
    before = set(threading.enumerate())
    for _ in range(3):
        probe = Probe()
        idle = socket.create_connection(("127.0.0.1", probe.server.port))
        idle.sendall(b"GET ")
        assert probe.ask("/healthz")[0] == 200
        probe.server.stop()
        idle.close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", probe.server.port), timeout=1)
    assert set(threading.enumerate()) <= before


def test_stop_without_start_frees_the_port() -> None:
    server = HealthServer("127.0.0.1:0", lambda: None, lambda: None, CollectorRegistry())
    server.stop()
    again = HealthServer(f"127.0.0.1:{server.port}", lambda: None, lambda: None, CollectorRegistry())
    again.stop()


def test_a_port_in_use_is_said(probe: Probe) -> None:
    with pytest.raises(ConfigError, match=f"127.0.0.1:{probe.server.port}: is in use by another process"):
        Probe(f"127.0.0.1:{probe.server.port}")


@pytest.mark.parametrize(
    "address", ["", "8080", "localhost", "host:", "host:http", "host:99999", "::1:80:x", "::1:80", "h:-1", "h:²"]
)
def test_what_is_no_address_is_said(address: str) -> None:
    with pytest.raises(ConfigError, match="is no address to listen at: write HOST:PORT"):
        Probe(address)


def test_an_unknown_host_is_said() -> None:
    with pytest.raises(ConfigError, match=r"the host 'no\.such\.host\.invalid' is not known here"):
        Probe("no.such.host.invalid:0")


def test_all_interfaces_and_ipv6() -> None:
    everywhere = Probe(":0")
    assert everywhere.ask("/healthz")[0] == 200
    everywhere.server.stop()
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    six = Probe("[::1]:0")
    assert six.ask("/healthz", host="::1")[0] == 200
    six.server.stop()
