"""Answers of a server that are read as a whole (JSON, XML, pages of errors), none longer than a limit.

What a server says of an answer's length bounds nothing: a compressed one unpacks to a thousand times that, one in
chunks says no length. So the bytes are counted after they were unpacked, while they come in.
"""

from __future__ import annotations

import time
from typing import Any, Final

import requests
from requests.adapters import HTTPAdapter

from landseries_fetcher.remote.reader import RemoteError

_CHUNK_BYTES: Final = 1 << 16
#: An answer that is still not complete after so long trickles in to hold us.
_LASTS_MAX_S: Final = 600.0


class BoundedAdapter(HTTPAdapter):
    """Sends the requests of a session; the answers that the session would read as a whole, it reads within limits.

    A body that is asked for as a stream is left to whoever asked, unless it is that of an error.
    """

    def __init__(self, bytes_max: int, timeout_s: tuple[float, float]) -> None:
        """Prepare.

        Args:
            bytes_max: no answer is longer, unpacked.
            timeout_s: seconds to connect, and between two pieces of an answer, where a request says nothing else.
        """
        super().__init__(max_retries=0)
        self._bytes_max, self._timeout_s = bytes_max, timeout_s

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        """See `HTTPAdapter.send`.

        Raises:
            RemoteError: the answer is too long.
            requests.RequestException: the server is away, or the answer broke off.
        """
        options["timeout"] = options.get("timeout") or self._timeout_s
        answer = super().send(request, *args, **options)
        if not options.get("stream") or answer.status_code not in (200, 206):
            read_whole(answer, self._bytes_max)
        return answer


def read_whole(answer: requests.Response, bytes_max: int) -> None:
    """Read the body of an answer, so that `answer.content` holds it; its connection is closed where it is too long.

    Args:
        answer: its body unread.
        bytes_max: no body is longer, unpacked.

    Raises:
        RemoteError: the body is longer, or packed more than once.
        requests.RequestException: the body broke off, or comes for minutes.
    """
    name = str(answer.url).split("?")[0]
    pieces: list[bytes] = []
    size, until = 0, time.monotonic() + _LASTS_MAX_S
    try:
        if "," in answer.headers.get("Content-Encoding", ""):
            raise RemoteError(f"{name}: the server packs its answer more than once, which no catalogue does")
        for piece in answer.iter_content(_CHUNK_BYTES):
            size += len(piece)
            if size > bytes_max:
                raise RemoteError(f"{name}: the answer is longer than {bytes_max / 2**20:g} MiB, which none may be")
            if time.monotonic() > until:
                raise requests.Timeout(f"{name}: the answer is not complete after {_LASTS_MAX_S:.0f} s")
            pieces.append(piece)
    except BaseException:
        # What has not come is not waited for, and the connection goes to nobody else.
        answer.close()
        raise
    # As `Response.content` does, whose place this takes.
    answer._content = b"".join(pieces)
