"""Quotas: paces by a clock of the test's own, and leases between real processes."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.memory_store import MemoryStore
from support.range_server import random_faults, range_server

from landseries.errors import ConfigError, StoreUnavailable
from landseries.stores.local import LocalStore
from landseries_fetcher.remote.http_ranges import HttpRanges, new_pool
from landseries_fetcher.remote.limits import StoreGate
from landseries_fetcher.remote.persistence import Interrupted, Persistence
from landseries_fetcher.remote.quota import LocalGate, Quota
from landseries_fetcher.remote.reader import Permit

CONTENT = bytes(range(256)) * 1000


class _Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def _most_in_a_window(times: list[float], window_s: float) -> int:
    times = sorted(times)
    return max(sum(1 for other in times if at <= other < at + window_s) for at in times)


@settings(max_examples=60, deadline=None)
@given(
    connections=st.integers(1, 6),
    requests=st.integers(2, 60),
    pauses=st.lists(st.sampled_from([0.0, 0.0, 0.5, 7.0, 30.0]), max_size=60),
    handovers=st.sets(st.integers(0, 80), max_size=8),
)
def test_the_pace_keeps_the_quota_in_any_window(
    connections: int, requests: int, pauses: list[float], handovers: set[int]
) -> None:
    """Whatever the pauses between requests, and also where a connection changes hands."""
    quota = Quota(connections, requests, 10.0)
    clock = _Clock()
    pace, times = quota.pace(clock), []
    for number in range(80):
        if number in handovers:
            pace = quota.pace(clock)
        clock.now += pauses[number] if number < len(pauses) else 0.0
        while (wait_s := pace.wait_s()) > 0:
            clock.now += wait_s
        times.append(clock.now)
    assert _most_in_a_window(times, 10.0) * quota.slots <= requests


def test_the_pace_is_not_slower_than_need_be() -> None:
    clock, sent = _Clock(), 0
    pace = Quota(4, 2000).pace(clock)
    while clock.now < 600:
        wait_s = pace.wait_s()
        sent += wait_s == 0
        clock.now += wait_s
    assert sent > 0.85 * 2000 / 4 * 10


@pytest.mark.parametrize("quota", [(0, None), (1, 1), (2, 0)])
def test_quotas_that_allow_nothing_are_refused(quota: tuple[int, int | None]) -> None:
    with pytest.raises(ConfigError, match="at least 1 connection and 2 requests"):
        Quota(*quota)


def test_one_process_without_a_store() -> None:
    gate, at_once, most = LocalGate(Quota(3)), [0], [0]
    lock = threading.Lock()

    def work() -> None:
        for _ in range(20):
            with gate.request() as permit:
                permit.check()
                with lock:
                    at_once[0] += 1
                    most[0] = max(most[0], at_once[0])
                time.sleep(0.001)
                with lock:
                    at_once[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] == 3


def _fetch(folder: Path, url: str, number: int, quota: Quota, results: multiprocessing.Queue[int]) -> None:
    gate = StoreGate(LocalStore(folder), "archive", quota, f"worker-{number}", lease_s=10.0, turn_s=0.3, idle_s=0.2)
    pool, persistence = new_pool(), Persistence(tries=100, sleep=lambda seconds: None)
    done = []

    def work() -> None:
        reader = HttpRanges(f"{url}/image", pool=pool, gate=gate, persistence=persistence)
        for at in range(0, 12):
            start = 17_000 + 10_000 * at
            found = b"".join(content for _, content in reader.read([(start, start + 5000)]))
            done.append(found == CONTENT[start : start + 5000])

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    gate.close()
    results.put(sum(done))


@pytest.mark.parametrize("quota", [Quota(3), Quota(3, 180, 2.0)], ids=["connections", "requests"])
def test_four_processes_never_exceed_the_quota(tmp_path: Path, quota: Quota) -> None:
    """Twelve threads in four processes, a server that fails, and three connections."""
    with range_server({"image": CONTENT}) as server:
        server.fault = random_faults(1, 0.2, ("reset", "truncated", "status_503", "status_429"))
        server.delay_s = 0.02
        server.company = 0 if quota.requests else quota.connections
        context = multiprocessing.get_context("fork")
        results: multiprocessing.Queue[int] = context.Queue()
        workers = [
            context.Process(target=_fetch, args=(tmp_path, server.url, number, quota, results)) for number in range(4)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert [worker.exitcode for worker in workers] == [0] * 4
        assert sum(results.get() for _ in workers) == 4 * 3 * 12
        assert server.at_once_max <= 3
        if quota.requests is None:
            assert server.at_once_max == 3, "all of the connections were used"
        else:
            # The server sees a request later than it is sent, by some milliseconds more or less.
            assert _most_in_a_window(server.times, quota.per_s - 0.1) <= quota.requests
        assert sum(server.faults_done.values()) > 10


def _hold_and_die(folder: Path) -> None:
    gate = StoreGate(LocalStore(folder), "archive", Quota(1), "dying", lease_s=1.0)
    with gate.request():
        os.kill(os.getpid(), signal.SIGKILL)


def test_the_connection_of_the_dead_is_free_after_a_while(tmp_path: Path) -> None:
    worker = multiprocessing.get_context("fork").Process(target=_hold_and_die, args=(tmp_path,))
    worker.start()
    worker.join()
    began = time.monotonic()
    gate = StoreGate(LocalStore(tmp_path), "archive", Quota(1), "heir", lease_s=1.0)
    with gate.request():
        assert 1.0 <= time.monotonic() - began < 5.0
    gate.close()


def test_the_connection_of_the_living_is_not_taken(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    mine = StoreGate(store, "archive", Quota(1), "mine", lease_s=0.5, idle_s=0.2)
    other = StoreGate(store, "archive", Quota(1), "other", lease_s=0.5, idle_s=0.2)
    entered = threading.Event()

    def enter() -> None:
        with other.request():
            entered.set()

    thread = threading.Thread(target=enter)
    with mine.request() as permit:
        thread.start()
        assert not entered.wait(1.5)
        permit.check()
    assert entered.wait(5.0), "given back after a while without requests"
    thread.join()


def test_a_lease_that_cannot_be_renewed_is_not_used() -> None:
    class Away(MemoryStore):
        is_away = False

        def put_if(self, key: str, content: bytes, tag: str | None) -> str | None:
            if self.is_away:
                raise StoreUnavailable("the store is away")
            return super().put_if(key, content, tag)

    store = Away()
    gate = StoreGate(store, "archive", Quota(1), "mine", lease_s=0.5)
    with gate.request() as permit:
        store.is_away = True
        _wait_until(lambda: not _stands(permit))
        with pytest.raises(Interrupted, match="could not be renewed"):
            permit.check()
        store.is_away = False
        _wait_until(lambda: _stands(permit))
        store.objects[next(iter(store.objects))] = (json.dumps({"owner": "other"}).encode(), 0.0)
        _wait_until(lambda: not _stands(permit))


def _stands(permit: Permit) -> bool:
    try:
        permit.check()
    except Interrupted:
        return False
    return True


def _wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20.0
    while not is_so():
        assert time.monotonic() < deadline, "it did not come to pass within 20 s"
        time.sleep(0.02)


def test_many_requests_cost_the_store_little(tmp_path: Path) -> None:
    class Counting(MemoryStore):
        calls = 0

        def put_if(self, key: str, content: bytes, tag: str | None) -> str | None:
            self.calls += 1
            return super().put_if(key, content, tag)

    store = Counting()
    gate = StoreGate(store, "archive", Quota(2), "mine")
    for _ in range(500):
        with gate.request():
            pass
    gate.close()
    assert store.calls == 2
