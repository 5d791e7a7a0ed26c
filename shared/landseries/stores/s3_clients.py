"""The two clients of an S3 service: the `minio` SDK for objects, boto3 for conditional writes.

The `minio` SDK has no conditional write (it turns the header into metadata of the object), hence the second client.
Both try a request once: when and how long to try again is decided in one place, for both alike. Both get their keys
from the connection alone, never from a home folder or a cloud's metadata service.
"""

from __future__ import annotations

import os
import ssl
import threading
from typing import Any, Final
from urllib.parse import urlsplit

import certifi
import urllib3
from minio import Minio
from minio.helpers import check_bucket_name

from landseries.connections import STORE_PREFIX, StoreConnection
from landseries.errors import StoreError

_CONNECT_S: Final = 5
_READ_S: Final = 60
#: Connections that one process holds at most, by client.
_CONNECTIONS: Final = 16


class S3Clients:
    """Both clients, each made when first asked for, and again in a process that inherited them by a fork."""

    def __init__(self, connection: StoreConnection) -> None:
        """Check what can be checked without a request.

        Raises:
            StoreError: the bucket's name is none, one key is given without the other, or the certificates cannot be
                read.
        """
        try:
            check_bucket_name(connection.bucket, strict=True)
        except ValueError as error:
            raise StoreError(f"{STORE_PREFIX}BUCKET: {connection.bucket} cannot be used: {error}") from None
        if (connection.access_key is None) != (connection.secret_key is None):
            given, missing = ("ACCESS", "SECRET") if connection.secret_key is None else ("SECRET", "ACCESS")
            raise StoreError(f"{STORE_PREFIX}{given}_KEY is set but {STORE_PREFIX}{missing}_KEY is not; set both")
        self._connection = connection
        self._authorities = _authorities(connection)
        self._pid = os.getpid()
        self._making = threading.Lock()
        self._minio: Minio | None = None
        self._boto: Any = None

    @property
    def minio(self) -> Minio:
        """The client for objects."""
        self._forget_inherited()
        with self._making:
            if self._minio is None:
                self._minio = _make_minio(self._connection, self._authorities)
            return self._minio

    @property
    def boto(self) -> Any:
        """The client for conditional writes (a boto3 client of the service `s3`)."""
        self._forget_inherited()
        with self._making:
            if self._boto is None:
                self._boto = _make_boto(self._connection, self._authorities)
            return self._boto

    def _forget_inherited(self) -> None:
        if self._pid != os.getpid():
            self._making = threading.Lock()
            self._pid, self._minio, self._boto = os.getpid(), None, None


def _authorities(connection: StoreConnection) -> str | None:
    """The file of trusted certificates; None where the connection is not encrypted."""
    if urlsplit(connection.url).scheme != "https":
        return None
    if connection.ca_file is None:
        return ssl.get_default_verify_paths().cafile or certifi.where()
    try:
        ssl.create_default_context(cafile=str(connection.ca_file))
    except OSError as error:
        raise StoreError(
            f"{STORE_PREFIX}CA_FILE: {connection.ca_file} cannot be used ({error.strerror or error}); "
            "it must hold certificates in PEM format"
        ) from None
    return str(connection.ca_file)


def _secrets(connection: StoreConnection) -> tuple[str | None, str | None]:
    keys = (connection.access_key, connection.secret_key)
    access, secret = (None if key is None else key.get_secret_value() for key in keys)
    return access, secret


def _make_minio(connection: StoreConnection, authorities: str | None) -> Minio:
    access_key, secret_key = _secrets(connection)
    parts = urlsplit(connection.url)
    tls: dict[str, Any] = {} if authorities is None else {"cert_reqs": "CERT_REQUIRED", "ca_certs": authorities}
    try:
        client = Minio(
            parts.netloc,
            access_key=access_key,
            secret_key=secret_key,
            secure=parts.scheme == "https",
            region=connection.region,  # without it every bucket's region would be asked for first
            http_client=urllib3.PoolManager(
                num_pools=2,
                maxsize=_CONNECTIONS,
                block=True,
                timeout=urllib3.Timeout(connect=_CONNECT_S, read=_READ_S),
                retries=False,
                **tls,
            ),
        )
    except ValueError as error:
        raise StoreError(f"{STORE_PREFIX}URL: {connection.url} cannot be used: {error}") from error
    if connection.path_style:
        client.disable_virtual_style_endpoint()
    else:
        client.enable_virtual_style_endpoint()
    return client


def _make_boto(connection: StoreConnection, authorities: str | None) -> Any:
    # boto3 takes long to load; most processes that only read never need it.
    import boto3
    from botocore import UNSIGNED
    from botocore.config import Config

    access_key, secret_key = _secrets(connection)
    config = Config(
        connect_timeout=_CONNECT_S,
        read_timeout=_READ_S,
        max_pool_connections=_CONNECTIONS,
        retries={"total_max_attempts": 1, "mode": "standard"},
        # Only AWS itself knows the checksums that are sent by default; the signed payload protects the transport.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": "path" if connection.path_style else "virtual", "payload_signing_enabled": True},
        proxies={},
        **({"signature_version": UNSIGNED} if access_key is None else {}),
    )
    client = boto3.session.Session().client(
        "s3",
        endpoint_url=connection.url,
        region_name=connection.region,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        verify=authorities,
        config=config,
    )
    client.meta.events.register("before-call.s3", _follow_no_redirect)
    return client


def _follow_no_redirect(context: dict[str, Any], **_: Any) -> None:
    # boto3 answers a redirect by asking for the bucket's region, again and again where that is redirected as well.
    context.setdefault("s3_redirect", {})["redirected"] = True
