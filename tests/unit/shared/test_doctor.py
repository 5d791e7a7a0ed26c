"""The doctor over stores that have one fault each: it is found, said, and comes with a remedy."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from landseries import doctor
from landseries.brokers.depths import Depths
from landseries.connections import BROKER_PREFIX, STORE_PREFIX
from landseries.doctor import Finding, examine, examine_store
from landseries.errors import BrokerError, StoreError, StoreUnavailable
from landseries.pipeline import SERVICES
from landseries.stores.base import StoredObject
from landseries.stores.local import LocalStore


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this machine has set."""
    import os

    for name in [name for name in os.environ if name.startswith((STORE_PREFIX, BROKER_PREFIX))]:
        monkeypatch.delenv(name)


def bad(store: LocalStore) -> list[Finding]:
    findings = list(examine_store(store, "it"))
    assert all(finding.remedy for finding in findings if finding.level != "good")
    assert list(store.list("scratch/")) == [], "nothing is left behind"
    return [finding for finding in findings if finding.level == "bad"]


def test_a_good_store(tmp_path: Path) -> None:
    assert bad(LocalStore(tmp_path)) == []


class AllWinNew(LocalStore):
    """Ignores If-None-Match, as some S3 servers do."""

    def put_if(self, key: str, content: bytes, tag: str | None) -> str | None:
        if tag is not None:
            return super().put_if(key, content, tag)
        self.put(key, content)
        return "won"


class AllReplace(LocalStore):
    """Ignores If-Match."""

    def put_if(self, key: str, content: bytes, tag: str | None) -> str | None:
        if tag is None:
            return super().put_if(key, content, tag)
        self.put(key, content)
        return "won"


class NobodyWins(LocalStore):
    def put_if(self, key: str, content: bytes, tag: str | None) -> str | None:
        return None


class Forgetful(LocalStore):
    def get(self, key: str) -> bytes | None:
        return None if key.endswith("/object") else super().get(key)


class Late(LocalStore):
    """Lists what was put a while ago only."""

    listings = 0

    def list(self, prefix: str) -> Iterator[StoredObject]:
        self.listings += 1
        return super().list(prefix) if self.listings > 1 else iter(())


class Yesterday(LocalStore):
    def list(self, prefix: str) -> Iterator[StoredObject]:
        for item in super().list(prefix):
            yield StoredObject(item.key, item.size_bytes, item.modified - timedelta(days=1))


@pytest.mark.parametrize(
    ("kind", "says", "remedy"),
    [
        (AllWinNew, ["8 of 8 racing writers created a new object"], "If-None-Match"),
        (AllReplace, ["8 of 8 racing writers replaced it by its tag"], "If-Match"),
        (NobodyWins, ["0 of 8 racing writers created a new object"], "If-None-Match"),
        (Forgetful, ["it does not give back what was put"], "strong consistency"),
        (Late, ["does not list what was put at once"], "strong consistency"),
        (Yesterday, ["are 86400 s apart"], "NTP"),
    ],
)
def test_a_fault_is_found_and_no_other(tmp_path: Path, kind: type[LocalStore], says: list[str], remedy: str) -> None:
    found = bad(kind(tmp_path))
    assert len(found) == len(says)
    for finding, text in zip(found, says, strict=True):
        assert text in finding.what
        assert remedy in finding.remedy


def test_a_store_that_goes_away_meanwhile_is_told_by_its_first_error(tmp_path: Path) -> None:
    class Leaving(LocalStore):
        def get(self, key: str) -> bytes | None:
            raise StoreUnavailable("gone")

        def list(self, prefix: str) -> Iterator[StoredObject]:
            raise StoreUnavailable("still gone")

    with pytest.raises(StoreError, match=r"^gone$"):
        list(examine_store(Leaving(tmp_path), "it"))


def test_what_cannot_be_tried_is_a_finding(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LANDSERIES_STORE_URL", "nonsense")
    monkeypatch.setenv("LANDSERIES_BROKER_HEARTBEAT_S", "never")
    findings = examine()
    assert [finding.level for finding in findings] == ["bad", "bad"]
    assert findings[0].what.startswith("store: LANDSERIES_STORE_URL: write http")
    assert findings[1].what.startswith("broker: LANDSERIES_BROKER_HEARTBEAT_S: ")


def test_a_folder_and_no_broker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LANDSERIES_STORE_URL", f"file://{tmp_path}")
    monkeypatch.setenv("LANDSERIES_BROKER_URL", "amqp://127.0.0.1:1")
    findings = examine()
    assert [f.what for f in findings if f.level == "bad"] == [findings[-1].what]
    assert findings[-1].what.startswith("broker: amqp://127.0.0.1:1: the broker does not answer")


def test_a_store_that_is_away_is_told_soon(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[float] = []

    def opened(connection: object, scratch: Path) -> LocalStore:
        asked.append(getattr(connection, "patience_s", -1.0))
        return LocalStore(tmp_path)

    monkeypatch.setattr(doctor, "open_store", opened)
    monkeypatch.setattr(doctor, "queue_depths", lambda connection: refuse())
    examine()
    monkeypatch.setenv("LANDSERIES_STORE_PATIENCE_S", "1")
    examine()
    assert asked == [5.0, 1.0]


def refuse() -> Depths:
    raise BrokerError("no")


def test_without_a_management_api_the_rest_is_looked_at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LANDSERIES_STORE_URL", f"file://{tmp_path}")
    none = dict.fromkeys(SERVICES, 0)
    monkeypatch.setattr(doctor, "queue_depths", lambda connection: Depths(none, {**none, "trainer": 3}, 0))
    findings = examine()
    assert [finding.level for finding in findings][-3:] == ["good", "warning", "warning"]
    assert (findings[-2].what, findings[-2].remedy) == (
        "broker: 3 messages were put aside",
        "`landseries dead list` says why",
    )
    assert "LANDSERIES_BROKER_MANAGEMENT_URL" in findings[-1].remedy


@pytest.mark.parametrize(("version", "level"), [((3, 10, 8), "warning"), ((3, 12, 0), "good"), ((4, 0), "good")])
def test_the_ack_timeout_is_asked_for_where_no_policy_can_set_it(version: tuple[int, ...], level: str) -> None:
    finding = doctor._ack_timeout(version)
    assert finding.level == level
    assert ("consumer_timeout = " in finding.remedy) == (level == "warning")
    assert "trainer" in finding.what
