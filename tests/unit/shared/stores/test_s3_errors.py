"""What the clients' errors mean."""

import errno
import ssl

import botocore.exceptions
import pytest
import urllib3.exceptions
from minio.error import InvalidResponseError, ServerError
from pydantic import SecretStr

from landseries.connections import StoreConnection
from landseries.errors import StoreError, StoreFull, StoreUnavailable
from landseries.stores.s3_errors import CLIENT_ERRORS, explain

CONNECTION = StoreConnection(
    url="http://store:9000", bucket="maps", access_key=SecretStr("the-key"), secret_key=SecretStr("the-secret")
)


def client_error(status: int, code: str) -> botocore.exceptions.ClientError:
    return botocore.exceptions.ClientError(
        {"Error": {"Code": code, "Message": "told"}, "ResponseMetadata": {"HTTPStatusCode": status}}, "PutObject"
    )


def certificate_error(number: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed")
    error.verify_code, error.verify_message = number, "told"
    return error


def tls_error(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, "told")
    error.reason = reason
    return error


@pytest.mark.parametrize(
    "error",
    [
        botocore.exceptions.ConnectTimeoutError(endpoint_url="http://store:9000"),
        botocore.exceptions.ReadTimeoutError(endpoint_url="http://store:9000"),
        botocore.exceptions.EndpointConnectionError(endpoint_url="http://store:9000"),
        botocore.exceptions.ConnectionClosedError(endpoint_url="http://store:9000"),
        botocore.exceptions.SSLError(endpoint_url="http://store:9000", error=tls_error("UNEXPECTED_EOF_WHILE_READING")),
        urllib3.exceptions.ReadTimeoutError(None, "/", "timed out"),  # type: ignore[arg-type]
        urllib3.exceptions.ProtocolError("Connection aborted.", ConnectionResetError(104, "reset")),
        urllib3.exceptions.IncompleteRead(10, 20),
        urllib3.exceptions.SSLError(tls_error("UNEXPECTED_EOF_WHILE_READING")),
        ConnectionResetError(errno.ECONNRESET, "reset"),
        TimeoutError("timed out"),
        ServerError("server failed", 503),
        InvalidResponseError(502, "text/html", "<html>Bad Gateway</html>"),
        client_error(500, "InternalError"),
        client_error(503, "SlowDown"),
        client_error(503, "503"),
        client_error(409, "ConditionalRequestConflict"),
        client_error(400, "RequestTimeout"),
        client_error(400, "IncompleteBody"),
        client_error(400, "BadDigest"),
    ],
    ids=lambda error: f"{type(error).__name__} {error}"[:60],
)
def test_what_passes(error: BaseException) -> None:
    assert isinstance(error, CLIENT_ERRORS)
    told = explain(error, CONNECTION, "write a")
    assert type(told) is StoreUnavailable
    assert str(told).startswith("http://store:9000/maps: cannot write a: ")


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (client_error(507, "XMinioStorageFull"), StoreFull, "landseries gc"),
        (ServerError("server failed", 507), StoreFull, "landseries gc"),
        (client_error(400, "XMinioAdminBucketQuotaExceeded"), StoreFull, "landseries gc"),
        (client_error(403, "InvalidAccessKeyId"), StoreError, "LANDSERIES_STORE_ACCESS_KEY"),
        (client_error(403, "RequestTimeTooSkewed"), StoreError, "clocks"),
        (client_error(403, "403"), StoreError, "right"),
        (client_error(404, "NoSuchBucket"), StoreError, "LANDSERIES_STORE_BUCKET"),
        (client_error(301, "301"), StoreError, "LANDSERIES_STORE_REGION"),
        (client_error(400, "IllegalLocationConstraintException"), StoreError, "LANDSERIES_STORE_REGION"),
        (client_error(501, "NotImplemented"), StoreError, "LANDSERIES_STORE_URL"),
        (InvalidResponseError(404, "text/html", "<html>a web page</html>"), StoreError, "LANDSERIES_STORE_URL"),
        (certificate_error(10), StoreError, "has expired"),
        (certificate_error(9), StoreError, "not valid yet"),
        (certificate_error(20), StoreError, "LANDSERIES_STORE_CA_FILE"),
        (certificate_error(18), StoreError, "LANDSERIES_STORE_CA_FILE"),
        (certificate_error(62), StoreError, "another host"),
        (certificate_error(23), StoreError, "cannot be trusted"),
        (tls_error("WRONG_VERSION_NUMBER"), StoreError, "http://"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory"), StoreError, "No such file"),
    ],
    ids=lambda value: f"{type(value).__name__} {value}"[:60] if isinstance(value, BaseException) else "",
)
@pytest.mark.parametrize("wrapped", [False, True])
def test_what_does_not_pass(error: Exception, kind: type[StoreError], says: str, wrapped: bool) -> None:
    if wrapped and isinstance(error, ssl.SSLError):
        error = botocore.exceptions.SSLError(endpoint_url="x", error=urllib3.exceptions.SSLError(error))
    told = explain(error, CONNECTION, "write a")
    assert type(told) is kind
    assert says in str(told)
    assert "the-secret" not in str(told)
    assert "the-key" not in str(told)


def test_an_address_that_nobody_gave_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LANDSERIES_STORE_URL", raising=False)
    refused = ConnectionRefusedError(errno.ECONNREFUSED, "refused")
    unset = "(LANDSERIES_STORE_URL is not set)"
    told = str(explain(refused, StoreConnection(), "read a"))
    assert told.startswith(f"http://localhost:9000/landseries {unset}: cannot read a: ")
    assert unset not in str(explain(refused, CONNECTION, "read a"))
