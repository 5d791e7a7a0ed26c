"""Tokens that a service hands out for reading (shared access signatures), as the Planetary Computer does.

A token lives in this process alone: it is written into no artifact, no cache and no message.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

import urllib3
from urllib3.exceptions import HTTPError

from landseries_fetcher.remote.http_ranges import Signed
from landseries_fetcher.remote.persistence import Interrupted, Persistence, retry_after_s
from landseries_fetcher.remote.reader import RemoteError, RemoteForbidden
from landseries_fetcher.remote.reasons import reason_of

#: A token is not used any more so long before it runs out: a slow body must still come through.
_MARGIN_S: Final = 120.0
#: How long a token is used whose end the service does not tell.
_UNTOLD_S: Final = 600.0
#: A token that was just renewed is not renewed again: threads are refused side by side.
_FRESH_S: Final = 2.0
_AWAY: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_ANSWER_BYTES_MAX: Final = 65_536


class SasSigner:
    """Adds the token to addresses on some hosts; see `landseries_fetcher.remote.http_ranges.Signer`."""

    def __init__(self, url: str, hosts: Sequence[str], pool: urllib3.PoolManager, persistence: Persistence) -> None:
        """Prepare; nothing is asked yet.

        Args:
            url: that hands out the token.
            hosts: ends of the host names that may see it; one that begins without a dot is a whole name.
            pool: connections.
            persistence: how long faults are borne.
        """
        self._url, self._hosts = url, tuple(hosts)
        self._pool, self._persistence = pool, persistence
        self._turn = threading.Lock()
        self._token, self._asked_at, self._ends_at = "", -_UNTOLD_S, 0.0

    def __call__(self, url: str, *, renew: bool) -> Signed:
        """See `Signer`."""
        host = (urlsplit(url).hostname or "").lower()
        if not any(host.endswith(end) if end.startswith(".") else host == end for end in self._hosts):
            return Signed(url)
        with self._turn:
            now = time.monotonic()
            is_stale = renew and now - self._asked_at > _FRESH_S
            if not self._token or now >= self._ends_at or is_stale:
                self._persistence.call(self._ask, self._url)
            return Signed(f"{url}{'&' if '?' in url else '?'}{self._token}")

    def _ask(self) -> None:
        now = time.monotonic()
        try:
            # Not through the gate of the files: whoever needs a token holds one of its connections already.
            answer = self._pool.request("GET", self._url, preload_content=False, redirect=False, retries=False)
            try:
                content = answer.read(_ANSWER_BYTES_MAX, decode_content=False)
            finally:
                answer.release_conn()
        except (HTTPError, OSError) as error:
            raise Interrupted(f"{reason_of(error)}, when a token was asked for") from error
        if answer.status in _AWAY:
            raise Interrupted(f"status {answer.status}", retry_after_s(answer.headers.get("Retry-After")))
        if answer.status in (401, 403):
            raise RemoteForbidden(f"{self._url}: the service hands out no token (status {answer.status})")
        try:
            document = json.loads(content)
            token = document["token"]
            if answer.status != 200 or not isinstance(token, str) or not token.isprintable() or "#" in token:
                raise ValueError
            lasts_s = _lasts_s(document.get("msft:expiry"))
        except (ValueError, KeyError, TypeError, AttributeError):
            raise RemoteError(f"{self._url}: no token came (status {answer.status})") from None
        self._token, self._asked_at, self._ends_at = token.lstrip("?"), now, now + max(lasts_s, 0.0)


def _lasts_s(expiry: str | None) -> float:
    """For how long a token may be used, by the instant at which it runs out."""
    if expiry is None:
        return _UNTOLD_S
    until = datetime.fromisoformat(expiry)
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return (until - datetime.now(UTC)).total_seconds() - _MARGIN_S
