"""What a unit works on: the answers of all that it needs, or why it must be refused without being worked on."""

from __future__ import annotations

from dataclasses import dataclass

from landseries.identity import declared_outputs
from landseries.openrun import OpenRun
from landseries.parallel import in_parallel
from landseries.pipeline import STAGES, Unit
from landseries.service import Input


@dataclass(frozen=True)
class Gathered:
    """What the needs of a unit answered.

    Attributes:
        inputs: by needed stage, in the table's order, with the declared outputs only.
        refusal: why the unit must be refused; None where it can be done.
    """

    inputs: dict[str, list[Input]]
    refusal: str | None


def gather(run: OpenRun, unit: Unit) -> Gathered | None:
    """What a unit's needs answered; None while one of them has not.

    Raises:
        Damaged: a marker, or what a search chose, cannot be read.
    """
    inputs: dict[str, list[Input]] = {}
    refusal = None
    for need in STAGES[unit.stage].needs:
        found = []
        units = list(run.pipeline.needs(unit, need))
        for needed, marker in zip(units, in_parallel(run.markers.get, units), strict=True):
            if marker is None:
                return None
            found.append(Input(needed, declared_outputs(marker, need, unit)))
        inputs[need.stage] = found
        failed = [item for item in found if not item.done]
        if failed and (not need.tolerant or (len(failed) == len(found) and unit.stage != "report")):
            first = failed[0]
            refusal = refusal or f"because {first.unit.name} was {first.marker.status}: {first.marker.reason}"
    return Gathered(inputs, refusal)
