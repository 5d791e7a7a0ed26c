"""The assessor: compares the maps, merges them into result files, and writes the report."""

from __future__ import annotations

from collections.abc import Mapping

from landseries.service import Context, Handler, Service


def _compare(context: Context) -> None:
    from landseries_assessor.compare import compare

    compare(context)


def _truth_used(context: Context) -> Mapping[str, str]:
    from landseries_assessor.compare import truth_digests

    return truth_digests(context)


def _mosaic(context: Context) -> None:
    from landseries_assessor.mosaic import mosaic

    mosaic(context)


def _report(context: Context) -> None:
    from landseries_assessor.report import report

    report(context)


SERVICE = Service(
    "assessor",
    {"compare": Handler(_compare, outside=_truth_used), "mosaic": Handler(_mosaic), "report": Handler(_report)},
)
