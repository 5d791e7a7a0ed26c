"""The summary of a run's markers."""

from __future__ import annotations

from landseries.markers import Marker
from landseries.pipeline import Unit
from landseries.summary import summarise


def test_stages_are_summed_in_the_order_of_the_table():
    markers = [
        (Unit("report", ()), Marker(status="done", seconds=2.0, peak_rss_mib=90)),
        (Unit("map", ("t1", "multi-year")), Marker(status="done", seconds=1.25, peak_rss_mib=300, reused=True)),
        (Unit("map", ("t2", "multi-year")), Marker(status="refused", reason="no weights", seconds=0.5)),
        (Unit("fetch", ("g", "2018", "a")), Marker(status="empty", reason="outside", peak_rss_mib=120)),
    ]
    summary = summarise(markers)
    assert list(summary["timings"]) == ["fetch", "map", "report"]
    assert summary["timings"]["map"] == {
        "units": 2,
        "done": 1,
        "empty": 0,
        "refused": 1,
        "reused": 1,
        "seconds": 1.75,
        "longest_seconds": 1.25,
        "peak_rss_mib": 300,
    }
    assert summary["peak_rss_mib"] == 300
    assert summary["refused"] == [
        {"unit": "map t2 multi-year", "status": "refused", "reason": "no weights"},
        {"unit": "fetch g 2018 a", "status": "empty", "reason": "outside"},
    ]


def test_a_run_that_has_not_begun_has_no_figures():
    assert summarise([]) == {"timings": {}, "peak_rss_mib": 0.0, "refused": []}
