"""Worker processes that are killed and come back: what a container platform does for a deployment."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from landseries.local.processes import Process, free_ports
from landseries.pipeline import SERVICES

#: What answers a unit; a unit that was so answered more than once was computed more than once.
_ANSWERS: Final = ("done", "empty", "refused")
_IN_FLIGHT: Final = re.compile(rb"^landseries_units_in_flight (\S+)", re.M)
_LOOK_S: Final = 0.3
_WATCH_S: Final = 0.2
#: How long a kill waits for a worker that is at work.
_AWAIT_WORK_S: Final = 3.0
_LEASE_S: Final = 6.0
_GRACE_S: Final = 20.0


@dataclass
class Place:
    """Where one worker after the other lives."""

    name: str
    service: str
    port: int
    process: Process
    pids: list[int] = field(default_factory=list)


class Workers:
    """One or more workers per service; each that ends is started again until `stop`.

    Attributes:
        kills: how many were killed.
        own_ends: how many ended by themselves, by service.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str], copies: int) -> None:
        """Start them.

        Args:
            folder: for their logs and unfinished files.
            environment: where broker and store are.
            copies: workers of each service.
        """
        self._folder = folder
        self._environment = {**os.environ, **environment}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._last: list[str] = []
        self.kills = 0
        self.own_ends: Counter[str] = Counter()
        names = [(f"{service}-{copy}", service) for copy in range(copies) for service in SERVICES]
        ports = free_ports(len(names))
        self._places = [self._settle(name, service, port) for (name, service), port in zip(names, ports, strict=True)]
        self._watcher = threading.Thread(target=self._watch, name="supervisor", daemon=True)
        self._watcher.start()

    @property
    def logs(self) -> list[Path]:
        """Each place's log."""
        return [self._log(place.name) for place in self._places]

    def kill_one(self, rng: random.Random) -> str:
        """Kill a worker, mostly one that is at work; returns its place."""
        place = self._at_work(rng) if rng.random() < 0.85 else None
        if place is not None:
            time.sleep(rng.expovariate(4.0))  # somewhere in the unit, not always at its beginning
        with self._lock:
            place = place or rng.choice(self._candidates())
            place.process.kill()
            self.kills += 1
            self._last = [place.service, *self._last][:2]
        return place.name

    def stop(self) -> list[int]:
        """End all in order; returns the process ids of workers that are left."""
        self._stopping.set()
        self._watcher.join()
        for place in self._places:
            if place.process.running:
                os.kill(place.process.pid, signal.SIGTERM)
        for place in self._places:
            place.process.stop(_GRACE_S)
        return [pid for place in self._places for pid in place.pids if _is_there(pid)]

    def busy(self) -> list[str]:
        """Places whose worker has a unit in hand, or does not say."""
        return [place.name for place in self._places if _units_in_flight(place.port) != 0]

    def events(self) -> Iterator[dict[str, Any]]:
        """What the workers logged, each with its `place`."""
        for path in self.logs:
            for line in path.read_text(errors="replace").splitlines():
                try:
                    entry = json.loads(line)
                except ValueError:
                    entry = {"event": "unreadable", "level": "error", "text": line}
                if isinstance(entry, dict):
                    yield {"place": path.stem, **entry}

    def computed_again(self) -> int:
        """Units that were computed more than once, as far as those who did it lived to say so."""
        counts = Counter(entry.get("unit") for entry in self.events() if entry.get("event") in _ANSWERS)
        return sum(count > 1 for count in counts.values())

    def _settle(self, name: str, service: str, port: int) -> Place:
        process = self._start(name, service, port)
        return Place(name, service, port, process, [process.pid])

    def _start(self, name: str, service: str, port: int) -> Process:
        command = [sys.executable, "-m", "landseries", "worker", service, "--threads", "1", "--log-json"]
        command += ["--lease-s", str(_LEASE_S), "--health", f"127.0.0.1:{port}"]
        command += ["--scratch", str(self._folder / "scratch" / name)]
        return Process(command, self._environment, self._log(name))

    def _log(self, name: str) -> Path:
        return self._folder / "logs" / f"{name}.log"

    def _watch(self) -> None:
        while not self._stopping.wait(_WATCH_S):
            for place in self._places:
                with self._lock:
                    if place.process.running:
                        continue
                    if place.process.returncode != -signal.SIGKILL:
                        self.own_ends[place.service] += 1
                    place.process.kill()  # whatever is left of its group
                    place.process = self._start(place.name, place.service, place.port)
                    place.pids.append(place.process.pid)

    def _candidates(self) -> list[Place]:
        """Who may be killed: never three of a service in a row, or its unit would look as if it killed its workers."""
        spared = self._last[0] if len(self._last) == 2 and len(set(self._last)) == 1 else None
        return [place for place in self._places if place.service != spared]

    def _at_work(self, rng: random.Random) -> Place | None:
        deadline = time.monotonic() + _AWAIT_WORK_S
        while time.monotonic() < deadline:
            places = self._candidates()
            for place in rng.sample(places, len(places)):
                if (_units_in_flight(place.port) or 0) > 0:
                    return place
            time.sleep(_LOOK_S)
        return None


def _units_in_flight(port: int) -> float | None:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=2) as answer:
            found = _IN_FLIGHT.search(answer.read())
    except (OSError, urllib.error.URLError):
        return None
    return None if found is None else float(found.group(1))


def _is_there(pid: int) -> bool:
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return False
    return True
