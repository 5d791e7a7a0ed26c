"""What a failed request to an S3 service means: away for now, full, or refused, and what a person can do about it."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final
from xml.etree.ElementTree import ParseError

from botocore.exceptions import BotoCoreError, ClientError
from minio.error import InvalidResponseError, MinioException, S3Error, ServerError
from urllib3.exceptions import HTTPError
from urllib3.util.ssl_match_hostname import CertificateError

from landseries.connections import STORE_PREFIX, StoreConnection
from landseries.errors import StoreError, StoreFull, StoreUnavailable

#: What the two clients raise; everything else is a mistake in the program.
CLIENT_ERRORS: Final = (MinioException, HTTPError, BotoCoreError, ClientError, ParseError, UnicodeDecodeError, OSError)

_AWAY_STATUS: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_AWAY_CODES: Final = frozenset({
    "BadDigest",  # these four: bytes were lost or changed on their way
    "IncompleteBody",
    "RequestTimeout",
    "XAmzContentSHA256Mismatch",
    "ConditionalRequestConflict",  # these two: another write to this key is going on
    "OperationAborted",
    "InternalError",
    "NoSuchUpload",  # the service forgot an upload in parts, for example by a restart; it is begun anew
    "RequestLimitExceeded",
    "ServiceUnavailable",
    "SlowDown",
    "SlowDownRead",
    "SlowDownWrite",
    "TooManyRequests",
    "XMinioServerNotInitialized",
})  # fmt: skip
#: Headers that S3 services put into every answer.
_SIGNS_OF_S3: Final = ("x-amz-request-id", "x-amz-id-2")
_FULL_CODES: Final = frozenset({"QuotaExceeded", "XMinioAdminBucketQuotaExceeded", "XMinioStorageFull"})

_KEYS: Final = f"{STORE_PREFIX}ACCESS_KEY and {STORE_PREFIX}SECRET_KEY (or the files that ..._FILE name)"
_REGION: Final = f"set {STORE_PREFIX}REGION and {STORE_PREFIX}URL to those of the bucket"
_REMEDIES: Final = {
    "InvalidAccessKeyId": f"the access key is unknown there; check {_KEYS}",
    "SignatureDoesNotMatch": f"the secret key does not belong to the access key; check {_KEYS}",
    "ExpiredToken": f"the keys have expired; renew {_KEYS}",
    "AccountProblem": f"the account may not be used; check {_KEYS}",
    "NoSuchBucket": "there is no such bucket; create it, or set {prefix}BUCKET to one that exists",
    "RequestTimeTooSkewed": "the clocks of this machine and of the store differ by more than 15 minutes; set them",
    "AuthorizationHeaderMalformed": f"the region is wrong; {_REGION}",
    "InvalidRegion": f"the region is wrong; {_REGION}",
    "IllegalLocationConstraintException": f"the region is wrong; {_REGION}",
    "PermanentRedirect": f"the bucket is served elsewhere; {_REGION}",
    "TemporaryRedirect": f"the bucket is served elsewhere; {_REGION}",
    "Redirect": f"the bucket is served elsewhere; {_REGION}",
    "EntityTooLarge": "the object is larger than the service takes",
}

# Numbers of OpenSSL's verify results (x509_vfy.h).
_EXPIRED: Final = 10
_NOT_YET_VALID: Final = 9
_UNKNOWN_AUTHORITY: Final = frozenset({18, 19, 20, 21})
_WRONG_HOST: Final = frozenset({62, 64})
_OTHER_HOST: Final = f"the store's certificate is for another host; use a name that it holds in {STORE_PREFIX}URL"


@dataclass(frozen=True)
class Answer:
    """An error as the service tells it; the code is empty where the answer had none."""

    status: int
    code: str
    message: str = ""


def answer_of(error: BaseException) -> Answer | None:
    """The service's answer that a client raised as an error; None where there was none, or no intelligible one."""
    if isinstance(error, S3Error):
        # A HEAD has no body; MinIO then names the code in a header, where the client can only guess from the status.
        headers = error.response.headers
        told = headers.get("x-minio-error-code")
        if told is None and _is_bare(error) and not any(name in headers for name in _SIGNS_OF_S3):
            # Perhaps a proxy's page: for a HEAD the client makes a missing object of every 404.
            return Answer(404, "", "what answers is perhaps no S3 service")
        return Answer(error.response.status, told or error.code or "", error.message or "")
    if isinstance(error, ServerError):
        return Answer(error.status_code, "")
    if isinstance(error, InvalidResponseError):
        # The client keeps the status in its text only (and in a private field).
        found = re.search(r"Response code: (\d{3})", str(error))
        return Answer(int(found[1]) if found else 0, "", str(error)[:200])
    if isinstance(error, ClientError):
        details: dict[str, Any] = dict(error.response)
        told = details.get("Error", {})
        status = int(details.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        return Answer(status, str(told.get("Code", "")), str(told.get("Message", "")))
    return None


def is_uncertain(error: BaseException) -> bool:
    """Whether a HEAD was answered by a 404 of which nothing tells that it comes from an S3 service."""
    return answer_of(error) == Answer(404, "", "what answers is perhaps no S3 service")


def is_missing(error: BaseException) -> bool:
    """Whether the answer is that there is no object of this key (in a bucket that is there)."""
    answer = answer_of(error)
    return answer is not None and answer.status == 404 and answer.code == "NoSuchKey"


def _is_bare(error: S3Error) -> bool:
    return error.response.status == 404 and not error.response.data


def is_precondition(error: BaseException) -> bool:
    """Whether a conditional write was refused because of its condition."""
    answer = answer_of(error)
    return answer is not None and (answer.status == 412 or answer.code == "PreconditionFailed")


def explain(error: BaseException, connection: StoreConnection, doing: str) -> StoreError:
    """A client's error as one of ours.

    Args:
        error: one of `CLIENT_ERRORS`.
        connection: where the request went.
        doing: what was tried, such as `write runs/a/plan.json`.

    Returns:
        `StoreUnavailable` where the same request may succeed later, `StoreFull` where space is missing, a plain
        `StoreError` with the remedy where asking again will not help. No text holds a secret.
    """
    where = f"{connection.url}/{connection.bucket}{connection.unset}: cannot {doing}: "
    answer = answer_of(error)
    if answer is not None:
        return _explain_answer(answer, connection, where)
    for link in _chain(error):
        if told := _explain_tls(link):
            return StoreError(where + told)
    # botocore's timeouts are OSErrors as well, but none of the local files'.
    if isinstance(error, OSError) and not isinstance(error, (ConnectionError, TimeoutError, BotoCoreError)):
        return StoreError(where + str(error.strerror or error))
    return StoreUnavailable(where + _reason(error))


def _explain_answer(answer: Answer, connection: StoreConnection, where: str) -> StoreError:
    told = " ".join(part for part in (answer.code, f"(HTTP {answer.status})", answer.message) if part)
    if answer.status == 507 or answer.code in _FULL_CODES:
        return StoreFull(
            f"{where}the store is full, {told}; free some space (`landseries gc`) or add some, the run then goes on"
        )
    if answer.code in _REMEDIES:
        return StoreError(where + _REMEDIES[answer.code].format(prefix=STORE_PREFIX) + f" [{told}]")
    if answer.code in _AWAY_CODES or answer.status in _AWAY_STATUS:
        return StoreUnavailable(where + told)
    if answer.status in (301, 302, 307, 308):
        return StoreError(f"{where}the bucket is served elsewhere; {_REGION} [{told}]")
    if answer.status in (401, 403):
        keys = f"the user of these keys may not do this; give it the right to, or check {_KEYS}"
        if connection.access_key is None:
            keys = f"no keys were given; set {_KEYS}"
        return StoreError(f"{where}{keys} [{told}]")
    if answer.status == 400 and "HTTP request to an HTTPS server" in answer.message:
        return StoreError(f"{where}the store speaks TLS only; write https:// in {STORE_PREFIX}URL")
    return StoreError(f"{where}the store refuses: {told}; is {STORE_PREFIX}URL the address of its S3 service?")


def _explain_tls(error: BaseException) -> str | None:
    """Why the service is not trusted; None for other errors, as an interrupted handshake, which may work next time."""
    if isinstance(error, CertificateError):
        return _OTHER_HOST
    if isinstance(error, ssl.SSLCertVerificationError):
        number = error.verify_code
        if number == _EXPIRED:
            return "the store's certificate has expired; renew it there (or set this machine's clock)"
        if number == _NOT_YET_VALID:
            return "the store's certificate is not valid yet; set the clocks of this machine and of the store"
        if number in _UNKNOWN_AUTHORITY:
            return f"the store's certificate is signed by an unknown authority; name its file in {STORE_PREFIX}CA_FILE"
        if number in _WRONG_HOST or "match" in error.verify_message:
            return _OTHER_HOST
        return f"the store's certificate cannot be trusted: {error.verify_message} (see {STORE_PREFIX}CA_FILE)"
    if isinstance(error, ssl.SSLError) and error.reason in (
        "WRONG_VERSION_NUMBER",
        "RECORD_LAYER_FAILURE",
        "HTTP_REQUEST",
    ):
        return f"the store does not speak TLS at this address; write http:// in {STORE_PREFIX}URL, or another port"
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and those that it wraps, which each library does in its own way."""
    seen: set[int] = set()
    waiting: list[object] = [error]
    while waiting:
        link = waiting.pop()
        if not isinstance(link, BaseException) or id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        waiting += [link.__cause__, link.__context__, getattr(link, "reason", None), *link.args]
        waiting.append(getattr(link, "kwargs", {}).get("error"))


def _reason(error: BaseException) -> str:
    """The innermost cause in a few words: the outer ones only repeat that something failed."""
    text = str(list(_chain(error))[-1]) or str(error)
    return f"{type(error).__name__}: {text}"[:300]
