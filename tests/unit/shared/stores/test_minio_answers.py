"""What the bucket's store makes of bad answers: lost, cut short, refused, redirected, or for now."""

import time
import urllib.request
import uuid
from collections.abc import Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr
from support.served import served

from landseries.connections import StoreConnection
from landseries.errors import ArtifactError, StoreError, StoreFull, StoreUnavailable
from landseries.stores.minio import DIGEST, MinioStore

#: What the service in front does wrong with one request. `lose`: do it, but cut the connection instead of answering;
#: `cut`: answer half the body; `refuse`: cut the connection at once; `change`: another first byte; else an answer.
Fault = str | tuple[int, str]


class Front(ThreadingHTTPServer):
    """A service in front of the real one that misbehaves as told, once for each fault and in their order."""

    def __init__(self, behind: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behind = urlsplit(behind).netloc
        self.faults: list[Fault] = []
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Front

    def _answer(self) -> None:
        self.server.requests.append(self.command)
        fault = self.server.faults.pop(0) if self.server.faults else ""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if fault == "refuse":
            self.close_connection = True
            return
        if isinstance(fault, tuple):
            self._send(
                fault[0], {"Content-Type": "application/xml", "Location": "http://127.0.0.1:1/"}, _error(fault[1])
            )
            return
        behind = HTTPConnection(self.server.behind, timeout=10)
        behind.request(self.command, self.path, body, {name: value for name, value in self.headers.items()})
        answer = behind.getresponse()
        content = answer.read()
        behind.close()
        if fault == "lose":
            self.close_connection = True
            return
        if fault == "change":
            content = b"?" + content[1:]
        self._send(answer.status, dict(answer.getheaders()), content, cut=fault == "cut")

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = _answer

    def _send(self, status: int, headers: dict[str, str], content: bytes, cut: bool = False) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "transfer-encoding", "connection", "date", "server"):
                self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[: len(content) // 2] if cut else content)
        if cut:
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        pass


def _error(code: str) -> bytes:
    return (
        f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>told so</Message></Error>".encode() if code else b""
    )


@pytest.fixture
def front(s3_service: str) -> Iterator[Front]:
    server = Front(s3_service)
    with served(server):
        yield server


def connect(front: Front, **fields: object) -> StoreConnection:
    values: dict[str, object] = {
        "url": front.url,
        "bucket": f"b-{uuid.uuid4().hex}",
        "access_key": SecretStr("the-access-key"),
        "secret_key": SecretStr("the-secret-key"),
        "patience_s": 5,
    }
    return StoreConnection.model_validate(values | fields)


@pytest.fixture
def store(front: Front, tmp_path: Path) -> MinioStore:
    made = MinioStore(connect(front), tmp_path / "scratch")
    made.create_bucket()
    made.put("known", b"a known object")
    made.exists("known")
    front.requests.clear()
    return made


def test_an_own_write_is_known_again_when_its_answer_got_lost(front: Front, store: MinioStore) -> None:
    front.faults = ["lose"]
    assert store.put_new("new", b"1")
    assert front.requests == ["PUT", "PUT", "HEAD"]
    front.faults = ["lose"]
    first = store.put_if("lease", b"one", None)
    assert first is not None
    front.faults = ["lose"]
    second = store.put_if("lease", b"two", first)
    known = store.get_tagged("lease")
    assert known is not None
    assert (known.content, known.tag) == (b"two", second)


def test_another_ones_write_is_not_taken_for_an_own(front: Front, store: MinioStore) -> None:
    front.faults = ["refuse"]
    # Even the same bytes: who wrote them is told by a token.
    assert not store.put_new("known", b"a known object")
    front.faults = ["refuse"]
    assert store.put_if("known", b"mine", '"0"') is None
    assert store.get("known") == b"a known object"


def test_a_conflict_with_a_write_that_is_going_on_is_tried_again(front: Front, store: MinioStore) -> None:
    front.faults = [(409, "ConditionalRequestConflict"), (409, "OperationAborted")]
    assert store.put_new("new", b"1")
    front.faults = [(404, "NoSuchKey")]
    assert store.put_if("new", b"2", '"0"') is None


@pytest.mark.parametrize(
    "fault", ["refuse", "lose", (500, "InternalError"), (503, "SlowDown"), (503, ""), (429, "TooManyRequests")], ids=str
)
def test_what_passes_is_tried_again(front: Front, store: MinioStore, tmp_path: Path, fault: Fault) -> None:
    calls = [
        lambda: store.put("a", b"1"),
        lambda: store.put_new("b", b"1") or pytest.fail("lost"),
        lambda: store.get("known") == b"a known object" or pytest.fail("other bytes"),
        lambda: store.exists("known") or pytest.fail("not found"),
        lambda: [item.key for item in store.list("")] == ["a", "b", "known"] or pytest.fail("other keys"),
        lambda: store.delete("b"),
    ]
    for call in calls:
        front.faults = [fault, fault]
        call()
        assert front.faults == []


def test_an_answer_cut_short_is_read_again(front: Front, store: MinioStore) -> None:
    front.faults = ["cut"]
    assert store.get("known") == b"a known object"
    front.faults = ["cut"]
    with store.local("known") as path:
        assert path.read_bytes() == b"a known object"
    front.faults = ["cut"]
    assert [item.key for item in store.list("")] == ["known"]


def test_changed_bytes_are_read_once_more_and_then_refused(front: Front, store: MinioStore) -> None:
    front.faults = ["change"]
    assert store.get("known") == b"a known object"
    front.faults = ["change"]
    with store.local("known") as path:
        assert path.read_bytes() == b"a known object"
    front.faults = ["change", "change"]
    with pytest.raises(ArtifactError, match="the bytes of known are not those that were put"):
        store.get("known")
    front.faults = ["change", "change"]
    with pytest.raises(ArtifactError, match="known"), store.local("known"):
        pass


def test_a_store_that_stays_away_is_said_so_in_time(front: Front, caplog: pytest.LogCaptureFixture) -> None:
    store = MinioStore(connect(front, patience_s=0.5))
    front.faults = ["refuse"] * 1000
    begun = time.monotonic()
    with pytest.raises(StoreUnavailable, match=r"cannot read known: .* \(\d+ tries in [01] s\)"):
        store.get("known")
    assert 0.4 < time.monotonic() - begun < 3
    told = [record.message for record in caplog.records if record.name == "landseries.stores.patience"]
    assert len(told) == 1
    assert "cannot read known" in told[0]
    nobody = MinioStore(StoreConnection(url="http://127.0.0.1:1", patience_s=0))
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:1/landseries: cannot write a: .*refused"):
        nobody.put("a", b"")


@pytest.mark.parametrize(
    ("answer", "kind", "says"),
    [
        ((403, "AccessDenied"), StoreError, "give it the right to, or check LANDSERIES_STORE_ACCESS_KEY"),
        ((403, "InvalidAccessKeyId"), StoreError, "LANDSERIES_STORE_ACCESS_KEY"),
        ((403, "SignatureDoesNotMatch"), StoreError, "LANDSERIES_STORE_SECRET_KEY"),
        ((403, "RequestTimeTooSkewed"), StoreError, "clocks"),
        ((404, "NoSuchBucket"), StoreError, "LANDSERIES_STORE_BUCKET"),
        ((400, "AuthorizationHeaderMalformed"), StoreError, "LANDSERIES_STORE_REGION"),
        ((301, "PermanentRedirect"), StoreError, "LANDSERIES_STORE_REGION"),
        ((307, "TemporaryRedirect"), StoreError, "LANDSERIES_STORE_REGION"),
        ((507, "XMinioStorageFull"), StoreFull, "store is full"),
        ((403, "QuotaExceeded"), StoreFull, "store is full"),
        ((405, "MethodNotAllowed"), StoreError, "LANDSERIES_STORE_URL"),
    ],
    ids=lambda value: str(value[1]) if isinstance(value, tuple) else "",
)
def test_what_does_not_pass_is_told_at_once_with_the_remedy(
    front: Front, store: MinioStore, answer: tuple[int, str], kind: type[StoreError], says: str
) -> None:
    for call in (lambda: store.put("a", b"1"), lambda: store.put_new("a", b"1")):
        front.faults = [answer]
        with pytest.raises(kind) as raised:
            call()
        assert type(raised.value) is kind
        assert says in str(raised.value)
        assert "the-secret-key" not in str(raised.value)
        assert front.url in str(raised.value)
        assert "cannot write a: " in str(raised.value)
        assert front.faults == []


def test_few_round_trips(front: Front, store: MinioStore) -> None:
    calls = {
        "PUT": lambda: store.put("a", b"1"),
        "GET": lambda: store.get("a"),
        "HEAD": lambda: store.exists("a"),
        "DELETE": lambda: store.delete("a"),
    }
    for method, call in calls.items():
        front.requests.clear()
        call()
        assert front.requests == [method]
    for conditional in (lambda: store.put_new("b", b"1"), lambda: store.put_if("c", b"1", None)):
        front.requests.clear()
        conditional()
        assert front.requests == ["PUT"]
    front.requests.clear()
    assert len(list(store.list(""))) == 3
    assert front.requests[0] == "GET"
    assert len(front.requests) <= 2


def test_an_address_that_is_no_s3_service(tmp_path: Path) -> None:
    class Page(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            content = b"<html>this is a web page</html>"
            self.send_response(405)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with served(ThreadingHTTPServer(("127.0.0.1", 0), Page)) as url:
        store = MinioStore(StoreConnection(url=url))
        for call in (lambda: store.put("a", b"1"), lambda: store.put_new("a", b"1")):
            with pytest.raises(StoreError, match="LANDSERIES_STORE_URL the address of its S3 service") as raised:
                call()
            assert not isinstance(raised.value, StoreUnavailable)


def test_an_object_of_others_is_read_as_it_is(s3_service: str, front: Front, store: MinioStore) -> None:
    bucket = store._connection.bucket
    headers = {"Content-Type": "application/octet-stream"}
    request = urllib.request.Request(f"{s3_service}/{bucket}/by/hand", b"no digest", headers, method="PUT")
    urllib.request.urlopen(request).close()
    assert store.get("by/hand") == b"no digest"
    assert DIGEST == "landseries-sha256"  # stored objects carry it: another name would leave them unverified


def test_half_a_pair_of_keys_is_told() -> None:
    with pytest.raises(StoreError, match="LANDSERIES_STORE_ACCESS_KEY is set but LANDSERIES_STORE_SECRET_KEY is not"):
        MinioStore(StoreConnection(access_key=SecretStr("a")))
    with pytest.raises(StoreError, match="LANDSERIES_STORE_SECRET_KEY is set but LANDSERIES_STORE_ACCESS_KEY is not"):
        MinioStore(StoreConnection(secret_key=SecretStr("a")))


@pytest.mark.parametrize("bucket", ["a..b", "192.168.0.1"])
def test_a_bucket_that_no_service_would_have_is_told(bucket: str) -> None:
    with pytest.raises(StoreError, match=f"LANDSERIES_STORE_BUCKET: {bucket} cannot be used"):
        MinioStore(StoreConnection(bucket=bucket))


def test_a_scratch_folder_that_cannot_be_used_is_told(store: MinioStore, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    blocked = MinioStore(store._connection, tmp_path / "file")
    with pytest.raises(StoreError, match="file: no scratch copy can be written there"), blocked.local("known"):
        pass


def test_certificates_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    for path in (tmp_path / "ca.pem", tmp_path / "missing.pem"):
        with pytest.raises(StoreError, match=f"LANDSERIES_STORE_CA_FILE: {path} cannot be used"):
            MinioStore(StoreConnection(url="https://localhost:9000", ca_file=path))
