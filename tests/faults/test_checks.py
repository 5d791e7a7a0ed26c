"""The fault run's own eyes: what is missing, too much or other than in the undisturbed run is seen and named."""

import json
from pathlib import Path

import pytest

from landseries.leases import Leases, lease_content
from landseries.pipeline import Unit
from landseries.stores.local import LocalStore
from tests.faults import checks
from tests.faults.checks import differences, leases_kept, repaired
from tests.faults.reference import RUN, Answers

ONE, TWO = Unit("index", ("tile", "2018")), Unit("index", ("tile", "2019"))
DONE = {"status": "done", "fingerprint": "f"}
WANTED = Answers({ONE: DONE, TWO: DONE}, {"artifacts/a": "1", "artifacts/b": "2"}, {ONE: 1.0, TWO: 3.0})
LEASE = f"runs/{RUN}/leases/train/all/multi-year.json"


def test_equal_runs_do_not_differ() -> None:
    assert list(differences(WANTED, WANTED)) == []


@pytest.mark.parametrize(
    ("units", "artifacts", "named"),
    [
        ({ONE: DONE}, WANTED.artifacts, "unit index tile 2019 is missing"),
        ({ONE: DONE, TWO: {"status": "refused"}}, WANTED.artifacts, "unit index tile 2019 is another"),
        (WANTED.units, {"artifacts/a": "1"}, "artifact artifacts/b is missing"),
        (WANTED.units, {"artifacts/a": "1", "artifacts/b": "3"}, "artifact artifacts/b is another"),
        (WANTED.units, WANTED.artifacts | {"artifacts/c": "3"}, "artifact artifacts/c should not be there"),
    ],
)
def test_each_difference_is_named(units: dict[Unit, dict[str, str]], artifacts: dict[str, str], named: str) -> None:
    assert named in list(differences(Answers(units, artifacts, {}), WANTED))


def test_progress_counts_the_length_of_units() -> None:
    assert [WANTED.weight([]), WANTED.weight([ONE]), WANTED.weight([ONE, TWO])] == [0.0, 0.25, 1.0]


def test_a_lease_that_is_renewed_is_seen_and_a_dead_one_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "_LEASE_BEAT_S", 0.5)
    store = LocalStore(tmp_path)
    store.put(LEASE.replace("multi", "single"), lease_content("a worker that was killed"))
    assert list(leases_kept(store)) == []
    with Leases(store, "someone", lease_s=0.3).holding(LEASE, lambda: None):
        (found,) = leases_kept(store)
    assert "someone" in found
    assert list(leases_kept(store)) == []


def test_repairs_are_seen(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    assert list(repaired(store)) == []
    store.put(f"runs/{RUN}/repairs/index/tile/2018.json", json.dumps({"what": "is corrupt"}).encode())
    assert "is corrupt" in next(repaired(store))
