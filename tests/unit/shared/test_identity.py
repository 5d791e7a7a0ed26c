"""Identities: what decides a unit's bytes enters its fingerprint, and nothing else does."""

from pathlib import Path
from typing import Any

import pytest
from unit.shared.test_worker import Toy, drain, make_plan

from landseries.identity import declared_outputs, identity_of
from landseries.markers import Marker, Output
from landseries.numerics import NumericsProfile
from landseries.pipeline import STAGES, Unit
from landseries.plan import RunPlan
from landseries.rows import Need
from landseries.service import Input
from landseries.stores.local import LocalStore

INDEX = Unit("index", ("t00000", "2018"))
TRAIN = Unit("train", ("all", "multi-year"))
FOREST = Unit("forest", ("all",))
HARMONY = Unit("harmony", ("cube",))


def output(digest: str, key: str = "artifacts/x") -> Output:
    return Output(key=key, digest=digest, size_bytes=1)


def answered(unit: Unit, **outputs: str) -> Input:
    return Input(unit, Marker(status="done", outputs={name: output(digest) for name, digest in outputs.items()}))


def identity(plan: RunPlan, unit: Unit, *found: Input, **outside: str) -> str:
    inputs: dict[str, list[Input]] = {}
    for item in found:
        inputs.setdefault(item.unit.stage, []).append(item)
    return identity_of(plan, unit, inputs, outside)


def test_it_is_the_same_for_the_same() -> None:
    one = identity(make_plan(), INDEX, answered(Unit("fetch", ("cube", "2018", "a1")), tif="d1"))
    assert one == identity(make_plan(), INDEX, answered(Unit("fetch", ("cube", "2018", "a1")), tif="d1"))


@pytest.mark.parametrize(
    "changes",
    [
        {"run_id": "another-name"},
        {"storage": {"budget_gib": 3}},
        {"trainer": {"train": {"hidden": 32}}},
        {"seed": 9},
        {"indexer": {"index": {}}},
    ],
    ids=str,
)
def test_what_does_not_decide_an_index_does_not_enter(changes: dict[str, Any]) -> None:
    changed = make_plan(**{"run_id": "demo", **changes})
    assert identity(changed, INDEX) == identity(make_plan(), INDEX)


@pytest.mark.parametrize(
    ("unit", "changes"),
    [
        (TRAIN, {"trainer": {"train": {"hidden": 32}}}),
        (TRAIN, {"seed": 9}),
        (FOREST, {"seed": 9}),
        (INDEX, {"period_start": "02-01"}),
        (INDEX, {"training_year": 2019}),
        (HARMONY, {"training_year": 2019}),
    ],
    ids=str,
)
def test_what_decides_a_unit_enters(unit: Unit, changes: dict[str, Any]) -> None:
    assert identity(make_plan(**changes), unit) != identity(make_plan(), unit)


def test_inputs_enter_by_digest_and_name_and_not_by_where_they_lie() -> None:
    fetch = Unit("fetch", ("cube", "2018", "a1"))
    base = identity(make_plan(), INDEX, answered(fetch, tif="d1"))
    assert base != identity(make_plan(), INDEX, answered(fetch, tif="d2"))
    assert base != identity(make_plan(), INDEX, answered(fetch, other="d1"))
    assert base != identity(make_plan(), INDEX, answered(Unit("fetch", ("cube", "2018", "a2")), tif="d1"))
    assert base != identity(make_plan(), INDEX)
    moved = Input(fetch, Marker(status="done", outputs={"tif": output("d1", "artifacts/elsewhere")}, host="other"))
    assert base == identity(make_plan(), INDEX, moved)


def test_what_comes_from_outside_enters_by_checksum() -> None:
    search = Unit("search", ("cube", "2018"))
    found = {identity(make_plan(), search, **outside) for outside in ({}, {"p": "1"}, {"p": "2"}, {"q": "1"})}
    assert len(found) == 4


def test_the_key_enters() -> None:
    assert identity(make_plan(), INDEX) != identity(make_plan(), Unit("index", ("t00000", "2019")))
    assert identity(make_plan(), INDEX) != identity(make_plan(), Unit("index", ("t00001", "2018")))


@pytest.mark.parametrize("stage", ["train", "forest"])
def test_the_numerics_profile_enters_where_bytes_depend_on_it(stage: str) -> None:
    unit = TRAIN if stage == "train" else FOREST
    other = make_plan().model_copy(update={"numerics": NumericsProfile(capability="avx2")})
    assert (identity(other, unit) != identity(make_plan(), unit)) == STAGES[stage].numerics


def test_the_stages_version_enters(monkeypatch: pytest.MonkeyPatch) -> None:
    import dataclasses

    before = identity(make_plan(), INDEX)
    monkeypatch.setitem(STAGES, "index", dataclasses.replace(STAGES["index"], version=99))
    assert identity(make_plan(), INDEX) != before


@pytest.mark.parametrize(
    ("names", "kept"),
    [(None, {"2018.tif", "2019.tif", "t00000.tif"}), (("{tile}.tif",), {"t00000.tif"}), (("none",), set())],
)
def test_declared_outputs(names: tuple[str, ...] | None, kept: set[str]) -> None:
    marker = Marker(status="done", outputs={name: output("d") for name in ("2018.tif", "2019.tif", "t00000.tif")})
    assert set(declared_outputs(marker, Need("fetch", {}, outputs=names), INDEX).outputs) == kept


def test_every_unit_of_a_run_has_an_identity_of_its_own(tmp_path: Path) -> None:
    run = drain(LocalStore(tmp_path / "store"), make_plan(), Toy(), tmp_path / "scratch")
    found = [marker.fingerprint for stage in STAGES for _, marker in run.markers.all_of(stage)]
    assert None not in found
    assert len(set(found)) == len(found)
