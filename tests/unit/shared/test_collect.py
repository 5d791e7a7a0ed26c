"""Collecting: results are copied as they were written, or not at all."""

from pathlib import Path

import pytest
from unit.shared.test_worker import Toy, drain, make_plan

from landseries.artifacts.documents import read_json
from landseries.collect import RESULT_STAGES, collect
from landseries.errors import ArtifactError
from landseries.openrun import OpenRun
from landseries.stores.local import LocalStore


class Results(Toy):
    """Writes results under names of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.outputs |= {"mosaic": ["maps/2018.tif"], "report": ["report.html"]}


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


@pytest.fixture
def run(store: LocalStore, tmp_path: Path) -> OpenRun:
    return drain(store, make_plan(), Results(), tmp_path / "scratch")


def result_of(run: OpenRun, stage: str) -> str:
    return next(output.key for _, marker in run.markers.all_of(stage) for output in marker.outputs.values())


def test_results_lie_under_their_own_names(store: LocalStore, run: OpenRun, tmp_path: Path) -> None:
    written = collect(store, run.plan, tmp_path / "results")
    assert {str(path.relative_to(tmp_path / "results")) for path in written} == {
        "maps/2018.tif",
        "report.html",
        "run.json",
    }
    assert (tmp_path / "results" / "report.html").read_bytes() == store.get(result_of(run, "report"))
    assert read_json(tmp_path / "results" / "run.json")["run"] == run.plan.run_id


@pytest.mark.parametrize("stage", RESULT_STAGES)
@pytest.mark.parametrize("is_missing", [False, True])
def test_a_damaged_result_is_not_collected_but_written_anew(
    store: LocalStore, run: OpenRun, tmp_path: Path, stage: str, is_missing: bool
) -> None:
    key = result_of(run, stage)
    good = store.get(key)
    if is_missing:
        store.delete(key)
    else:
        store.put(key, b"other bytes")
    with pytest.raises(ArtifactError, match=f"{key}, written by {stage}.*start the run again"):
        collect(store, run.plan, tmp_path / "results")
    assert not any(path.read_bytes() == b"other bytes" for path in (tmp_path / "results").rglob("*.*"))
    drain(store, run.plan, Results(), tmp_path / "scratch")
    assert store.get(key) == good
    collect(store, run.plan, tmp_path / "results")
