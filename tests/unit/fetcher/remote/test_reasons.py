"""The cause of a request that failed is named, through every client that asks."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator
from typing import Final

import pytest
import requests
import urllib3
from botocore.exceptions import BotoCoreError

from landseries_fetcher.remote import persistence
from landseries_fetcher.remote.persistence import Interrupted, Persistence
from landseries_fetcher.remote.reader import RemoteUnavailable
from landseries_fetcher.remote.reasons import reason_of
from landseries_fetcher.remote.s3_ranges import new_client

#: A name that is reserved for not being there (RFC 6761).
_NOBODY: Final = "http://nobody.invalid"


def _by_requests(url: str) -> None:
    requests.get(url, timeout=2.0)


def _by_urllib3(url: str) -> None:
    urllib3.PoolManager(retries=False, timeout=2.0).request("GET", url)


def _by_boto3(url: str) -> None:
    new_client(url, "key", "secret").get_object(Bucket="a", Key="b")


@pytest.fixture
def refused() -> Iterator[str]:
    """A port at which nobody listens, and nobody else will."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


@pytest.mark.parametrize("ask", [_by_requests, _by_urllib3, _by_boto3])
def test_the_cause_is_named(ask: Callable[[str], None], refused: str) -> None:
    for url, meaning in ((refused, "the server refuses connections"), (_NOBODY, "cannot be resolved")):
        with pytest.raises((requests.ConnectionError, urllib3.exceptions.HTTPError, BotoCoreError)) as caught:
            ask(url)
        assert meaning in reason_of(caught.value)


def test_what_is_not_known_is_named_by_its_type() -> None:
    error = KeyError("x")
    error.__context__ = error
    assert reason_of(error) == "KeyError while the server was asked"


def test_the_first_failure_is_told_and_the_others_are_not(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(persistence, "_told_at", -1e9)

    def fail() -> None:
        raise Interrupted("the server refuses connections")

    patient = Persistence(tries=3, patience_s=50.0, sleep=lambda seconds: None)
    with caplog.at_level(logging.WARNING):
        for name in ("one", "two"):
            with pytest.raises(RemoteUnavailable, match="3 tries"):
                patient.call(fail, name)
    assert [record.getMessage() for record in caplog.records] == [
        "one: the server refuses connections; it is asked again, for up to 50 s"
    ]
