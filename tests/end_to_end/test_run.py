"""The whole chain as a person runs it: the same bytes whatever the jobs, and whatever dies on the way."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import rasterio
from support.small_run import artifacts, write_config

from landseries.openrun import OpenRun
from landseries.pipeline import STAGES
from landseries.plan import read_plan
from landseries.stores.local import LocalStore
from tests.end_to_end.conftest import Cli

pytestmark = [pytest.mark.end_to_end, pytest.mark.xdist_group("end_to_end"), pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, small_run_done: Path) -> Path:
    """A work folder of these tests with the small run done by one job."""
    lines = (small_run_done / "output.txt").read_text().splitlines()
    assert any("report.html" in line for line in lines)
    folder = tmp_path_factory.mktemp("one-job")
    return Path(shutil.copytree(small_run_done / "work", folder / "work"))


def same_artifacts(one: Path, other: Path) -> None:
    """Fail with the names of what differs."""
    first, second = artifacts(LocalStore(one / "store")), artifacts(LocalStore(other / "store"))
    assert sorted(first) == sorted(second)
    assert [key for key in first if first[key] != second[key]] == []
    assert len(first) > 50


def test_the_output_folder_holds_what_people_look_for(done: Path) -> None:
    results = done / "small"
    for name in ("report.html", "assessment.json", "run.json", "stac/collection.json"):
        assert (results / name).is_file(), name
    maps = sorted((results / "maps").rglob("*class*.tif"))
    assert len(maps) >= 4
    with rasterio.open(maps[0]) as raster:
        assert raster.profile["driver"] == "GTiff"
        assert raster.colormap(1)
    report = (results / "report.html").read_text()
    assert "http://" not in report.replace("http://www.w3.org", "")
    assert len(report) > 50_000


def test_the_plan_of_the_run_foretells_its_time(
    done: Path, small_run: dict[str, Any], tmp_path: Path, cli: Cli
) -> None:
    """What the rates of a run say of the same run is its time, within a factor of 1.5."""
    result = cli("plan", write_config(tmp_path, small_run), "--measured-from", "small", "--workdir", done, "--jobs", 1)
    assert result.returncode == 0, result.stdout + result.stderr
    told = re.search(r"^time ([\d.]+) (s|min),", result.stdout, re.MULTILINE)
    assert told is not None, result.stdout
    estimated_s = float(told.group(1)) * {"s": 1, "min": 60}[told.group(2)]
    store = LocalStore(done / "store")
    plan = read_plan(store, "small")
    assert plan is not None
    run = OpenRun(store, plan)
    markers = [marker for stage in STAGES for _, marker in run.markers.all_of(stage)]
    ends = [datetime.fromisoformat(marker.finished).timestamp() for marker in markers]
    wall_s = max(ends) - min(end - marker.seconds for end, marker in zip(ends, markers, strict=True))
    print(f"estimated {estimated_s:.0f} s, took {wall_s:.0f} s")
    assert wall_s / 1.5 <= estimated_s <= 1.5 * wall_s


def test_the_assessment_has_the_promised_fields(done: Path) -> None:
    found = json.loads((done / "small" / "assessment.json").read_text())
    for tree in (found, found["whole_area"]):
        for model in ("multi-year", "single-year"):
            pair = tree["agreement"][model]["2018-2019"]
            assert 0 < pair["overall"] <= 1
            for figures in pair["per_class"].values():
                assert {"iou", "dice", "kept", "arrived"} <= set(figures)
            assert 0 < tree["accuracy"][model]["2018"]["overall"] <= 1
            assert {"users", "producers", "f1"} <= set(tree["change"][model]["2018-2019"])
        assert {"label_precision", "map_precision", "kept_share", "recall"} <= set(tree["reliable_samples"])
    run = json.loads((done / "small" / "run.json").read_text())
    assert set(run["timings"]) >= {"search", "fetch", "train", "map"}
    assert run["peak_rss_mib"] > 0
    assert run["numerics"]["device"] == "cpu"


def test_two_jobs_give_the_same_bytes(done: Path, small_run: dict[str, Any], cli: Cli, tmp_path: Path) -> None:
    result = cli("run", write_config(tmp_path, small_run), "--workdir", tmp_path / "work", "--jobs", 2)
    assert result.returncode == 0, result.stdout + result.stderr
    same_artifacts(done, tmp_path / "work")


def test_a_killed_run_goes_on_to_the_same_bytes(
    done: Path, small_run: dict[str, Any], cli: Cli, tmp_path: Path
) -> None:
    config = write_config(tmp_path, small_run)
    workdir = tmp_path / "work"
    command = [sys.executable, "-m", "landseries", "run", str(config), "--workdir", str(workdir), "--jobs", "2"]
    for awaited in ("fetch", "cluster", "pseudolabel", "train", "map"):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _wait_for_marker(workdir, awaited, process)
        process.send_signal(signal.SIGKILL)
        process.wait()
    result = cli("run", config, "--workdir", workdir, "--jobs", 2)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "going on" in result.stdout
    same_artifacts(done, workdir)


def _wait_for_marker(workdir: Path, stage: str, process: "subprocess.Popen[bytes]") -> None:
    for _ in range(3000):
        if (
            any((workdir / "store" / "runs" / "small" / "markers" / stage).rglob("*.json"))
            or process.poll() is not None
        ):
            return
        time.sleep(0.1)
    pytest.fail(f"no unit of {stage} was answered within five minutes")


def test_killed_workers_are_replaced(done: Path, small_run: dict[str, Any], tmp_path: Path) -> None:
    config = write_config(tmp_path, small_run)
    workdir = tmp_path / "work"
    command = [sys.executable, "-m", "landseries", "run", str(config), "--workdir", str(workdir), "--jobs", "2"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    killed = 0
    for stage in ("search", "index", "reliable"):
        _wait_for_marker(workdir, stage, process)  # type: ignore[arg-type]
        for child in _children(process.pid)[:1]:
            os.kill(child, signal.SIGKILL)
            killed += 1
    output, _ = process.communicate(timeout=900)
    assert killed >= 2
    assert process.returncode == 0, output
    same_artifacts(done, workdir)


def _children(pid: int) -> list[int]:
    listed = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout
    return [int(line) for line in listed.split()]


def test_ctrl_c_ends_workers_and_says_how_to_go_on(small_run: dict[str, Any], tmp_path: Path) -> None:
    config = write_config(tmp_path, small_run)
    command = [sys.executable, "-m", "landseries", "run", str(config), "--workdir", str(tmp_path / "work")]
    # A shell that starts tests in the background has them ignore SIGINT, and children inherit that.
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    _wait_for_marker(tmp_path / "work", "search", process)  # type: ignore[arg-type]
    children = _children(process.pid)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "go on from here" in output
    deadline = time.monotonic() + 10.0
    while any(Path(f"/proc/{child}").exists() for child in children):
        assert time.monotonic() < deadline, "workers outlive the run"
        time.sleep(0.05)


def test_done_again_nothing_is_computed(done: Path, small_run: dict[str, Any], cli: Cli) -> None:
    config = write_config(done.parent, small_run)
    before = {key: (done / "store" / key).stat().st_mtime_ns for key in artifacts(LocalStore(done / "store"))}
    result = cli("run", config, "--workdir", done)
    assert result.returncode == 0, result.stderr
    assert {key: (done / "store" / key).stat().st_mtime_ns for key in artifacts(LocalStore(done / "store"))} == before


def test_check_tells_new_from_done(done: Path, small_run: dict[str, Any], cli: Cli, tmp_path: Path) -> None:
    fresh = cli("check", write_config(tmp_path, small_run), "--workdir", tmp_path / "none")
    assert fresh.returncode == 0, fresh.stderr
    rows = {line.split()[0]: line.split()[1:] for line in fresh.stdout.splitlines() if line.strip()}
    assert rows["index"] == ["8", "0"]
    assert rows["fetch"][0] == "after"
    again = cli("check", write_config(done.parent, small_run), "--workdir", done)
    assert {line.split()[0]: line.split()[1:] for line in again.stdout.splitlines()[1:]}["map"] == ["0", "8"]
    other = small_run | {"name": "wider", "trainer": {"train": {"hidden": 24, "epochs": 3}}}
    changed = cli("check", write_config(tmp_path, other), "--workdir", done)
    rows = {line.split()[0]: line.split()[1:] for line in changed.stdout.splitlines()[1:]}
    assert rows["index"] == ["0", "8"]
    assert rows["dataset"] == ["0", "1"]
    assert rows["train"] == ["2", "0"]
    assert rows["map"] == ["8", "0"]


def test_status_shows_the_run(done: Path, cli: Cli) -> None:
    result = cli("status", "small", "--workdir", done)
    assert result.returncode == 0
    assert "pseudolabel" in result.stdout
    assert "no run" in cli("status", "other", "--workdir", done).stderr


def test_a_workdir_of_another_config_is_refused(
    done: Path, small_run: dict[str, Any], cli: Cli, tmp_path: Path
) -> None:
    result = cli("run", write_config(tmp_path, small_run | {"seed": 4}), "--workdir", done)
    assert result.returncode == 2
    assert "differs in seed" in result.stderr
    assert "another `name:`" in result.stderr
