"""How far a run is, from its markers alone."""

from __future__ import annotations

from rich.table import Table

from landseries.openrun import OpenRun
from landseries.pipeline import STAGES
from landseries.plan import RunPlan
from landseries.stores.base import Store


def status_table(store: Store, plan: RunPlan) -> tuple[Table, list[str]]:
    """A table per stage (answered, units, refused, seconds), and a line per refused or empty unit."""
    run = OpenRun(store, plan)
    table = Table(title=plan.run_id, box=None, title_justify="left")
    for heading in ("stage", "done", "refused", "units", "seconds"):
        table.add_column(heading, justify="left" if heading == "stage" else "right")
    lines = []
    for stage in STAGES:
        markers = list(run.markers.all_of(stage))
        failed = [(unit, marker) for unit, marker in markers if marker.status != "done"]
        table.add_row(
            stage,
            str(len(markers) - len(failed)),
            str(len(failed)),
            str(sum(1 for _ in run.pipeline.units(stage))),
            f"{sum(marker.seconds for _, marker in markers):.1f}",
        )
        lines += [f"{marker.status} {unit.name}: {marker.reason}" for unit, marker in failed]
    return table, lines
