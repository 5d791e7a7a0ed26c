"""An operator's commands at real servers: topology, dead letters, status, cancel, sweep, collection."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.commands import Place, tiny_run
from unit.shared.test_worker import Toy, all_markers, make_plan

from landseries.brokers.rabbitmq import RabbitBroker
from landseries.connections import BrokerConnection, StoreConnection
from landseries.messages import encode
from landseries.numerics import NumericsProfile, process_environment, processor_capability
from landseries.openrun import OpenRun
from landseries.pipeline import Unit
from landseries.plan import freeze_plan

pytestmark = pytest.mark.integration

REFERENCE = Unit("reference", ("t00000",))


@pytest.fixture
def place(vhost: BrokerConnection, bucket: StoreConnection) -> Place:
    return Place(vhost, bucket)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_run(tmp_path_factory.mktemp("tiny"))


def told(place: Place, *arguments: object) -> str:
    """What a command that succeeds prints."""
    done = place.call(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout)


def put_aside(place: Place, run_id: str, unit: Unit, reason: str) -> str:
    """Make a dead letter; its message id."""
    message = encode(run_id, unit)
    assert place.broker is not None
    with RabbitBroker(place.broker) as broker:
        broker.publish([message])
        delivery = broker.receive(["fetcher"], 10)
        assert delivery is not None
        delivery.dead(reason)
    return message.message_id


def test_the_topology_is_shown_made_and_then_as_it_must_be(
    bare_vhost: BrokerConnection, bucket: StoreConnection
) -> None:
    place = Place(bare_vhost, bucket)
    shown = place.call("topology", "show")
    assert shown.returncode == 1
    assert "landseries.indexer" in shown.stdout
    applied = told(place, "topology", "apply").splitlines()
    assert applied[:-1] == shown.stdout.splitlines(), "what was shown is what was changed"
    assert applied[-1] == f"{len(applied) - 1} changes"
    assert told(place, "topology", "show").strip() == "everything is there"
    assert told(place, "topology", "apply").strip() == "nothing to change"


def test_dead_letters_are_listed_shown_redriven_and_dropped(place: Place, toy: Toy, tmp_path: Path) -> None:
    freeze_plan(place.open_store(), make_plan())
    first = put_aside(place, "demo", REFERENCE, "[red]no[/] map at\x1b[2J hand")
    second = put_aside(place, "other", REFERENCE, "another reason")
    listed = told(place, "dead", "list")
    assert "2 dead letters" in listed
    assert "[red]no[/] map at" in listed
    assert "\x1b[2J" not in listed, "a reason cannot clear the screen"
    assert "1 dead letters" in told(place, "dead", "list", "--run", "other")
    assert "0 dead letters" in told(place, "dead", "list", "--service", "mapper")
    shown = told(place, "dead", "show", first)
    for text in (first, "reference t00000", "demo", "attempts    1", '"schema_version":1'):
        assert text in shown
    place.refused(
        "dead", "show", "nonsense", says="there is no dead letter nonsense; `landseries dead list` shows them"
    )
    place.refused("dead", "list", "--service", "nonsense", says="there is no service 'nonsense'")
    assert "1 dropped" in told(place, "dead", "drop", second)
    assert "1 redriven" in told(place, "dead", "redrive", first)
    assert "0 dead letters" in told(place, "dead", "list")
    assert "no dead letter fits" in told(place, "dead", "redrive", "--all")
    place.toy_worker(toy, tmp_path / "scratch", max_messages=1)
    assert toy.calls == ["reference t00000"]


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Toy:
    """A toy under whose process the run's numerics profile holds."""
    for name, value in process_environment(make_plan().numerics).items():
        monkeypatch.setenv(name, value)
    return Toy()


def test_status_tells_what_waits_what_is_put_aside_and_what_was_refused(place: Place, toy: Toy, tmp_path: Path) -> None:
    store, plan = place.open_store(), make_plan()
    freeze_plan(store, plan)
    swept = told(place, "sweep")
    assert swept.strip() == "demo: 5 messages published"
    before = told(place, "status", "demo")
    assert "messages waiting: fetcher 5; to be tried again: 0" in before
    put_aside(place, "gone", REFERENCE, "x")
    assert "stalled: 1 messages of the fetcher were put aside; `landseries dead list --service fetcher`" in told(
        place, "status"
    )
    toy.refuse = {"reference t00001": "no map there"}
    place.toy_worker(toy, tmp_path / "scratch", max_messages=5)
    assert "refused reference t00001: no map there" in told(place, "status", "demo")
    toy.refuse = {}
    again = told(place, "sweep", "demo", "--refused")
    assert "demo: 1 refused units will be tried again" in again
    assert "refused reference" not in told(place, "status", "demo")


def test_a_cancelled_run_does_nothing_until_it_is_submitted_again(place: Place, config: Path) -> None:
    store = place.open_store()
    assert "messages published" in told(place, "submit", config)
    assert "landseries gc --forget tiny" in told(place, "cancel", "tiny")
    assert "tiny: is cancelled; `landseries submit` takes it up again" in told(place, "sweep")
    assert "tiny (cancelled)" in told(place, "status", "tiny")
    assert place.call("worker", "fetcher", "--exit-when-idle").returncode == 0
    assert list(store.list("runs/tiny/markers/")) == []
    assert "messages waiting: none" in told(place, "status")
    assert "messages published" in told(place, "submit", config)
    assert "(cancelled)" not in told(place, "status", "tiny")
    assert place.call("worker", "fetcher", "--max-messages", "1").returncode == 0
    assert len(list(store.list("runs/tiny/markers/"))) == 1


def test_a_job_of_one_message_waits_for_it_after_starting_anew_for_it(place: Place) -> None:
    own = processor_capability()
    plan = make_plan().model_copy(update={"numerics": NumericsProfile(capability=own)})
    freeze_plan(place.open_store(), plan)
    assert place.broker is not None
    with RabbitBroker(place.broker) as broker:
        broker.publish([encode("demo", Unit("map", ("t00000", "multi-year")))])
    other = NumericsProfile(capability="default").model_dump_json()
    ended = place.call("worker", "mapper", "--max-messages", 1, "--exit-when-idle", LANDSERIES_PROFILE=other)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count('"event": "serving"') == (1 if own == "default" else 2), ended.stderr
    assert "messages waiting: none; to be tried again: 0" in told(place, "status", "demo")


def test_a_collection_first_says_and_then_does(place: Place, toy: Toy, tmp_path: Path) -> None:
    store, plan = place.open_store(), make_plan()
    freeze_plan(store, plan)
    told(place, "sweep", "demo")
    assert place.toy_worker(toy, tmp_path / "scratch") == "idle"
    assert {marker.status for marker in all_markers(OpenRun(store, plan)).values()} == {"done"}
    before = [item.key for item in store.list("")]
    assert "would be removed" in told(place, "gc", "--dry-run", "--grace-h", "0")
    assert [item.key for item in store.list("")] == before
    told(place, "gc", "--grace-h", "0")
    left = {item.key for item in store.list("")}
    gone = {key.split("/")[1] for key in set(before) - left if key.startswith("artifacts/")}
    assert "fetch" in gone
    assert "report" not in gone
    assert "0 messages published" in told(place, "sweep", "demo"), "what is gone is not missed"
    told(place, "gc", "--grace-h", "0", "--forget", "demo")
    assert not [item.key for item in store.list("artifacts/")]
    place.refused("status", "demo", says="there is no run 'demo' in this store; it has none")
