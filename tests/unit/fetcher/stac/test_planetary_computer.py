"""Images that are read with a token: it is asked for once, renewed when it runs out, and kept nowhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.catalogues import MASKING, NEW, OLD, PERIOD, everything, tiles
from support.range_server import RangeServer
from support.stac_server import IMAGES, StacServer, item_of, publish

from landseries_fetcher.remote.http_ranges import new_pool
from landseries_fetcher.remote.persistence import Persistence
from landseries_fetcher.remote.reader import RemoteError, RemoteForbidden
from landseries_fetcher.sources.safe import SafeFolder
from landseries_fetcher.sources.sas_tokens import SasSigner
from landseries_fetcher.sources.stac import Stac

DOCUMENTS = {kind: f"{kind}-metadata" for kind in ("product", "granule", "datastrip")}
NAMES = {**{image: image for image, _ in IMAGES}, **DOCUMENTS}
TOKEN_PATH = "sas/sentinel-2-l2a"


def _token(store: RangeServer, token: str, lasts_s: float = 3_600.0) -> None:
    until = datetime.now(UTC) + timedelta(seconds=lasts_s)
    text = until.strftime("%Y-%m-%dT%H:%M:%SZ")
    store.files[TOKEN_PATH] = json.dumps({"msft:expiry": text, "token": f"st=1&sig={token}"}).encode()


@pytest.fixture
def computer(api: StacServer, store: RangeServer, archive: Callable[..., Path]) -> Path:
    folder = archive(OLD, NEW)
    for product in (OLD, NEW):
        assets = publish(folder / f"{product.name}.SAFE", product, NAMES, store)
        api.items.append(item_of(product, "sentinel-2-l2a", assets))
    _token(store, "good")

    def guard(path: str, headers: dict[str, str]) -> int | None:
        return None if path.endswith("sig=good") or TOKEN_PATH in path else 403

    store.guard = guard
    return folder


def _open(open_source: Callable[..., Stac], store: RangeServer) -> Stac:
    return open_source("planetary-computer", sas_url=f"{store.url}/sas", signed_hosts=["127.0.0.1"])


def test_the_same_as_from_a_folder(
    computer: Path, open_source: Callable[..., Stac], store: RangeServer, tmp_path: Path, api: StacServer
) -> None:
    source = _open(open_source, store)
    assert everything(source, tiles()) == everything(SafeFolder(computer), tiles())
    assert store.requests[TOKEN_PATH] == 1
    assert api.searches[0]["query"] == {"s2:mgrs_tile": {"eq": "32TQS"}}
    kept = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert kept
    assert not any(b"sig=" in path.read_bytes() or "sig=" in path.name for path in kept)
    acquisition = source.catalogue("32TQS", PERIOD, {}).acquisitions[0]
    assert "sig" not in json.dumps(acquisition.as_json())


def test_a_token_that_was_withdrawn_is_renewed(
    computer: Path, open_source: Callable[..., Stac], store: RangeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("landseries_fetcher.sources.sas_tokens._FRESH_S", 0.0)
    source = _open(open_source, store)
    acquisition = source.catalogue("32TQS", PERIOD, {}).acquisitions[0]
    _token(store, "better")
    store.guard = lambda path, headers: None if path.endswith("sig=better") or TOKEN_PATH in path else 403
    assert len(list(source.images(acquisition, tiles(), MASKING, 2))) == len(tiles())


def test_a_server_that_always_refuses(
    computer: Path, open_source: Callable[..., Stac], store: RangeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("landseries_fetcher.sources.sas_tokens._FRESH_S", 0.0)
    _token(store, "bad")
    with pytest.raises(RemoteForbidden, match="refuses") as caught:
        _open(open_source, store).catalogue("32TQS", PERIOD, {})
    assert "sig=" not in str(caught.value)


def _signer(store: RangeServer, *hosts: str) -> SasSigner:
    hasty = Persistence(tries=3, sleep=lambda seconds: None)
    return SasSigner(f"{store.url}/{TOKEN_PATH}", hosts, new_pool(), hasty)


@pytest.mark.parametrize(
    "url", ["https://example.org/a.tif", "https://example.org/?.blob.core.windows.net", "https://xblob.example/a"]
)
def test_other_hosts_never_see_a_token(store: RangeServer, url: str) -> None:
    _token(store, "good")
    signer = _signer(store, ".blob.core.windows.net", "blob.example")
    assert signer(url, renew=False).url == url
    assert signer("https://a.blob.core.windows.net/b?x=1", renew=False).url.endswith("b?x=1&st=1&sig=good")
    assert signer("https://blob.example/b", renew=False).url.endswith("b?st=1&sig=good")
    assert store.requests[TOKEN_PATH] == 1


def test_a_token_that_is_about_to_run_out_is_renewed(store: RangeServer) -> None:
    _token(store, "good", lasts_s=60)
    signer = _signer(store, "a.example")
    for _ in range(2):
        signer("https://a.example/b", renew=False)
    assert store.requests[TOKEN_PATH] == 2


@pytest.mark.parametrize("content", [b"", b"[]", b'{"token": 5}', b'{"token": "a", "msft:expiry": "soon"}', b"{"])
def test_an_answer_without_a_token(store: RangeServer, content: bytes) -> None:
    store.files[TOKEN_PATH] = content
    with pytest.raises(RemoteError, match="no token"):
        _signer(store, "a.example")("https://a.example/b", renew=False)


def test_faults_of_the_service(store: RangeServer) -> None:
    _token(store, "good")
    faults = iter(["status_503", "reset", None])
    store.fault = lambda path: next(faults)
    assert _signer(store, "a.example")("https://a.example/b", renew=False).url.endswith("sig=good")
