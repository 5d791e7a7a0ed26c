"""Rates from markers: what a finished run took is what the estimate of the same run says."""

from __future__ import annotations

from pathlib import Path

import pytest
from unit.shared.cli.conftest import Call
from unit.shared.cli.conftest import call as call
from unit.shared.test_worker import Toy, drain, make_plan

from landseries.errors import ConfigError
from landseries.estimate.measuring import measure_rates
from landseries.estimate.rates import Assumptions, read_rates
from landseries.estimate.schedule import simulate
from landseries.estimate.world import make_world, sampled_series
from landseries.openrun import OpenRun
from landseries.pipeline import SERVICES, STAGES
from landseries.stores.local import LocalStore


@pytest.fixture(scope="module")
def workdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete run of three tiles, two years and two models, with made-up seconds in its markers."""
    folder = tmp_path_factory.mktemp("finished")
    store = LocalStore(folder / "work" / "store")
    run = drain(store, make_plan(), Toy(), folder / "scratch")
    for number, stage in enumerate(STAGES):
        for unit, marker in list(run.markers.all_of(stage)):
            run.markers.remove(unit)
            run.markers.put(unit, marker.model_copy(update={"seconds": number + 1.0}))
    return folder / "work"


def _opened(workdir: Path) -> tuple[LocalStore, OpenRun]:
    store = LocalStore(workdir / "store")
    return store, OpenRun(store, make_plan())


def test_the_estimate_of_the_run_itself_is_what_it_took(workdir: Path) -> None:
    store, finished = _opened(workdir)
    rates = measure_rates(store, finished.plan)
    assumed = rates.assumptions.model_copy(update={"overhead_s": 0.0, "found_per_year": 2, "taken_per_chosen": 1.2})
    rates = rates.model_copy(update={"assumptions": assumed})
    world = make_world(
        3,
        tile_size_px=64,
        years=[2018, 2019],
        training_year=2018,
        models=["multi-year", "single-year"],
        chosen_per_tile=2,
        samples=sampled_series(finished.plan.config),
        epochs=finished.plan.config.trainer.train.epochs,
        assumptions=assumed,
        granules=1,
    )
    estimate = simulate(world, rates, {SERVICES: 1})
    for number, stage in enumerate(STAGES):
        markers = [marker for _, marker in finished.markers.all_of(stage)]
        found = estimate.stages[stage]
        assert found.units == len(markers), stage
        written = sum(output.size_bytes for marker in markers for output in marker.outputs.values())
        if stage not in ("search", "fetch", "index"):  # these depend on how many acquisitions are assumed
            assert found.worker_s == pytest.approx((number + 1) * len(markers), rel=1e-4), stage
            assert found.written_bytes == pytest.approx(written, rel=1e-4), stage
    assert estimate.stages["map"].read_bytes > 0


def test_reused_units_tell_no_time(workdir: Path, tmp_path: Path) -> None:
    store, _ = _opened(workdir)
    again = drain(store, make_plan("again"), Toy(), tmp_path)
    with pytest.raises(ConfigError, match="run 'again' computed no unit of search"):
        measure_rates(store, again.plan)


def _config(folder: Path, **fields: str) -> Path:
    path = folder / "run.yaml"
    lines = {
        "name": "big",
        "years": "[2018, 2019, 2020]",
        "area": "{bbox: [11.0, 46.0, 11.1, 46.1]}",
        "source": "{kind: safe, path: products}",
        "reference": "{path: clc.tif, year: 2018}",
        **fields,
    }
    path.write_text("\n".join(f"{name}: {value}" for name, value in lines.items()))
    return path


def test_the_command_tells_units_time_bytes_and_the_path(call: Call, workdir: Path, tmp_path: Path) -> None:
    saved = tmp_path / "rates.json"
    arguments = ["--measured-from", "demo", "--workdir", workdir, "--save-rates", saved]
    told = call("plan", _config(tmp_path), *arguments, "--jobs", 2)
    assert told.status == 0, told.err
    assert "9 tiles of 512 px in 2 granules, 3 years" in told.out
    assert "critical path" in told.out
    assert read_rates(saved).measured_on == "demo, cpu"
    workers = "fetcher+indexer=8,clusterer=2,pseudolabeler=2,sampler=1,trainer=1,mapper=2,assessor=1"
    again = call("plan", _config(tmp_path), "--rates", saved, "--km2", 300_000, "--workers", workers)
    assert "11,444 tiles of 512 px in 31 granules" in again.out
    index = next(line.split() for line in again.out.splitlines() if line.strip().startswith("index"))
    assert index[1] == "34,332"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give either --rates FILE or --measured-from RUN"),
        (["--rates", "absent.json"], "absent.json: cannot be read"),
        (["--rates", "broken.json"], "broken.json: is no file of rates: stages.index.units"),
        (["--rates", "text.json"], "text.json: is no file of rates: Invalid JSON: expected ident at line 1"),
        (["--rates", "few.json"], "few.json: has no rate of search, reference"),
        (["--measured-from", "nobody"], "there is no run 'nobody'"),
        (["--measured-from", "demo", "--workers", "fetcher"], "'fetcher' is no SERVICE=NUMBER"),
        (["--measured-from", "demo", "--workers", "maper=1"], "there is no service 'maper'"),
        (["--measured-from", "demo", "--workers", "mapper=1"], "nobody does the units of fetcher"),
    ],
)
def test_what_is_wrong_is_said_with_the_remedy(
    call: Call, workdir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("broken.json").write_text('{"stages": {"index": {"units": 0}}}')
    Path("text.json").write_text("not JSON")
    Path("few.json").write_text('{"stages": {"index": {"units": 1}}}')
    where = ["--workdir", workdir] if "--measured-from" in arguments else []
    told = call("plan", _config(tmp_path), *arguments, *where)
    assert told.status == 2
    assert message in told.err
    assert told.out == "", "refused before anything is printed"


def test_assumptions_have_limits() -> None:
    with pytest.raises(ValueError, match="taken_per_chosen"):
        Assumptions(taken_per_chosen=0.5)


def test_the_example_has_rates_of_all_stages() -> None:
    rates = read_rates(Path(__file__).parents[4] / "examples" / "rates.json")
    assert set(rates.stages) == set(STAGES)
