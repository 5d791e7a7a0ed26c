"""From no worker at all: how soon the first unit is done, and as many workers run as the queue asks for."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest
from support.cluster import need_cluster
from support.delivery import wait_for
from support.release import Release, keda_in, release, watching
from support.small_run import configuration, simulate_archive, write_config

pytestmark = [pytest.mark.deployment, pytest.mark.xdist_group("kubernetes"), pytest.mark.timeout(1800)]

_FIRST_UNIT_S: Final = 20
_SCALED_S: Final = 30
_MOST: Final = 4
#: As the chart's values say.
_PER_REPLICA: Final = 2


@dataclass
class Timeline:
    """Moments at which so many fetchers ran, as a watcher saw them, and when the first pod was made and started."""

    running: dict[int, datetime] = field(default_factory=dict)
    made: datetime | None = None
    started: datetime | None = None

    def look(self, released: Release) -> None:
        """Look at the fetcher's pods once."""
        pods = released.workers("fetcher")
        states = [status["state"] for pod in pods for status in pod["status"].get("containerStatuses", [])]
        begun = [_moment(state["running"]["startedAt"]) for state in states if "running" in state]
        self.running.setdefault(len(begun), datetime.now(UTC))
        if pods and self.made is None:
            self.made = min(_moment(pod["metadata"]["creationTimestamp"]) for pod in pods)
        if begun and self.started is None:
            self.started = min(begun)


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Release]:
    need_cluster()
    folder = tmp_path_factory.mktemp("waking")
    archive = simulate_archive(folder / "archive")
    with release(folder, archive, services=[]) as found:
        found.values["defaults"]["maxReplicas"] = _MOST
        found.install()
        found.values["keda"] = {**keda_in(found.place), "cooldownS": 15}
        found.upgrade("--wait", "--timeout", "10m")
        yield found


def test_the_first_unit_and_the_workers_come_soon(released: Release, tmp_path: Path) -> None:
    place = released.place
    # Not even one that is about to end: it may still hold a message.
    chosen = ("pods", "-l", "landseries/worker=true")
    wait_for("no worker", lambda: not place.get(*chosen), 300, place.events)
    archive = Path(released.values["archive"]["mountPath"])
    # Small tiles: many messages at once.
    config = write_config(archive, configuration(archive, "waking", tile_px=64))
    seen = Timeline()
    with released.store() as store, watching(lambda: seen.look(released)):
        said = released.operator("submit", config)
        found = re.search(r"(\d+) messages published", said)
        assert found is not None, said
        asked = min(_MOST, math.ceil(int(found.group(1)) / _PER_REPLICA))
        markers = "runs/waking/markers/"
        wait_for("a unit", lambda: any(store.list(markers)), 120, place.events)
        wait_for(f"{asked} workers", lambda: max(seen.running, default=0) >= asked, 120, place.events)
        # The plan is written before the first message is published: times are no shorter than they were.
        [published] = [item.modified for item in store.list("plans/")]
        first_unit = min(item.modified for item in store.list(markers))
    assert seen.made is not None
    assert seen.started is not None
    after = {
        "first pod": seen.made,
        "its container": seen.started,
        "first unit": first_unit,
        f"{asked} pods": min(moment for number, moment in seen.running.items() if number >= asked),
    }
    seconds = {what: (moment - published).total_seconds() for what, moment in after.items()}
    told = ", ".join(f"{what} {number:.1f} s" for what, number in seconds.items())
    print(f"{found.group(1)} messages; after publishing: {told}")
    assert seconds["first unit"] <= _FIRST_UNIT_S
    assert seconds[f"{asked} pods"] <= _SCALED_S


def _moment(text: str) -> datetime:
    """A moment as the cluster writes it, to the second."""
    return datetime.fromisoformat(text)
