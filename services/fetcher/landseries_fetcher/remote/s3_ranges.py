"""Ranges of an object in a bucket, as the Copernicus Data Space offers its archive."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any, Final

from landseries_fetcher.remote.persistence import Interrupted, Persistence, retry_after_s
from landseries_fetcher.remote.persistent_ranges import PersistentRanges
from landseries_fetcher.remote.reader import (
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

_AWAY: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_AWAY_CODES: Final = frozenset({"SlowDown", "RequestTimeout", "InternalError", "ServiceUnavailable", "Throttling"})
_CONNECT_S: Final = 10
_READ_S: Final = 30
#: A read waits until it has so many bytes: few, so that a slow body is noticed.
_PIECE_BYTES: Final = 1 << 16


def new_client(
    endpoint: str,
    access_key: str | None,
    secret_key: str | None,
    *,
    region: str = "default",
    ca_file: str | None = None,
) -> Any:
    """A boto3 client for reading, without retries of its own; usable by several threads.

    Args:
        endpoint: URL of the service, for example `https://eodata.dataspace.copernicus.eu`.
        access_key: None for a public bucket.
        secret_key: goes with the access key.
        region: as the service calls it.
        ca_file: trusted certificates in PEM format; None for the system's.
    """
    import boto3  # takes long to load; a process that reads no bucket never needs it
    from botocore import UNSIGNED
    from botocore.config import Config

    config = Config(
        connect_timeout=_CONNECT_S,
        read_timeout=_READ_S,
        retries={"total_max_attempts": 1, "mode": "standard"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": "path"},
        **({"signature_version": UNSIGNED} if access_key is None else {}),
    )
    return boto3.session.Session().client(
        "s3",
        endpoint_url=endpoint,
        region_name=region,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        verify=ca_file,
        config=config,
    )


class S3Ranges(PersistentRanges):
    """One object of a bucket; see `RangeReader`."""

    def __init__(
        self,
        client: Any,
        bucket: str,
        key: str,
        *,
        gate: Gate | None = None,
        persistence: Persistence | None = None,
        known: Identity | None = None,
    ) -> None:
        """Ask for the first bytes, and learn size and tag.

        Args:
            client: see `new_client`.
            bucket: its name.
            key: of the object.
            gate: the server's limits.
            persistence: how long faults are borne.
            known: what an earlier reader learnt of the same object; then nothing is asked for now.

        Raises:
            RemoteError: see `RangeReader.read`.
        """
        self._client, self._bucket, self._key = client, bucket, key
        super().__init__(f"s3://{bucket}/{key}", gate, persistence, known)

    def _begin(self) -> None:
        with self._gate.request():
            answer = self._called(Range=f"bytes=0-{HEAD_BYTES - 1}")
            with closing(answer["Body"]) as body:
                size = str(answer.get("ContentRange", "")).rpartition("/")[2]
                if not (size.isascii() and size.isdigit() and len(size) <= 18):
                    raise RemoteError(f"{self.name}: the service does not say how long the object is ({size[:100]!r})")
                length = min(HEAD_BYTES, checked_size(int(size), self.name))
                self._head = b"".join(self._pieces(body, length))
        if len(self._head) != length:
            raise Interrupted("the first bytes came incomplete")
        self.identity = Identity(int(size), str(answer.get("ETag", "")))

    def _ask(self, start: int, stop: int) -> Iterator[bytes]:
        known = self.identity
        matching = {"IfMatch": known.etag} if known.etag else {}
        answer = self._called(Range=f"bytes={start}-{stop - 1}", **matching)
        with closing(answer["Body"]) as body:
            if str(answer.get("ETag", "")) != known.etag:
                raise RemoteChanged(f"{self.name} is another object than at first; search for products again")
            given = str(answer.get("ContentRange", ""))
            if given != f"bytes {start}-{stop - 1}/{known.size}":
                raise RemoteError(f"{self.name}: bytes {start} to {stop - 1} were asked for, {given[:100]!r} came")
            yield from self._pieces(body, stop - start)

    def _pieces(self, body: Any, length: int) -> Iterator[bytes]:
        while length > 0:
            try:
                piece = body.read(min(_PIECE_BYTES, length))
            except _errors() as error:
                raise Interrupted(reason_of(error)) from error
            if not piece:
                return
            length -= len(piece)
            yield piece

    def _called(self, **arguments: Any) -> dict[str, Any]:
        return called(self._client.get_object, self.name, Bucket=self._bucket, Key=self._key, **arguments)


def called(method: Any, name: str, **arguments: Any) -> dict[str, Any]:
    """What a service answers when it is asked once.

    Args:
        method: of the client.
        name: what is asked for, for messages.
        arguments: of the method.

    Raises:
        Interrupted: another try may help.
        RemoteError: it will not.
    """
    from botocore.exceptions import ClientError, NoCredentialsError

    try:
        answer: dict[str, Any] = method(**arguments)
        return answer
    except ClientError as error:
        raise _meaning(error.response, name) from error
    except NoCredentialsError as error:
        raise RemoteForbidden(f"{name}: no access key is given; set both keys of the source") from error
    except _errors() as error:
        raise Interrupted(reason_of(error)) from error


def _meaning(answer: Any, name: str) -> Exception:
    """What an answer that is an error means."""
    facts = answer.get("ResponseMetadata", {})
    status, code = facts.get("HTTPStatusCode", 0), str(answer.get("Error", {}).get("Code", ""))
    if status in _AWAY or code in _AWAY_CODES:
        return Interrupted(f"status {status} {code}", retry_after_s(facts.get("HTTPHeaders", {}).get("retry-after")))
    if status in (401, 403):
        return RemoteForbidden(f"{name}: the service refuses ({status} {code}); check both keys of the source")
    if status == 404:
        return RemoteMissing(f"{name}: there is no such {'bucket' if code == 'NoSuchBucket' else 'object'} ({code})")
    if status in (412, 416):
        return RemoteChanged(f"{name} is another object than at first; search for products again")
    return RemoteError(f"{name}: the service answers with status {status} {code}")


def _errors() -> tuple[type[BaseException], ...]:
    """What a broken connection raises."""
    from botocore.exceptions import BotoCoreError
    from urllib3.exceptions import HTTPError

    return (BotoCoreError, HTTPError, OSError)
