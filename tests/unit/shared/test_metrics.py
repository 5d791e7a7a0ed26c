"""Metrics of a worker: what is counted where, and that no message can make the number of series grow."""

import threading
import time

from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import generate_latest

from landseries.failures import CAUSES
from landseries.metrics import OUTCOMES, WorkerMetrics
from landseries.pipeline import STAGES, stages_of


def value(metrics: WorkerMetrics, name: str, **labels: str) -> float | None:
    found = metrics.registry.get_sample_value(name, labels)
    assert found is None or isinstance(found, float)
    return found


def test_a_unit_is_counted_from_its_start_to_its_end() -> None:
    metrics = WorkerMetrics("indexer")
    before = time.time()
    metrics.unit_started("index", 12.0)
    assert value(metrics, "landseries_units_in_flight") == 1
    metrics.unit_ended("index", "done", 4.0)
    assert value(metrics, "landseries_units_in_flight") == 0
    assert value(metrics, "landseries_units_total", stage="index", outcome="done") == 1
    assert value(metrics, "landseries_unit_seconds_sum", stage="index") == 4.0
    assert value(metrics, "landseries_unit_seconds_bucket", stage="index", le="3.0") == 0
    assert value(metrics, "landseries_unit_seconds_bucket", stage="index", le="10.0") == 1
    assert value(metrics, "landseries_queue_wait_seconds_sum", stage="index") == 12.0
    progress = value(metrics, "landseries_last_progress_timestamp_seconds")
    assert progress is not None
    assert before <= progress <= time.time()


def test_a_failure_is_no_progress() -> None:
    metrics = WorkerMetrics("indexer")
    began = value(metrics, "landseries_last_progress_timestamp_seconds")
    for outcome in ("failed", "dead", "handed_back", "later", "skipped"):
        metrics.unit_started("index", None)
        metrics.unit_ended("index", outcome, 1.0)
    assert value(metrics, "landseries_last_progress_timestamp_seconds") == began
    assert value(metrics, "landseries_unit_seconds_count", stage="index") == 0
    assert value(metrics, "landseries_queue_wait_seconds_count", stage="index") == 0
    assert value(metrics, "landseries_units_total", stage="index", outcome="dead") == 1


def test_the_unit_in_hand_tells_since_when() -> None:
    metrics = WorkerMetrics("indexer")
    name = "landseries_unit_started_timestamp_seconds"
    assert value(metrics, name, stage="index") == 0
    before = time.time()
    metrics.unit_started("index", None)
    started = value(metrics, name, stage="index")
    assert started is not None
    assert before <= started <= time.time()
    metrics.unit_ended("index", "failed", 1.0)
    assert value(metrics, name, stage="index") == 0


def test_what_was_not_done_is_counted_by_its_cause() -> None:
    metrics = WorkerMetrics("indexer")
    name = "landseries_units_not_done_total"
    assert {cause: value(metrics, name, stage="index", cause=cause) for cause in CAUSES} == dict.fromkeys(CAUSES, 0)
    metrics.not_done("index", "version")
    metrics.not_done("no such stage", "message")
    assert value(metrics, name, stage="index", cause="version") == 1
    assert value(metrics, name, stage="unknown", cause="message") == 1


def test_the_store_counts_as_reachable_until_it_is_not() -> None:
    metrics = WorkerMetrics("indexer")
    assert value(metrics, "landseries_store_reachable") == 1
    metrics.store_reachable(False)
    assert value(metrics, "landseries_store_reachable") == 0


def test_rates_begin_at_zero() -> None:
    metrics = WorkerMetrics("fetcher")
    for stage in stages_of("fetcher"):
        for outcome in OUTCOMES:
            assert value(metrics, "landseries_units_total", stage=stage, outcome=outcome) == 0
    assert value(metrics, "landseries_units_total", stage="train", outcome="done") is None
    assert value(metrics, "landseries_store_bytes_total", direction="in") == 0
    assert value(metrics, "landseries_broker_connected") == 0


def test_bytes_are_the_growth_of_the_stores_counters() -> None:
    metrics = WorkerMetrics("fetcher")
    metrics.store_bytes(10, 0)
    metrics.store_bytes(10, 7)
    metrics.store_bytes(5, 7)  # a late answer of another thread
    metrics.store_bytes(25, 9)
    assert value(metrics, "landseries_store_bytes_total", direction="in") == 25
    assert value(metrics, "landseries_store_bytes_total", direction="out") == 9


def test_what_runs_here() -> None:
    metrics = WorkerMetrics("trainer")
    metrics.broker_state(connected=True, blocked=False)
    text = generate_latest(metrics.registry).decode()
    assert 'landseries_build_info{service="trainer",version="' in text
    assert "landseries_broker_connected 1.0" in text
    assert "landseries_broker_blocked 0.0" in text
    peak = value(metrics, "landseries_peak_rss_bytes")
    assert peak is not None
    assert 2**20 < peak < 2**40


@settings(max_examples=30, deadline=None)
@given(stages=st.lists(st.text(st.characters(), max_size=200), min_size=20, max_size=40))
def test_hostile_stage_names_share_one_series(stages: list[str]) -> None:
    metrics = WorkerMetrics("sampler")
    for stage in (*STAGES, ""):
        metrics.unit_started(stage, 1.0)
        metrics.unit_ended(stage, "dead", 1.0)
    size = len(generate_latest(metrics.registry).splitlines())
    for stage in stages:
        metrics.unit_started(stage, 1.0)
        metrics.unit_ended(stage, "dead", 1.0)
    assert len(generate_latest(metrics.registry).splitlines()) == size
    assert value(metrics, "landseries_units_total", stage="unknown", outcome="dead") == 1 + sum(
        stage not in STAGES for stage in stages
    )


def test_threads_lose_no_count() -> None:
    metrics = WorkerMetrics("sampler")

    def work() -> None:
        for _ in range(500):
            metrics.unit_started("sample", 0.0)
            metrics.unit_ended("sample", "done", 0.0)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert value(metrics, "landseries_units_total", stage="sample", outcome="done") == 4000
    assert value(metrics, "landseries_units_in_flight") == 0
