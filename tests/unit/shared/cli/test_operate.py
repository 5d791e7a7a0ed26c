"""Commands over runs in a folder: what they say and do, and what they answer to wrong names and values."""

import shutil
from pathlib import Path

import pytest
from unit.shared.cli.conftest import Call
from unit.shared.test_worker import Toy, drain, make_plan

from landseries.gates import cancellation_key
from landseries.plan import freeze_plan
from landseries.stores.local import LocalStore


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work folder with the complete run `demo`, one unit of which was refused, and the run `new`."""
    folder = tmp_path_factory.mktemp("finished")
    store = LocalStore(folder / "work" / "store")
    toy = Toy()
    toy.refuse = {"compare t00002": "[red]no overlap[/] with the reference"}
    drain(store, make_plan(), toy, folder / "scratch")
    freeze_plan(store, make_plan("new"))
    return folder / "work"


@pytest.fixture
def workdir(finished: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(finished, tmp_path / "work"))


def keys(workdir: Path) -> set[str]:
    return {item.key for item in LocalStore(workdir / "store").list("")}


@pytest.mark.parametrize("by", ["workdir", "variable"])
def test_status_is_the_same_by_folder_and_by_store(
    call: Call, workdir: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    arguments = ["--workdir", workdir] if by == "workdir" else []
    if by == "variable":
        monkeypatch.setenv("LANDSERIES_STORE_URL", f"file://{workdir / 'store'}")
    told = call("status", "demo", *arguments)
    assert (told.status, told.err) == (0, "")
    assert "refused compare t00002: [red]no overlap[/] with the reference" in told.out
    assert "new" not in told.out
    everything = call("status", *arguments)
    assert "demo" in everything.out
    assert "new" in everything.out
    assert "messages waiting" not in everything.out, "no broker is named"


def test_watching_ends_with_the_run(call: Call, workdir: Path) -> None:
    told = call("status", "demo", "--watch", "--workdir", workdir)
    assert told.status == 0
    assert "refused compare t00002" in told.out


def test_cancel_is_seen_by_status_and_changes_no_result(call: Call, workdir: Path) -> None:
    before = keys(workdir)
    told = call("cancel", "new", "--workdir", workdir, "--reason", "too early")
    assert told.status == 0
    assert "landseries gc --forget new" in told.out
    assert keys(workdir) - before == {cancellation_key("new")}
    assert b"too early" in (LocalStore(workdir / "store").get(cancellation_key("new")) or b"")
    assert "new (cancelled)" in call("status", "new", "--workdir", workdir).out


def test_gc_says_first_and_removes_then(call: Call, workdir: Path) -> None:
    before = keys(workdir)
    dry = call("gc", "--dry-run", "--grace-h", 0, "--workdir", workdir)
    assert dry.status == 0
    assert "would be removed" in dry.out
    assert keys(workdir) == before
    assert call("gc", "--grace-h", 0, "--workdir", workdir).status == 0
    assert keys(workdir) < before
    assert call("gc", "--forget", "demo", "--grace-h", 0, "--workdir", workdir).status == 0
    assert not [key for key in keys(workdir) if key.startswith(("artifacts/", "runs/demo/"))]


def test_gc_keeps_what_is_young(call: Call, workdir: Path) -> None:
    before = keys(workdir)
    assert call("gc", "--workdir", workdir).status == 0
    assert keys(workdir) == before


@pytest.mark.parametrize("command", ["status", "cancel", "collect", "gc"])
def test_an_unknown_run_is_told_with_those_that_there_are(call: Call, workdir: Path, command: str) -> None:
    arguments = {"collect": ["dmeo", workdir / "out"], "gc": ["--forget", "dmeo"]}.get(command, ["dmeo"])
    before = keys(workdir)
    told = call(command, *arguments, "--workdir", workdir)
    assert told.status == 2
    assert told.err.strip() == "error: there is no run 'dmeo' in this store; it has demo, new"
    assert keys(workdir) == before


def test_an_incomplete_run_is_not_collected(call: Call, workdir: Path) -> None:
    told = call("collect", "new", workdir / "out", "--workdir", workdir)
    assert told.status == 2
    assert "is not complete; `landseries status new` shows how far it is" in told.err
    assert not (workdir / "out").exists()


@pytest.mark.parametrize("command", [["status"], ["cancel", "x"], ["gc"], ["collect", "x", "out"]])
def test_a_folder_without_runs_is_told_and_not_made(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for arguments in ([], ["--workdir", tmp_path / "none"]):
        told = call(*command, *arguments)
        assert told.status == 2
        assert "holds no runs; give the folder of `landseries run` with --workdir, or set LANDSERIES_STORE_URL" in (
            told.err
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["status", "sweep", "doctor", "worker"])
def test_a_wrong_variable_is_one_line(call: Call, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.setenv("LANDSERIES_STORE_URL", "me:hush@nowhere")
    monkeypatch.setenv("LANDSERIES_BROKER_URL", "amqp://127.0.0.1:1")
    told = call(command, *(["indexer"] if command == "worker" else []))
    text = told.err + told.out
    assert told.status == (1 if command == "doctor" else 2)
    assert "LANDSERIES_STORE_URL: write http://HOST:PORT" in text
    assert "hush" not in text
    assert "Traceback" not in text
