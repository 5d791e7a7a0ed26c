"""Ranges of objects in a bucket, against moto."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from moto.server import ThreadedMotoServer

from landseries_fetcher.remote.persistence import Persistence
from landseries_fetcher.remote.reader import (
    RemoteChanged,
    RemoteError,
    RemoteForbidden,
    RemoteMissing,
    RemoteUnavailable,
)
from landseries_fetcher.remote.s3_ranges import S3Ranges, new_client

CONTENT = random.Random(3).randbytes(200_000)
HASTY = Persistence(tries=4, sleep=lambda seconds: None)


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    made = new_client(f"http://{host}:{port}", "key", "secret", region="us-east-1")
    made.create_bucket(Bucket="eodata")
    try:
        yield made
    finally:
        server.stop()


@pytest.fixture
def key(client: Any) -> str:
    client.put_object(Bucket="eodata", Key="a/image.jp2", Body=CONTENT)
    return "a/image.jp2"


def _read(reader: S3Ranges, *ranges: tuple[int, int]) -> bytes:
    found = b""
    for offset, content in reader.read(ranges):
        assert CONTENT[offset : offset + len(content)] == content
        found += content
    return found


def test_ranges(client: Any, key: str) -> None:
    reader = S3Ranges(client, "eodata", key)
    assert reader.identity.size == len(CONTENT)
    ranges = [(0, 20), (16_000, 17_000), (50_000, 199_999), (199_999, 200_000)]
    assert _read(reader, *ranges) == b"".join(CONTENT[start:stop] for start, stop in ranges)
    again = S3Ranges(client, "eodata", key, known=reader.identity)
    assert _read(again, (5, 10)) == CONTENT[5:10]


def test_an_object_that_changed_is_an_error(client: Any, key: str) -> None:
    reader = S3Ranges(client, "eodata", key)
    client.put_object(Bucket="eodata", Key=key, Body=CONTENT[::-1])
    with pytest.raises(RemoteChanged, match="another object"):
        _read(reader, (50_000, 60_000))


def test_what_is_missing(client: Any) -> None:
    for bucket, name in (("eodata", "nothing"), ("nowhere", "nothing")):
        with pytest.raises(RemoteMissing, match=f"s3://{bucket}/nothing"):
            S3Ranges(client, bucket, name)


def test_an_empty_object_is_refused_in_words(client: Any) -> None:
    client.put_object(Bucket="eodata", Key="empty", Body=b"")
    with pytest.raises(RemoteError, match="s3://eodata/empty"):
        S3Ranges(client, "eodata", "empty")


class _Shaky:
    """A client whose calls, or bodies, fail in turn."""

    def __init__(self, client: Any, failures: list[Exception | int]) -> None:
        self._client, self.failures, self.calls = client, failures, 0

    def get_object(self, **arguments: Any) -> Any:
        self.calls += 1
        failure = self.failures.pop(0) if self.failures else 0
        if isinstance(failure, Exception):
            raise failure
        answer = self._client.get_object(**arguments)
        if failure:
            answer["Body"]._raw_stream = _Broken(answer["Body"]._raw_stream, failure)
        return answer


class _Broken:
    def __init__(self, stream: Any, length: int) -> None:
        self._stream, self._left = stream, length

    def read(self, amount: int) -> bytes:
        if not self._left:
            raise ConnectionResetError
        content: bytes = self._stream.read(min(amount, self._left))
        self._left -= len(content)
        return content

    def close(self) -> None:
        self._stream.close()


def _refusal(status: int, code: str, headers: dict[str, str] | None = None) -> ClientError:
    facts = {"HTTPStatusCode": status, "HTTPHeaders": headers or {}}
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": facts}, "GetObject")


def test_faults_are_outlasted(client: Any, key: str) -> None:
    waits: list[float] = []
    failures = [_refusal(503, "SlowDown"), 100, 0, EndpointConnectionError(endpoint_url="x"), 30_000, 5_000]
    failures += [_refusal(429, "TooManyRequests", {"retry-after": "9"})]
    shaky = _Shaky(client, failures)
    reader = S3Ranges(shaky, "eodata", key, persistence=Persistence(tries=9, sleep=waits.append))
    assert _read(reader, (20_000, 200_000)) == CONTENT[20_000:]
    assert not shaky.failures
    assert 9.0 in waits


def test_patience_ends(client: Any, key: str) -> None:
    with pytest.raises(RemoteUnavailable, match="SlowDown"):
        S3Ranges(_Shaky(client, [_refusal(503, "SlowDown")] * 9), "eodata", key, persistence=HASTY)


def test_a_refusal_names_the_keys(client: Any, key: str) -> None:
    shaky = _Shaky(client, [_refusal(403, "InvalidAccessKeyId")])
    with pytest.raises(RemoteForbidden, match=r"InvalidAccessKeyId.*check both keys"):
        S3Ranges(shaky, "eodata", key, persistence=HASTY)
    assert shaky.calls == 1
