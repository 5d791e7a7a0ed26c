"""Where artifacts and markers lie: one protocol, several stores."""

from __future__ import annotations

from pathlib import Path

from landseries.connections import StoreConnection
from landseries.stores.base import Store


def open_store(connection: StoreConnection, scratch: Path | None = None) -> Store:
    """The store that a connection describes; no request is sent yet.

    Args:
        connection: as `landseries.connections.store_connection` reads it from the environment.
        scratch: folder for objects while they are read as files; None: the system's folder for temporary files. A
            store that is a folder needs none.

    Raises:
        StoreError: the folder cannot be used, or the connection's fields do not fit together.
    """
    # Imported late: whoever works on a folder does not wait for two S3 clients to load.
    if connection.folder is not None:
        from landseries.stores.local import LocalStore

        return LocalStore(connection.folder)
    from landseries.stores.minio import MinioStore

    return MinioStore(connection, scratch)
