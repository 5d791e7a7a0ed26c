"""What a store holds by stage, the budget, and the settings of both."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.memory_store import MemoryStore

from landseries.config import parse_config
from landseries.errors import ConfigError
from landseries.pipeline import STAGES
from landseries.settings.storage import StorageSettings
from landseries.usage import Budget, StageUsage, group_of, usage

CONFIG = {
    "name": "demo",
    "years": [2018],
    "source": {"kind": "cube", "paths": ["x.nc"], "features": {"NDVI": "ndvi"}},
    "reference": {"path": "clc.tif", "year": 2018},
}


def filled() -> MemoryStore:
    store = MemoryStore()
    for number in range(3):
        store.put(f"artifacts/index/0{number}/f/series.zarr.zip", b"x" * 100)
    store.put("artifacts/fetch/00/f/t.tif", b"x" * 7)
    store.put("artifacts/retired/00/f/t.tif", b"x" * 5)
    store.put("runs/demo/markers/index/t/2018.json", b"xx")
    store.put("plans/demo.json", b"xxx")
    store.put("scratch/checkpoints/demo/train-all/state", b"x")
    return store


def test_bytes_and_objects_by_stage_in_the_tables_order() -> None:
    found = usage(filled())
    assert list(found.items()) == [
        ("fetch", StageUsage(1, 7)),
        ("index", StageUsage(3, 300)),
        ("runs", StageUsage(2, 5)),
        ("scratch", StageUsage(1, 1)),
        ("other", StageUsage(1, 5)),
    ]
    assert usage(MemoryStore()) == {}


@given(key=st.text())
def test_any_key_belongs_somewhere(key: str) -> None:
    assert group_of(key) in {*STAGES, "runs", "scratch", "other"}
    assert group_of(f"artifacts/{key}") in {*STAGES, "other"}


def test_the_budget_says_what_to_do_and_looks_again_later() -> None:
    now = 0.0
    store = filled()
    budget = Budget(store, 318, refresh_s=60, clock=lambda: now)
    assert budget.exceeded() is None
    store.put("artifacts/fetch/00/g/t.tif", b"x")
    assert budget.exceeded() is None  # known from before
    now = 59.9
    assert budget.exceeded() is None
    now = 60.0
    reason = budget.exceeded()
    assert reason is not None
    assert "the store holds 2.97e-07 GiB of the 2.96e-07 GiB of its budget" in reason
    assert "landseries gc" in reason
    assert "storage.budget_gib" in reason
    store.delete("artifacts/fetch/00/g/t.tif")
    assert budget.exceeded() == reason
    now = 120.0
    assert budget.exceeded() is None


def test_a_large_store_is_listed_rarely() -> None:
    now = 0.0
    listed = []

    class Slow(MemoryStore):
        def list(self, prefix):  # type: ignore[no-untyped-def]
            nonlocal now
            listed.append(now)
            now += 30.0
            return super().list(prefix)

    budget = Budget(Slow(), 1, refresh_s=60, clock=lambda: now)
    for _ in range(100):
        budget.exceeded()
        now += 10.0
    assert listed == [0.0, 630.0]


def test_settings_are_checked_against_the_table() -> None:
    run = parse_config(CONFIG | {"storage": {"keep": {"index": "always"}, "budget_gib": 0.5}}, "test")
    assert run.storage.keeps("index")
    assert not run.storage.keeps("fetch")
    assert run.storage.keeps("train")
    assert run.storage.budget_bytes == 2**29
    assert StorageSettings().budget_bytes is None


@pytest.mark.parametrize(
    ("storage", "message"),
    [
        ({"keep": {"indices": "always"}}, r"storage\.keep: there is no stage 'indices'; known are search, "),
        ({"keep": {"index": "never"}}, r"storage\.keep\.index: .*'always' or 'until consumed'"),
        ({"keep": {"mosaic": "until consumed"}}, "artifacts of mosaic always stay: they are the results"),
        ({"keep": {"search": "until consumed"}}, "artifacts of search always stay: the run itself reads them"),
        ({"budget_gib": 0}, r"storage\.budget_gib: .*greater than 0"),
        ({"budget": 5}, "unknown field; did you mean `budget_gib`"),
    ],
)
def test_wrong_settings_are_explained(storage: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_config(CONFIG | {"storage": storage}, "test")


def test_only_what_others_read_may_be_consumed() -> None:
    readers = {need.stage for row in STAGES.values() for need in row.needs if need.outputs != ()}
    assert {name for name, row in STAGES.items() if row.keep == "until consumed"} <= readers
