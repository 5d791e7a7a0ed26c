"""Searching a STAC API through pystac-client: pages, faults that pass, and answers that make no sense."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

import requests
from pystac.errors import STACError
from pystac_client import Client
from pystac_client.errors import ClientTypeError
from pystac_client.exceptions import APIError
from pystac_client.stac_api_io import StacApiIO

from landseries.artifacts.documents import digest_of
from landseries.config import Period
from landseries.errors import ConfigError, SourceError
from landseries_fetcher.remote.answers import BoundedAdapter
from landseries_fetcher.remote.persistence import Interrupted, Persistence, retry_after_s
from landseries_fetcher.remote.reader import Gate, RemoteError
from landseries_fetcher.remote.reasons import reason_of

_LOG: Final = logging.getLogger(__name__)
_TIMEOUT_S: Final = (10.0, 60.0)
_AWAY: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
#: More pages than any area and year has; a server that goes on is wrong.
_PAGES_MAX: Final = 2_000
#: No answer is longer: items have some 30 KiB, and an answer without items far less than the least.
_ITEM_BYTES: Final = 128 * 2**10
_ANSWER_BYTES_MIN: Final = 4 * 2**20
#: What pystac-client raises where an answer is not what it should be.
_NONSENSE: Final = (
    APIError,
    STACError,
    ClientTypeError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    NotImplementedError,
)


class CatalogueClient:
    """One collection of a STAC API."""

    def __init__(self, url: str, collection: str, page_size: int, gate: Gate, persistence: Persistence) -> None:
        """Prepare; nothing is asked yet.

        Args:
            url: root of the API.
            collection: whose items are searched.
            page_size: items of one answer.
            gate: the server's limits; asked before each request.
            persistence: how long faults are borne.
        """
        self._url, self._collection, self._page_size = url, collection, page_size
        self._adapter = _PatientAdapter(gate, persistence, max(page_size * _ITEM_BYTES, _ANSWER_BYTES_MIN))
        self._client: Client | None = None
        self._turn = threading.Lock()

    @property
    def place(self) -> str:
        """Where it is, for messages."""
        return f"{self._collection} of {self._url}"

    def during(self, period: Period, *, place: Mapping[str, Any], where: tuple[str, str] | None) -> list[Any]:
        """Items of a period, as the server sends them.

        Args:
            period: the days; items of one day more on either side may come, because catalogues mean different
                instants by an item's time.
            place: `bbox` or `intersects`, as the STAC API defines them.
            where: a property and its value; left out where the API cannot search by properties.

        Raises:
            RemoteUnavailable: the server stayed away.
            ConfigError: it has no such collection, or refuses.
            SourceError: it answered nonsense.
        """
        day = timedelta(days=1)
        span = f"{period.start - day}T00:00:00Z/{period.end + day}T23:59:59Z"
        return self._search({"datetime": span, **place}, where)

    def by_ids(self, ids: Sequence[str]) -> list[Any]:
        """Items by their ids, as the server sends them.

        Raises:
            ConfigError, SourceError: see `during`.
        """
        return self._search({"ids": list(ids)}, None)

    def _search(self, terms: Mapping[str, Any], where: tuple[str, str] | None) -> list[Any]:
        with self._turn:
            try:
                client = self._opened()
                if where is not None:
                    terms = {**_by_property(client, where), **terms}
                search = client.search(
                    method="POST", collections=[self._collection], limit=self._page_size, max_items=None, **terms
                )
                return list(self._items(search.pages_as_dicts()))
            except _NONSENSE as error:
                if self._adapter.failure is not None:
                    raise self._adapter.failure from error
                raise self._meaning(error) from error

    def _meaning(self, error: Exception) -> ConfigError | SourceError:
        """What an answer that cannot be used means: a setting is wrong, or the server is."""
        status = getattr(error, "status_code", None) or 0
        reason = str(error)[:300] or type(error).__name__
        if status in (401, 403):
            return ConfigError(
                f"source.url: {self.place}: the catalogue refuses (status {status}); name one that anyone may search"
            )
        if status in (404, 405, 410):
            return ConfigError(
                f"source.url: {self.place}: there is no such catalogue or collection (status {status}); mend "
                "source.url or source.collection"
            )
        return SourceError(f"source.url: {self.place}: the search failed: {reason}")

    def _opened(self) -> Client:
        if self._client is None:
            io = StacApiIO(max_retries=None, timeout=_TIMEOUT_S)
            for scheme in ("http://", "https://"):
                io.session.mount(scheme, self._adapter)
            self._client = Client.open(self._url, stac_io=io)
        return self._client

    def _items(self, pages: Iterator[Mapping[str, Any]]) -> Iterator[Any]:
        """The items of all pages, each id once.

        Raises:
            SourceError: the pages have no end.
        """
        seen: set[str] = set()
        contents: set[str] = set()
        for number, page in enumerate(pages, start=1):
            features = page.get("features")
            contents.add(digest_of(json.dumps(features).encode()))
            if number > _PAGES_MAX or len(contents) < number:
                raise SourceError(f"source.url: {self.place}: the pages of the search repeat or have no end")
            for item in features if isinstance(features, list) else []:
                name = item.get("id") if isinstance(item, dict) else None
                if not isinstance(name, str):
                    _LOG.warning("%s: an item without an id is skipped", self.place)
                elif name not in seen:
                    seen.add(name)
                    yield item


def _by_property(client: Client, where: tuple[str, str]) -> dict[str, Any]:
    """A search by a property, in the terms that the API understands; nothing where it understands none."""
    name, value = where
    if client.conforms_to("QUERY"):
        return {"query": {name: {"eq": value}}}
    if client.conforms_to("FILTER"):
        return {"filter_lang": "cql2-json", "filter": {"op": "=", "args": [{"property": name}, value]}}
    return {}


class _PatientAdapter(BoundedAdapter):
    """Sends the requests of a session through a gate, again and again while the server is away.

    Attributes:
        failure: why the last request was given up; None where it was not.
    """

    def __init__(self, gate: Gate, persistence: Persistence, bytes_max: int) -> None:
        super().__init__(bytes_max, _TIMEOUT_S)
        self._gate, self._persistence = gate, persistence
        self.failure: RemoteError | None = None

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        answers: list[requests.Response] = []
        self.failure = None

        def once() -> None:
            try:
                with self._gate.request():
                    # Its body is read while the connection is ours: it may break off as well.
                    answer = super(_PatientAdapter, self).send(request, *args, **kwargs)
            except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
                raise Interrupted(reason_of(error)) from error
            if answer.status_code in _AWAY:
                raise Interrupted(f"status {answer.status_code}", retry_after_s(answer.headers.get("Retry-After")))
            answers.append(answer)

        name = str(request.url).split("?")[0]
        try:
            self._persistence.call(once, name)
        except RemoteError as error:
            self.failure = error
            raise
        return answers[-1]
