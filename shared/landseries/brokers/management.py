"""A small typed client of RabbitMQ's management API: what the topology, its checks and the depths of queues need."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlsplit

import urllib3
from urllib3.util import Timeout, make_headers

from landseries.connections import BrokerConnection
from landseries.errors import BrokerError, BrokerUnavailable

_VARIABLE: Final = "LANDSERIES_BROKER_MANAGEMENT_URL"
_TIMEOUT: Final = Timeout(connect=5, read=30)


class Management:
    """The management API of one broker, seen as one user.

    Every method raises BrokerError where the API refuses (with the remedy) and BrokerUnavailable where it is away.
    """

    def __init__(self, connection: BrokerConnection) -> None:
        self.url = management_url(connection)
        self._place = self.url if connection.management_url else f"{self.url}{connection.unset}"
        self.vhost = connection.vhost
        self._user = connection.user
        self._headers = make_headers(basic_auth=f"{connection.user}:{connection.password.get_secret_value()}")
        self._headers["Content-Type"] = "application/json"
        ca = str(connection.ca_file) if connection.ca_file else None
        self._http = urllib3.PoolManager(maxsize=2, timeout=_TIMEOUT, retries=False, ca_certs=ca)

    def version(self) -> tuple[int, ...]:
        """The broker's version, such as (3, 10, 8)."""
        overview = self.get("overview") or {}
        found = re.match(r"\d+(\.\d+)*", str(overview.get("rabbitmq_version", "")))
        if found is None:
            raise BrokerError(f"{self.url} does not answer as the management API of RabbitMQ: check {_VARIABLE}")
        return tuple(int(part) for part in found.group().split("."))

    def get(self, *path: str) -> Any:
        """The JSON at a path of the API, whose parts are escaped; None where there is nothing."""
        return self._request("GET", path)

    def listing(self, *path: str) -> list[dict[str, Any]]:
        """The JSON list at a path of the API; empty where there is nothing."""
        found = self.get(*path)
        return found if isinstance(found, list) else []

    def put(self, *path: str, body: Mapping[str, Any]) -> None:
        """Create or replace what is at a path."""
        self._request("PUT", path, body)

    def post(self, *path: str, body: Mapping[str, Any]) -> None:
        """Add to the list at a path."""
        self._request("POST", path, body)

    def delete(self, *path: str) -> None:
        """Remove what is at a path; nothing happens where there is nothing."""
        self._request("DELETE", path)

    def depths(self) -> dict[str, dict[str, int]]:
        """Messages of each queue of the virtual host: `ready`, `unacknowledged`, and its `consumers`."""
        return {
            str(queue["name"]): {
                "ready": int(queue.get("messages_ready", 0)),
                "unacknowledged": int(queue.get("messages_unacknowledged", 0)),
                "consumers": int(queue.get("consumers", 0)),
            }
            for queue in self.listing("queues", self.vhost)
        }

    def close(self) -> None:
        """Close the pooled connections."""
        self._http.clear()

    def _request(self, method: str, path: tuple[str, ...], body: Mapping[str, Any] | None = None) -> Any:
        where = "/".join(quote(part, safe="") for part in path)
        try:
            answer = self._http.request(
                method,
                f"{self.url}/api/{where}",
                body=None if body is None else json.dumps(body).encode(),
                headers=self._headers,
                redirect=False,
            )
        except urllib3.exceptions.SSLError as error:
            raise BrokerError(
                f"{self.url}: no secure connection ({error}); check the certificate's date and host, and "
                "LANDSERIES_BROKER_CA_FILE"
            ) from None
        except urllib3.exceptions.HTTPError as error:
            raise BrokerUnavailable(
                f"{self._place}: the management API does not answer ({_short(error)}); {_VARIABLE} must name it and "
                "the plugin must be on: rabbitmq-plugins enable rabbitmq_management"
            ) from None
        if answer.status == 404 and method in ("GET", "DELETE"):
            self._must_be_the_api(answer)
            return None
        if not 200 <= answer.status < 300:
            if answer.status not in (401, 403) and answer.status < 500:
                self._must_be_the_api(answer)
            raise self._refusal(method, where, answer)
        try:
            return json.loads(answer.data) if answer.data else None
        except ValueError:
            raise BrokerError(f"{self.url} answers no JSON: check that {_VARIABLE} is the management API") from None

    def _must_be_the_api(self, answer: urllib3.BaseHTTPResponse) -> None:
        try:
            json.loads(answer.data)
        except ValueError:
            raise BrokerError(
                f"{self.url} answers, but not as the management API of RabbitMQ: check {_VARIABLE}"
            ) from None

    def _refusal(self, method: str, where: str, answer: urllib3.BaseHTTPResponse) -> BrokerError:
        said = answer.data.decode("utf-8", "replace")[:300].strip()
        if answer.status == 401:
            return BrokerError(
                f"{self.url}: user {self._user!r} may not {method} {where} ({said}); check LANDSERIES_BROKER_USER and "
                "LANDSERIES_BROKER_PASSWORD: `topology apply` needs a user with the tag administrator"
            )
        if answer.status >= 500:
            return BrokerUnavailable(f"{self.url}: {method} {where} failed with {answer.status}: {said}")
        return BrokerError(f"{self.url}: {method} {where} was refused with {answer.status}: {said}")


def management_url(connection: BrokerConnection) -> str:
    """The management API: as given, else RabbitMQ's own port on the first broker's host."""
    if connection.management_url:
        return connection.management_url.rstrip("/").removesuffix("/api")
    parts = urlsplit(connection.urls[0])
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"https://{host}:15671" if parts.scheme == "amqps" else f"http://{host}:15672"


def _short(error: Exception) -> str:
    return str(error).split(": ", 1)[-1][:200]
