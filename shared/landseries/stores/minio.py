"""A bucket of MinIO, or of another S3 service, as a store."""

from __future__ import annotations

import errno
import hashlib
import io
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeVar

from landseries.artifacts.documents import digest_of, digest_of_file
from landseries.connections import STORE_PREFIX, StoreConnection
from landseries.errors import StoreError, StoreFull
from landseries.stores.base import StoredObject, Tagged, check_key, wrong_bytes
from landseries.stores.patience import Patience
from landseries.stores.s3_clients import S3Clients
from landseries.stores.s3_errors import CLIENT_ERRORS, answer_of, explain, is_missing, is_precondition, is_uncertain

_T = TypeVar("_T")

#: User metadata of every object: SHA-256 of its content, and a token of the call that wrote it.
DIGEST: Final = "landseries-sha256"
WRITER: Final = "landseries-writer"
_HEADER: Final = "x-amz-meta-"

_MIB: Final = 1 << 20
#: Contents above this go in parts of this size; one part is in memory at a time.
_PART_BYTES: Final = 8 * _MIB
_PARTS: Final = 10_000
_ONE_PUT_BYTES: Final = 5 << 30
_PAGE: Final = 1000


class MinioStore:
    """A bucket of an S3 service.

    Every object carries its SHA-256 as user metadata; what is read is compared with it, once more after a mismatch, and
    never given away when it differs. An object that someone else put, without the digest, is read as it is. A request
    that failed for lack of a connection, of time or of a ready server is tried again for `connection.patience_s`.

    May be used by several threads. `bytes_in` and `bytes_out` count the contents put and given.

    A process that is killed while it puts a large object leaves parts of it, which are no object and not listed; MinIO
    removes them after a day, elsewhere a lifecycle rule for incomplete uploads does.
    """

    def __init__(self, connection: StoreConnection, scratch: Path | None = None) -> None:
        """Send nothing yet.

        Args:
            connection: where the bucket is, and the keys.
            scratch: folder for the files that `local` gives; made when needed. None: the system's temporary folder.

        Raises:
            StoreError: the connection's fields do not fit together, or its certificates cannot be read.
        """
        self.bytes_in = 0
        self.bytes_out = 0
        self._connection = connection
        self._bucket = connection.bucket
        self._place = f"{connection.url}/{connection.bucket}"
        self._scratch = scratch
        self._clients = S3Clients(connection)
        self._patience = Patience(connection.patience_s)

    def put(self, key: str, content: bytes | Path) -> None:
        """See `Store.put`; contents above 8 MiB go in parts, and the object appears when the last one is there."""
        check_key(key)
        size_bytes, digest = self._measure(key, content)
        part_bytes = max(_PART_BYTES, -(-size_bytes // (_PARTS * _MIB)) * _MIB)

        def write() -> None:
            with _opened(content) as stream:
                self._clients.minio.put_object(
                    self._bucket,
                    key,
                    stream,
                    size_bytes,
                    metadata={DIGEST: digest},
                    part_size=part_bytes,
                    num_parallel_uploads=1,
                )

        self._ask(f"write {key}", write)
        self.bytes_in += size_bytes

    def put_new(self, key: str, content: bytes | Path) -> bool:
        """See `Store.put_new`; at most 5 GiB."""
        return self._put_where(key, content, {"IfNoneMatch": "*"}) is not None

    def put_if(self, key: str, content: bytes, tag: str | None) -> str | None:
        """See `Store.put_if`; the tag is the object's ETag."""
        return self._put_where(key, content, {"IfNoneMatch": "*"} if tag is None else {"IfMatch": tag})

    def get(self, key: str) -> bytes | None:
        """See `Store.get`."""
        found = self.get_tagged(key)
        return None if found is None else found.content

    def get_tagged(self, key: str) -> Tagged | None:
        """See `Store.get_tagged`; the tag is the object's ETag."""
        check_key(key)
        for _ in range(2):
            found = self._ask(f"read {key}", lambda: self._read(key))
            if found is None:
                return None
            content, headers = found
            if headers.get(_HEADER + DIGEST) in (None, digest_of(content)):
                self.bytes_out += len(content)
                return Tagged(content, headers.get("etag", ""))
        raise wrong_bytes(self._place, key)

    @contextmanager
    def local(self, key: str, digest: str | None = None) -> Iterator[Path]:
        """See `Store.local`; a copy in the scratch folder, named as the last part of the key."""
        check_key(key)
        try:
            if self._scratch is not None:
                self._scratch.mkdir(parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(prefix="landseries-", dir=self._scratch))
        except OSError as error:
            raise _explain_scratch(error, self._scratch or Path(tempfile.gettempdir())) from error
        try:
            path = folder / key.rsplit("/", 1)[-1]
            self._fetch(key, path, digest)
            yield path
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def exists(self, key: str) -> bool:
        """See `Store.exists`."""
        return self._ask(f"look for {check_key(key)}", lambda: self._head(key)) is not None

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """See `Store.list`; a page of a thousand is in memory at a time."""
        below = check_key(prefix.rstrip("/")) + "/" if prefix else ""
        objects: Iterator[Any] | None = None
        last: str | None = None

        def page() -> list[Any]:
            nonlocal objects
            if objects is None:
                # After a failure the listing goes on behind what was already given.
                objects = self._clients.minio.list_objects(self._bucket, prefix=below, recursive=True, start_after=last)
            try:
                return list(islice(objects, _PAGE))
            except CLIENT_ERRORS:
                objects = None
                raise

        while items := self._ask(f"list {below or 'the bucket'}", page):
            last = items[-1].object_name
            for item in items:
                if not item.object_name.endswith("/"):  # a folder that some console made
                    yield StoredObject(item.object_name, item.size, item.last_modified)

    def delete(self, key: str) -> None:
        """See `Store.delete`."""
        check_key(key)
        self._ask(f"delete {key}", lambda: self._clients.minio.remove_object(self._bucket, key))

    def check_bucket(self) -> None:
        """See that the bucket is there and can be written to, by writing a small object and deleting it.

        Raises:
            StoreError: it is not; the text says what to do.
            StoreUnavailable: the store does not answer.
        """
        if not self._ask("look for the bucket", lambda: self._clients.minio.bucket_exists(self._bucket)):
            raise StoreError(
                f"{self._connection.url}: there is no bucket {self._bucket}; create it, or set {STORE_PREFIX}BUCKET to "
                "one that exists"
            )
        key = f"probe/{uuid.uuid4().hex}"
        self.put(key, b"landseries looks whether it may write here")
        self.delete(key)

    def create_bucket(self) -> None:
        """Make the bucket, where these keys have none of that name yet.

        Raises:
            StoreError: the keys do not allow it, or the name belongs to someone else.
        """

        def make() -> None:
            try:
                self._clients.minio.make_bucket(self._bucket, location=self._connection.region)
            except CLIENT_ERRORS as error:
                answer = answer_of(error)
                if answer is None or answer.code != "BucketAlreadyOwnedByYou":
                    raise

        self._ask("create the bucket", make)

    def _put_where(self, key: str, content: bytes | Path, condition: dict[str, str]) -> str | None:
        """Write under a condition; the new ETag, or None where the condition does not hold."""
        check_key(key)
        size_bytes, digest = self._measure(key, content)
        if size_bytes > _ONE_PUT_BYTES:
            raise StoreError(f"{key}: {size_bytes} bytes are too many for a conditional write, 5 GiB is the most")
        metadata = {DIGEST: digest, WRITER: uuid.uuid4().hex}
        asked_before = False

        def write() -> str | None:
            nonlocal asked_before
            try:
                with _opened(content) as stream:
                    body = content if isinstance(content, bytes) else stream
                    answer = self._clients.boto.put_object(
                        Bucket=self._bucket, Key=key, Body=body, Metadata=metadata, **condition
                    )
                return str(answer["ETag"])
            except CLIENT_ERRORS as error:
                # Instead of 412, MinIO answers 404 to an ETag where there is no object at all.
                if not is_precondition(error) and not is_missing(error):
                    raise
                return self._tag_of_own(key, metadata[WRITER]) if asked_before else None
            finally:
                asked_before = True

        tag = self._ask(f"write {key}", write)
        if tag is not None:
            self.bytes_in += size_bytes
        return tag

    def _tag_of_own(self, key: str, writer: str) -> str | None:
        """The ETag of an object that this very call wrote, although the answer got lost."""
        headers = self._head(key)
        return None if headers is None or headers.get(_HEADER + WRITER) != writer else str(headers.get("etag"))

    def _head(self, key: str) -> Any | None:
        """An object's headers; None where there is none."""
        try:
            return self._clients.minio.stat_object(self._bucket, key).metadata
        except CLIENT_ERRORS as error:
            if is_missing(error):
                return None
            if not is_uncertain(error):
                raise
        with self._response(key) as response:  # its answer has a body, which tells
            return None if response is None else response.headers

    def _read(self, key: str) -> tuple[bytes, Any] | None:
        with self._response(key) as response:
            return None if response is None else (response.read(), response.headers)

    def _fetch(self, key: str, path: Path, digest: str | None) -> None:
        """An object's verified content as a file."""

        def copy() -> bool:
            with self._response(key) as response:
                if response is None:
                    raise StoreError(f"{self._place}: there is no object {key}")
                found = self._pour(response, path)
                return {digest, response.headers.get(_HEADER + DIGEST)} <= {None, found}

        for _ in range(2):
            if self._ask(f"read {key}", copy):
                self.bytes_out += path.stat().st_size
                return
        raise wrong_bytes(self._place, key)

    def _pour(self, response: Any, path: Path) -> str:
        """Write a response's body to a file; its digest."""
        digest = hashlib.sha256()
        pieces = response.stream(_MIB)
        try:
            with path.open("wb") as file:
                for piece in pieces:
                    digest.update(piece)
                    file.write(piece)
        except (ConnectionError, TimeoutError):
            raise
        except OSError as error:
            raise _explain_scratch(error, path.parent.parent) from error
        return digest.hexdigest()

    @contextmanager
    def _response(self, key: str) -> Iterator[Any | None]:
        """An answer whose body is not read yet; None where there is no such object."""
        try:
            response = self._clients.minio.get_object(self._bucket, key)
        except CLIENT_ERRORS as error:
            if not is_missing(error):
                raise
            yield None
            return
        whole = False
        try:
            yield response
            whole = True
        finally:
            if not whole:
                response.close()
            response.release_conn()

    def _measure(self, key: str, content: bytes | Path) -> tuple[int, str]:
        """A content's size in bytes and SHA-256."""
        if isinstance(content, bytes):
            return len(content), digest_of(content)
        try:
            return content.stat().st_size, digest_of_file(content)
        except OSError as error:
            raise StoreError(f"{content}: cannot be read to be written as {key}: {error.strerror}") from error

    def _ask(self, doing: str, action: Callable[[], _T]) -> _T:
        """Do what sends requests, again while the store is away, and say in our words what went wrong."""

        def attempt() -> _T:
            try:
                return action()
            except CLIENT_ERRORS as error:
                raise explain(error, self._connection, doing) from error

        return self._patience.call(attempt)


def _opened(content: bytes | Path) -> BinaryIO:
    return io.BytesIO(content) if isinstance(content, bytes) else content.open("rb")


def _explain_scratch(error: OSError, folder: Path) -> StoreError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreFull(f"{folder}: no space is left for a scratch copy; free some, or choose another scratch folder")
    return StoreError(
        f"{folder}: no scratch copy can be written there: {error.strerror}; choose another scratch folder"
    )
