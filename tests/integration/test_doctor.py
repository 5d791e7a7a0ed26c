"""The doctor at real servers: what is good is called good, and each fault comes with its remedy."""

from __future__ import annotations

import time
from contextlib import closing

import pytest
from support.commands import Place

from landseries.brokers.management import Management
from landseries.connections import BrokerConnection, StoreConnection
from landseries.doctor import examine_store
from landseries.stores.minio import MinioStore

pytestmark = pytest.mark.integration


@pytest.fixture
def place(vhost: BrokerConnection, bucket: StoreConnection) -> Place:
    return Place(vhost, bucket)


def lines(text: str, level: str) -> list[str]:
    return [line.removeprefix(f"{level} ") for line in text.splitlines() if line.startswith(f"{level} ")]


def test_good_servers_are_called_good(place: Place) -> None:
    done = place.call("doctor")
    assert done.returncode == 0, done.stdout
    assert lines(done.stdout, "bad") == []
    good = "\n".join(lines(done.stdout, "good"))
    for text in (
        f"{place.store.url} bucket {place.store.bucket} gives back what was put",
        "store: lists what was put",
        "clock: this machine's and the store's are 0 s apart",
        "1 of 8 racing writers created a new object",
        "1 of 8 racing writers replaced it by its tag",
        "has every queue",
        "broker: RabbitMQ ",
        "exchanges, queues, bindings and policies are as they must be",
    ):
        assert text in good, text
    assert "ack timeout" in done.stdout
    assert list(place.open_store().list("")) == [], "it leaves nothing behind"


def test_a_store_in_which_all_racers_win_is_called_bad(bucket: StoreConnection) -> None:
    class AllWin(MinioStore):
        def put_if(self, key: str, content: bytes, tag: str | None) -> str | None:
            self.put(key, content)
            return "won"

    bad = [finding for finding in examine_store(AllWin(bucket), "it") if finding.level == "bad"]
    assert [finding.what for finding in bad] == [
        "store: 8 of 8 racing writers created a new object",
        "store: 8 of 8 racing writers replaced it by its tag",
    ]
    assert "If-None-Match and If-Match" in bad[0].remedy


def test_missing_queues(bare_vhost: BrokerConnection, bucket: StoreConnection) -> None:
    done = Place(bare_vhost, bucket).call("doctor")
    assert done.returncode == 1
    (bad,) = lines(done.stdout, "bad")
    assert "`landseries topology apply` makes it" in bad
    assert "1 of 8 racing writers created a new object" in done.stdout, "the store is looked at all the same"


def test_a_policy_that_is_gone(place: Place) -> None:
    assert place.broker is not None
    with closing(Management(place.broker)) as management:
        name = management.listing("policies", place.broker.vhost)[0]["name"]
        management.delete("policies", place.broker.vhost, name)
    done = place.call("doctor")
    assert done.returncode == 1
    (bad,) = lines(done.stdout, "bad")
    assert bad.startswith("broker: differs from what landseries needs: ")
    assert name in bad
    assert "run `landseries topology apply`" in done.stdout


def test_without_the_management_api(place: Place) -> None:
    assert place.broker is not None
    place.broker = place.broker.model_copy(update={"management_url": None})
    done = place.call("doctor")
    assert done.returncode == 0
    (warning,) = lines(done.stdout, "warning")
    assert "were not looked at" in warning
    assert "set LANDSERIES_BROKER_MANAGEMENT_URL" in done.stdout


def test_a_management_api_that_is_none(place: Place) -> None:
    done = place.call("doctor", LANDSERIES_BROKER_MANAGEMENT_URL=place.store.url)
    assert done.returncode == 1
    assert "LANDSERIES_BROKER_MANAGEMENT_URL" in lines(done.stdout, "bad")[0]


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"LANDSERIES_STORE_BUCKET": "not-there"}, "there is no such bucket"),
        ({"LANDSERIES_STORE_SECRET_KEY": "hush-4711"}, "does not belong to the access key"),
        ({"LANDSERIES_STORE_URL": "http://127.0.0.1:1"}, "127.0.0.1:1"),
        ({"LANDSERIES_BROKER_PASSWORD": "hush-4711"}, "LANDSERIES_BROKER_PASSWORD"),
        ({"LANDSERIES_BROKER_VHOST": "elsewhere"}, "LANDSERIES_BROKER_VHOST"),
        ({"LANDSERIES_BROKER_URL": "amqp://127.0.0.1:1"}, "127.0.0.1:1"),
    ],
)
def test_what_does_not_answer_or_refuses(place: Place, variables: dict[str, str], says: str) -> None:
    begun = time.monotonic()
    done = place.call("doctor", **variables)
    assert done.returncode == 1
    (bad,) = lines(done.stdout, "bad")
    assert says in bad
    assert "hush" not in done.stdout + done.stderr
    assert lines(done.stdout, "good"), "the other server is looked at all the same"
    assert time.monotonic() - begun < 40
