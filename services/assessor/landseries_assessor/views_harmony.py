"""What the report says about the acquisitions: how they lie among each other, which were corrected or refused, why."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from landseries_assessor.charts import scatter

Tree = Mapping[str, Any]

#: Hue of the first year and the last, in degrees.
_HUES: Final = (215, 25)
_NOT_AS_IT_IS: Final = ("corrected", "refused", "unreadable")
_FIGURES: Final = re.compile(r"\d+(\.\d+)?")


def harmonisation(
    tables: Iterable[Tree], years: Sequence[int], refused: Mapping[str, str] | None = None
) -> list[dict[str, Any]]:
    """Per granule: counts, a chart of the shifts, what was refused or corrected, and what could not be told.

    Args:
        tables: `harmony.json` of each granule that was compared.
        years: years of the run, for colours.
        refused: why acquisitions could not be fetched.
    """
    return [_granule(table, years, refused or {}) for table in tables if table["probe_tiles"]]


def year_colours(years: Sequence[int]) -> dict[int, str]:
    """A colour per year, in CSS."""
    span = max(len(years) - 1, 1)
    return {year: f"hsl({round(_HUES[0] + (_HUES[1] - _HUES[0]) * i / span)} 70% 48%)" for i, year in enumerate(years)}


def _granule(table: Tree, years: Sequence[int], refused: Mapping[str, str]) -> dict[str, Any]:
    found: Mapping[str, Tree] = table["acquisitions"]
    entries = {name: _after_the_fetch(entry, refused.get(name)) for name, entry in found.items()}
    verdicts = Counter(entry["verdict"] for entry in entries.values())
    shifts = [
        (entry["shift"]["north_m"], entry["shift"]["east_m"], _nearest(int(entry["datetime"][:4]), years))
        for entry in entries.values()
        if entry["shift"] is not None and entry["shift"]["north_m"] is not None
    ]
    refining = Counter(product["refining"] for entry in entries.values() for product in entry["products"].values())
    return {
        "granule": table["granule"],
        "counts": {
            **{verdict: verdicts[verdict] for verdict in ("used", *_NOT_AS_IT_IS)},
            "with a warning": sum(bool(entry["warnings"]) for entry in entries.values()),
        },
        "reference": table["reference"],
        "used_within_m": table["used_within_m"],
        "chart": scatter(shifts, year_colours(years), table["used_within_m"], table["granule"]) if shifts else None,
        "refining": [(flag.replace("_", " ").lower(), count) for flag, count in sorted(refining.items())],
        "rows": [_row(name, entry) for name, entry in entries.items() if entry["verdict"] in _NOT_AS_IT_IS],
        "warnings": _warnings(entries),
    }


def _after_the_fetch(entry: Tree, reason: str | None) -> Tree:
    """An entry, no longer of something used where its fetch found that it cannot be read."""
    if reason is None or entry["verdict"] == "refused":
        return entry
    return {**entry, "verdict": "unreadable", "reason": reason, "warnings": []}


def _nearest(year: int, years: Sequence[int]) -> int:
    """The year of the run that stands for a date; a period may begin in the year before."""
    return min(years, key=lambda known: (abs(known - year), known))


def _row(name: str, entry: Tree) -> dict[str, Any]:
    shift = entry["shift"]
    is_known = shift is not None and shift["north_m"] is not None
    return {
        "name": name,
        "date": entry["datetime"][:10],
        "verdict": entry["verdict"],
        "reason": entry["reason"] or "shifted further than is used as it is",
        "shift": (shift["north_m"], shift["east_m"]) if is_known else None,
    }


def _warnings(entries: Mapping[str, Tree]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Kinds of warnings, each with the acquisitions that have one, and its text.

    A kind is what stands before a colon, without the figures, which differ between acquisitions.
    """
    found: dict[str, list[tuple[str, str]]] = {}
    for name, entry in entries.items():
        for text in entry["warnings"]:
            kind = _FIGURES.sub("…", text.partition(": ")[0])
            found.setdefault(kind, []).append((name, text))
    return sorted(found.items())
