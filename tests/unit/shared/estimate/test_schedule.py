"""Simulated schedules against ones that were worked out by hand, and what holds for every schedule."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landseries.errors import ConfigError
from landseries.estimate.rates import Assumptions, Rates, StageRate
from landseries.estimate.schedule import Estimate, simulate
from landseries.estimate.world import World, make_world
from landseries.pipeline import SERVICES, STAGES

#: The stages of the schedules that were worked out by hand; any other one takes no time in them.
BY_HAND = (
    *("search", "reference", "fetch", "index", "cluster", "classes", "reliable", "forest", "pseudolabel", "strata"),
    *("quotas", "sample", "dataset", "train", "map", "compare", "mosaic", "report"),
)
PRECISE = Assumptions(found_per_year=1, taken_per_chosen=1, merge_input_s=0, overhead_s=0)


def _world(
    tiles: int,
    *,
    years: int = 1,
    models: int = 1,
    samples: int = 60_000,
    epochs: int = 12,
    bundles: int = 10_000,
    granules: int | None = None,
) -> World:
    return make_world(
        tiles,
        tile_size_px=512,
        years=range(2018, 2018 + years),
        training_year=2018,
        models=["multi-year", "single-year"][:models],
        chosen_per_tile=1,
        samples=samples,
        epochs=epochs,
        assumptions=PRECISE,
        granules=granules,
        bundles=bundles,
    )


def _rates(**seconds: float) -> Rates:
    """A second for every unit, but for the stages that are named."""
    found = {stage: seconds.get(stage, 1.0 if stage in BY_HAND else 0.0) for stage in STAGES}
    return Rates(
        stages={stage: StageRate(units=1, seconds_per_unit=one) for stage, one in found.items()}, assumptions=PRECISE
    )


def _spans(estimate: Estimate) -> dict[str, tuple[float, float]]:
    return {stage: (estimate.stages[stage].first_s, estimate.stages[stage].last_s) for stage in BY_HAND}


def test_two_tiles_with_a_worker_per_service() -> None:
    estimate = simulate(_world(2), _rates(), {(service,): 1 for service in SERVICES})
    assert _spans(estimate) == {
        "search": (0, 1),
        "reference": (1, 3),
        "fetch": (3, 4),
        "index": (4, 6),
        "cluster": (5, 7),
        "classes": (7, 8),
        "reliable": (8, 10),
        "forest": (10, 11),
        "pseudolabel": (11, 13),
        "strata": (12, 14),
        "quotas": (14, 15),
        "sample": (15, 17),
        "dataset": (17, 18),
        "train": (18, 19),
        "map": (19, 21),
        "compare": (20, 22),
        "mosaic": (22, 23),
        "report": (23, 24),
    }
    assert estimate.wall_s == 24
    assert estimate.stages["index"].units == 2
    assert estimate.stages["index"].waited_s == 1, "the second tile waits for the first"


def test_one_process_that_does_everything_does_one_unit_after_another() -> None:
    estimate = simulate(_world(2), _rates(), {SERVICES: 1})
    units = sum(estimate.stages[stage].units for stage in BY_HAND)
    assert units == 1 + 2 + 1 + 2 + 2 + 1 + 2 + 1 + 2 + 2 + 1 + 2 + 1 + 1 + 2 + 2 + 1 + 1
    assert estimate.wall_s == units


def test_a_slow_stage_is_the_critical_path_until_it_has_workers() -> None:
    world, rates = _world(8), _rates(index=100.0)
    one = simulate(world, rates, {(service,): 1 for service in SERVICES})
    eight = simulate(world, rates, {(service,): 8 if service == "indexer" else 1 for service in SERVICES})
    step = next(step for step in one.critical_path if step.stage == "index")
    assert (step.work_s, step.waiting_s) == (100, 700)
    assert one.wall_s - eight.wall_s == pytest.approx(700, abs=8)
    assert one.stages["index"].worker_s == eight.stages["index"].worker_s == 800


def test_work_grows_with_pixels_and_acquisitions() -> None:
    assumed = Assumptions(found_per_year=60, chosen_per_tile=20, taken_per_chosen=1.25, archive_mb_per_mpx=5)
    world = make_world(
        762,
        tile_size_px=512,
        years=[2018],
        training_year=2018,
        models=["m"],
        chosen_per_tile=7,
        samples=1000,
        epochs=12,
        assumptions=assumed,
    )
    assert (len(world.extent.tiles_of), world.taken) == (2, 25)
    rate = StageRate(units=1, seconds_per_mpx=1, written_per_mpx=10)
    estimate = simulate(world, Rates(stages=dict.fromkeys(STAGES, rate), assumptions=assumed), {SERVICES: 4})
    mpx = 762 * 512**2 / 1e6
    work = {name: found.worker_s - found.units * assumed.overhead_s for name, found in estimate.stages.items()}
    assert work["reference"] == pytest.approx(mpx)
    assert work["search"] == pytest.approx(60 * mpx)
    assert work["fetch"] == pytest.approx(20 * mpx), "each tile takes 20 of the 25"
    assert work["index"] == pytest.approx(20 * mpx)
    assert estimate.stages["index"].written_bytes == pytest.approx(200 * mpx)
    assert estimate.stages["fetch"].archive_bytes == pytest.approx(100e6 * mpx)
    assert (estimate.stages["fetch"].units, estimate.stages["index"].units) == (50, 762)


def test_a_merge_takes_longer_the_more_it_reads() -> None:
    rates = _rates(classes=3.0)
    rate = StageRate(units=1, seconds_per_unit=3, read_per_unit=4e6, read_per_input=1e6, inputs_per_unit=4)
    rates.stages["classes"] = rate
    small = simulate(_world(4), rates, {SERVICES: 1}).stages["classes"]
    large = simulate(_world(1004, bundles=20), rates, {SERVICES: 1}).stages["classes"]
    assert (small.worker_s, small.read_bytes) == (3, 4e6)
    assert (large.worker_s, large.read_bytes) == (3 + 1000e6 / 50e6, 1004e6)
    slow = rates.model_copy(update={"assumptions": PRECISE.model_copy(update={"merge_input_s": 0.5})})
    waiting = simulate(_world(1004, bundles=20), slow, {SERVICES: 1}).stages["classes"]
    assert waiting.worker_s == large.worker_s + 1000 * 0.5


def test_the_sample_of_the_region_does_not_grow_with_the_area() -> None:
    rates = _rates()
    rates.stages["sample"] = StageRate(
        units=4, seconds_per_mpx=10, read_per_mpx=1e6, written_per_sample=600, inputs_per_unit=4
    )
    rates.stages["dataset"] = StageRate(units=1, seconds_per_unit=3, read_per_unit=600 * 8000, read_per_sample=600)
    found = {tiles: simulate(_world(tiles, samples=8000), rates, {SERVICES: 1}).stages for tiles in (100, 90_000)}
    for stages in found.values():
        assert stages["sample"].written_bytes == pytest.approx(600 * 8000)
        assert (stages["dataset"].read_bytes, stages["dataset"].worker_s) == (600 * 8000, 3)
    mpx = 512**2 / 1e6
    assert found[100]["sample"].read_bytes == pytest.approx(100 * mpx * 1e6), "every tile gives something"
    # An eighth more than the sample is drawn at most, and each series of it may lie in a tile of its own.
    assert found[90_000]["sample"].read_bytes == pytest.approx(9000 * mpx * 1e6)
    assert found[90_000]["sample"].worker_s == pytest.approx(9000 * mpx * 10)


def test_a_larger_sample_is_more_to_write_and_to_merge() -> None:
    rates = _rates()
    rates.stages["sample"] = StageRate(units=4, written_per_sample=600)
    rates.stages["dataset"] = StageRate(
        units=1, seconds_per_unit=3, read_per_unit=6e6, read_per_sample=600, written_per_sample=500
    )
    stages = simulate(_world(100, samples=110_000), rates, {SERVICES: 1}).stages
    assert stages["sample"].written_bytes == pytest.approx(66e6)
    assert (stages["dataset"].read_bytes, stages["dataset"].worker_s) == (66e6, 3 + 60e6 / 50e6)
    assert stages["dataset"].written_bytes == 55e6


def test_training_grows_with_the_sample_and_the_epochs_and_not_with_the_area() -> None:
    rates = _rates()
    rates.stages["train"] = StageRate(units=2, seconds_per_sample=1e-5, read_per_sample=400, written_per_unit=7)
    for tiles in (10, 1000):
        stages = simulate(_world(tiles, models=2, samples=54_000, epochs=12), rates, {SERVICES: 1}).stages
        assert stages["train"].worker_s == pytest.approx(2 * 1e-5 * 54_000 * 12)
        assert (stages["train"].read_bytes, stages["train"].written_bytes) == (400 * 54_000, 14)
    more = simulate(_world(10, models=2, samples=108_000, epochs=40), rates, {SERVICES: 1}).stages["train"]
    assert more.worker_s == pytest.approx(2 * 1e-5 * 108_000 * 40)


@settings(max_examples=25, deadline=None)
@given(
    tiles=st.integers(1, 30),
    years=st.integers(1, 3),
    models=st.integers(1, 2),
    workers=st.lists(st.integers(1, 9), min_size=len(SERVICES), max_size=len(SERVICES)),
    seconds=st.lists(st.floats(0.01, 50), min_size=len(STAGES), max_size=len(STAGES)),
)
def test_a_schedule_is_never_shorter_than_its_work_and_its_path_accounts_for_all_of_it(
    tiles: int, years: int, models: int, workers: list[int], seconds: list[float]
) -> None:
    rates = _rates(**dict(zip(STAGES, seconds, strict=True)))
    pools = {(service,): count for service, count in zip(SERVICES, workers, strict=True)}
    estimate = simulate(_world(tiles, years=years, models=models, granules=min(2, tiles)), rates, pools)
    for service, count in zip(SERVICES, workers, strict=True):
        own = [estimate.stages[stage].worker_s for stage, row in STAGES.items() if row.service == service]
        assert sum(own) <= count * estimate.wall_s * (1 + 1e-9)
    assert sum(step.work_s + step.waiting_s for step in estimate.critical_path) == pytest.approx(estimate.wall_s)
    assert estimate.critical_path[-1].stage == "report"
    assert estimate.stages["map"].units == tiles * models


def test_bundles_change_little() -> None:
    rates, pools = _rates(), {(service,): 3 for service in SERVICES}
    exact = simulate(_world(400, years=2, models=2), rates, pools)
    coarse = simulate(_world(400, years=2, models=2, bundles=40), rates, pools)
    assert coarse.wall_s == pytest.approx(exact.wall_s, rel=0.05)
    for stage in STAGES:
        assert coarse.stages[stage].units == exact.stages[stage].units
        assert coarse.stages[stage].worker_s == pytest.approx(exact.stages[stage].worker_s)


@pytest.mark.parametrize(
    ("workers", "message"),
    [
        ({("fetcher",): 1}, "nobody does the units of indexer, clusterer"),
        ({SERVICES: 1, ("fetcher",): 1}, "fetcher: give each service once"),
        ({SERVICES: 0}, "at least one worker"),
        ({("cook",): 1}, "there is no service 'cook'"),
    ],
)
def test_workers_that_make_no_sense_are_refused(workers: dict[tuple[str, ...], int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        simulate(_world(1), _rates(), workers)
