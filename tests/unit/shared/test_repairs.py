"""Repairs: what is damaged goes with its marker, three times at most, whatever else is damaged as well."""

from pathlib import Path

import pytest
from unit.shared.test_worker import Toy, drain, make_plan

from landseries.errors import ArtifactError
from landseries.markers import Damaged
from landseries.openrun import OpenRun
from landseries.pipeline import Unit
from landseries.repairs import MOST_REPAIRS, repair
from landseries.stores.local import LocalStore
from landseries.sweeping import due_units

UNIT = Unit("index", ("t00000", "2018"))
RECORD = "runs/demo/repairs/index/t00000/2018.json"


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


@pytest.fixture
def run(store: LocalStore, tmp_path: Path) -> OpenRun:
    return drain(store, make_plan(), Toy(), tmp_path / "scratch")


def damaged_artifact(run: OpenRun) -> Damaged:
    marker = run.markers.get(UNIT)
    assert marker is not None
    return Damaged(UNIT, marker.outputs["series.zarr.zip"].key, "is corrupt")


def test_an_artifact_goes_with_its_manifest_and_marker_and_nothing_else(store: LocalStore, run: OpenRun) -> None:
    damage = damaged_artifact(run)
    before = {item.key for item in store.list("")}
    repair(store, run, damage)
    gone = before - {item.key for item in store.list("")}
    folder = damage.key.rpartition("/")[0]
    assert gone == {damage.key, f"{folder}/manifest.json", run.markers.key(UNIT)}
    assert due_units(store, run.plan) == [UNIT]


def test_a_marker_goes_alone(store: LocalStore, run: OpenRun) -> None:
    before = {item.key for item in store.list("")}
    repair(store, run, Damaged(UNIT, run.markers.key(UNIT), "cannot be read"))
    assert before - {item.key for item in store.list("")} == {run.markers.key(UNIT)}


def test_a_store_that_loses_data_is_reported_in_the_end(store: LocalStore, run: OpenRun) -> None:
    damage = damaged_artifact(run)
    for _ in range(MOST_REPAIRS):
        repair(store, run, damage)
    marker = run.markers.key(UNIT)
    store.put(marker, b"{}")
    with pytest.raises(ArtifactError, match="for the 4th time: check the store's disks"):
        repair(store, run, damage)
    assert store.exists(marker), "nothing is removed any more"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"times": "often"}', b'{"times": null}', b"\xff"])
def test_a_damaged_record_hinders_no_repair(store: LocalStore, run: OpenRun, content: bytes) -> None:
    store.put(RECORD, content)
    repair(store, run, damaged_artifact(run))
    assert not run.markers.answered(UNIT)
    assert b'"times":1' in (store.get(RECORD) or b"").replace(b" ", b"")


def test_a_record_that_the_store_damaged_hinders_no_repair(
    store: LocalStore, run: OpenRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    get = store.get

    def damaging(key: str) -> bytes | None:
        if key == RECORD:
            raise ArtifactError(f"{key}: other bytes than were put")
        return get(key)

    damage = damaged_artifact(run)
    monkeypatch.setattr(store, "get", damaging)
    repair(store, run, damage)
    assert not run.markers.answered(UNIT)
