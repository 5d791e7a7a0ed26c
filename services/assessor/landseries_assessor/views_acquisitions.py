"""What the report says about the searches: per year what became of the acquisitions, and the longest gaps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Final

from landseries.calendar.reading import KINDS, GranuleYear

_COPY: Final = "copy"
#: Columns of the table; a product that is left out for another one of its acquisition has one of its own.
_COLUMNS: Final = {**KINDS, _COPY: "duplicate"}


@dataclass
class YearCounts:
    """What became of a year's acquisitions over all granules.

    Attributes:
        kinds: acquisitions, and products that were left out, by what became of them.
        gaps: the longest gap of each tile in days, with the tile.
        refused: acquisitions that were chosen and then refused, each with the reason.
        nothing: granules whose search was refused.
    """

    kinds: Counter[str] = field(default_factory=Counter)
    gaps: list[tuple[float, str]] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    nothing: list[str] = field(default_factory=list)


def count_acquisitions(calendar: Iterable[GranuleYear]) -> dict[int, YearCounts]:
    """Counts by year; searches are taken one after the other, as those of a large run do not fit into memory."""
    counts: dict[int, YearCounts] = {}
    for found in calendar:
        year = counts.setdefault(found.year, YearCounts())
        if found.refused:
            year.nothing.append(found.granule)
        names = {look.name for look in found.looks}
        year.kinds.update(_COPY if look.acquisition in names - {look.name} else look.kind for look in found.looks)
        year.gaps += [(days, tile) for tile, days in found.longest_gap_days.items()]
        for look in found.looks:
            reasons = sorted({verdict.reason for verdict in look.verdicts.values() if verdict.kind == "refused"})
            year.refused += [(look.name, reason) for reason in reasons]
    return dict(sorted(counts.items()))


def acquisitions(counts: dict[int, YearCounts]) -> dict[str, Any] | None:
    """A table with a line per year, and what was refused after it was chosen; None where no search has answered."""
    if not counts:
        return None
    kinds = [kind for kind in _COLUMNS if kind == "taken" or any(year.kinds[kind] for year in counts.values())]
    rows = []
    for number, year in counts.items():
        gaps = sorted(year.gaps)
        rows.append(
            {
                "year": number,
                "counts": [year.kinds[kind] for kind in kinds],
                "median_gap_days": median(days for days, _ in gaps) if gaps else None,
                "worst_gap": gaps[-1] if gaps else None,
                "nothing": year.nothing,
            }
        )
    refused = [(number, name, reason) for number, year in counts.items() for name, reason in year.refused]
    return {"kinds": [_COLUMNS[kind] for kind in kinds], "rows": rows, "refused": refused}
