"""What answers is a web server, but no S3 service: a proxy's page must not pass for an empty store."""

from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from support.served import served

from landseries.connections import StoreConnection
from landseries.errors import StoreError
from landseries.stores.base import Store
from landseries.stores.minio import MinioStore


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b"<html>no such page</html>"
        self.send_response(404)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_PUT = do_DELETE = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing to tell."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    keys = {"access_key": SecretStr("someone"), "secret_key": SecretStr("something")}
    with served(ThreadingHTTPServer(("127.0.0.1", 0), _Page)) as url:
        yield MinioStore(StoreConnection(url=url, patience_s=0, **keys), tmp_path)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "ask",
    [
        lambda store: store.get("plans/small.json"),
        lambda store: store.exists("plans/small.json"),
        lambda store: store.put_new("plans/small.json", b"{}"),
        lambda store: store.put_if("plans/small.json", b"{}", "tag"),
        lambda store: store.put("plans/small.json", b"{}"),
        lambda store: store.get_tagged("plans/small.json"),
        lambda store: list(store.list("plans/")),
    ],
    ids=["get", "exists", "put_new", "put_if", "put", "get_tagged", "list"],
)
def test_a_proxys_page_is_no_empty_store(store: Store, ask: Callable[[Store], object]) -> None:
    with pytest.raises(StoreError, match="LANDSERIES_STORE_URL"):
        ask(store)
