"""Why a server was not reached, in the words of who must act: libraries wrap the cause several times."""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Iterator
from typing import Final

import requests
from urllib3 import exceptions

#: What it means, by the error that says it; the first that fits, from the outermost error inwards.
_MEANINGS: Final[tuple[tuple[tuple[type[BaseException], ...], str], ...]] = (
    ((requests.exceptions.ProxyError, exceptions.ProxyError), "the proxy was not reached, or refused"),
    ((socket.gaierror, exceptions.NameResolutionError), "the name of the server cannot be resolved"),
    ((ssl.SSLError, exceptions.SSLError), "no trusted connection could be made (TLS)"),
    ((ConnectionRefusedError,), "the server refuses connections"),
    ((TimeoutError, exceptions.TimeoutError, requests.Timeout), "the server did not answer in time"),
    ((ConnectionResetError, BrokenPipeError, exceptions.ProtocolError), "the connection broke off"),
)
_UNREACHABLE: Final = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN})
#: Causes lie no deeper.
_DEEPEST: Final = 10


def reason_of(error: BaseException) -> str:
    """What broke a request off; without the URL, which may hold a signature.

    Args:
        error: of requests, urllib3, botocore or the socket.
    """
    for one in _causes(error):
        if isinstance(one, OSError) and one.errno in _UNREACHABLE:
            return "the network of the server cannot be reached"
        # To urllib3 a connection that was never made is a timeout, whatever stopped it: that is what it wraps.
        is_told_within = isinstance(one, exceptions.NewConnectionError)
        for kinds, meaning in _MEANINGS:
            if isinstance(one, kinds) and (not is_told_within or exceptions.NameResolutionError in kinds):
                return meaning
    return f"{type(error).__name__} while the server was asked"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and what it wraps, from the outside inwards."""
    waiting: list[BaseException] = [error]
    seen: set[int] = set()
    while waiting and len(seen) < _DEEPEST:
        one = waiting.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        inner = (getattr(one, "reason", None), *one.args, one.__cause__, one.__context__)
        waiting += [part for part in inner if isinstance(part, BaseException)]
