"""Files of a source that are read over the network: within which limits, with which keys, and what is kept of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from landseries.connections import store_connection
from landseries.errors import ConfigError
from landseries.settings.remote import RemoteSource
from landseries.stores import open_store
from landseries.stores.base import Store
from landseries.stores.local import LocalStore
from landseries_fetcher.remote.cache import ContentCache
from landseries_fetcher.remote.limits import StoreGate
from landseries_fetcher.remote.persistence import Persistence
from landseries_fetcher.remote.quota import Quota
from landseries_fetcher.remote.reader import Gate, Identity, OpenGate, RemoteChanged, RemoteError, RemoteMissing
from landseries_fetcher.remote.s3_ranges import S3Ranges, new_client
from landseries_fetcher.remote.sparse import SparseCopy
from landseries_fetcher.sources.metadata import BadMetadata
from landseries_fetcher.sources.remote_image import anew_if_changed

#: No metadata of a product is longer.
_DOCUMENT_BYTES_MAX: Final = 64 * 2**20


class RemoteFiles:
    """Reads the files of one source through the content cache."""

    def __init__(self, source: RemoteSource, server: str, folder: Path) -> None:
        """Prepare; nothing is asked yet.

        Args:
            source: the settings.
            server: address of the server whose limits hold.
            folder: of what is kept.

        Raises:
            ConfigError: the folder cannot be used, or keys are incomplete.
        """
        self.cache = ContentCache(folder / "content", int(source.cache_gib * 2**30))
        self.gate = _gate(source, server, folder)
        self.persistence = Persistence(patience_s=source.patience_s)
        self._remote = source
        self._keys = _keys(source)
        self._client: Any = None

    def client(self) -> Any:
        """Of the source's S3 service.

        Raises:
            RemoteError: the source has none.
        """
        if self._remote.s3_endpoint is None:
            raise RemoteError("s3:// addresses are out of reach: the source has no s3_endpoint")
        if self._client is None:
            self._client = new_client(self._remote.s3_endpoint, *self._keys, region=self._remote.s3_region)
        return self._client

    def stored(self, bucket: str, key: str, known: Identity | None) -> S3Ranges:
        """An object of the source's S3 service; see `S3Ranges`."""
        return S3Ranges(self.client(), bucket, key, gate=self.gate, persistence=self.persistence, known=known)

    @contextmanager
    def whole(self, opened: AbstractContextManager[SparseCopy], name: str) -> Iterator[Path]:
        """A file that is short, such as metadata, as a whole.

        Args:
            opened: its copy in the cache.
            name: for messages.

        Raises:
            BadMetadata: it is not there, or longer than any metadata.
            RemoteError: it cannot be read now.
        """
        with opened as copy:
            try:
                anew_if_changed(copy, lambda: _complete(copy, name))
            except (RemoteMissing, RemoteChanged) as error:
                raise BadMetadata(f"{name} cannot be read: {error}") from error
            yield copy.path


def _complete(copy: SparseCopy, name: str) -> None:
    with copy.filling() as filling:
        if filling.size > _DOCUMENT_BYTES_MAX:
            raise BadMetadata(f"{name} is larger than {_DOCUMENT_BYTES_MAX >> 20} MiB, which no metadata is")
        filling.ensure([(0, filling.size)])


def _gate(source: RemoteSource, server: str, folder: Path) -> Gate:
    """The limits of a source: over all replicas that share a store, or else over all that share the cache folder."""
    if source.max_connections is None:
        return OpenGate()
    quota = Quota(source.max_connections, source.max_requests_per_minute)
    store: Store
    store = open_store(store_connection()) if os.environ.get("LANDSERIES_STORE_URL") else LocalStore(folder / "shared")
    host = urlsplit(server).hostname or ""
    return StoreGate(store, host.replace(":", "_"), quota, f"fetcher {os.getpid()}")


def _keys(source: RemoteSource) -> tuple[str | None, str | None]:
    """Access key and secret key of the bucket, from the environment.

    Raises:
        ConfigError: one is missing, or a file of one cannot be read.
    """
    if source.s3_endpoint is None:
        return None, None
    access, secret = (_secret(f"{source.key_names}_{part}_KEY") for part in ("ACCESS", "SECRET"))
    if (access is None) != (secret is None):
        raise ConfigError(
            f"{source.key_names}_ACCESS_KEY and {source.key_names}_SECRET_KEY (or ..._FILE): only one is given"
        )
    return access, secret


def _secret(variable: str) -> str | None:
    path = os.environ.get(f"{variable}_FILE")
    if not path:
        return os.environ.get(variable) or None
    try:
        return Path(path).read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{variable}_FILE: {path} cannot be read ({error}); it must hold the key") from error
