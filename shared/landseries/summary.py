"""What a run's markers say together: time and memory per stage, and what was refused and why."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from landseries.markers import Marker
from landseries.pipeline import STAGES, Unit


def summarise(run_markers: Iterable[tuple[Unit, Marker]]) -> dict[str, Any]:
    """Sum up a run.

    Args:
        run_markers: every unit that has answered, with its marker.

    Returns:
        `timings`: stage -> units, done, empty, refused, reused (found under their fingerprint, nothing computed),
        seconds (of all units together), longest_seconds, peak_rss_mib (of the processes that did them), in the
        table's order and only for stages that have answered; `peak_rss_mib`: the highest of all processes;
        `refused`: unit and reason of every refused or empty unit, in the order given.
    """
    timings: dict[str, dict[str, Any]] = {}
    refused: list[dict[str, str]] = []
    peak = 0.0
    for unit, marker in run_markers:
        stage = timings.setdefault(unit.stage, _nothing_yet())
        stage["units"] += 1
        stage[marker.status] += 1
        stage["reused"] += marker.reused
        stage["seconds"] = round(stage["seconds"] + marker.seconds, 3)
        stage["longest_seconds"] = max(stage["longest_seconds"], marker.seconds)
        stage["peak_rss_mib"] = max(stage["peak_rss_mib"], marker.peak_rss_mib)
        peak = max(peak, marker.peak_rss_mib)
        if marker.status != "done":
            refused.append({"unit": unit.name, "status": marker.status, "reason": marker.reason})
    ordered = {stage: timings[stage] for stage in STAGES if stage in timings}
    return {"timings": ordered, "peak_rss_mib": peak, "refused": refused}


def _nothing_yet() -> dict[str, Any]:
    return {
        "units": 0,
        "done": 0,
        "empty": 0,
        "refused": 0,
        "reused": 0,
        "seconds": 0.0,
        "longest_seconds": 0.0,
        "peak_rss_mib": 0.0,
    }
