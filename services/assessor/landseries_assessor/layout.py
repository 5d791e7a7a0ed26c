"""Where things lie in the result folder, and how numbers of changes are named and coloured everywhere."""

from __future__ import annotations

from typing import Final

ASSESSMENT: Final = "assessment.json"
REPORT: Final = "report.html"
STYLES: Final = "styles"
TABLES: Final = "tables"
STAC: Final = "stac"

#: Per number of changes, from none upwards; the last colour serves all higher numbers.
_CHANGE_COLOURS: Final = ((236, 236, 232), (244, 162, 97), (201, 42, 42), (111, 29, 120), (40, 12, 68))


def map_file(model: str, year: int, granule: str, layer: str) -> str:
    """A granule's map of a year: layer is class, probabilities, confidence or clear_views."""
    return f"maps/{model}/{year}/{granule}_{layer}.tif"


def changes_file(model: str, granule: str) -> str:
    """A granule's number of changes over all years."""
    return f"maps/{model}/changes_{granule}.tif"


def composite_file(year: int, granule: str) -> str:
    """A granule's true-colour composite of a year."""
    return f"composites/{year}/{granule}.tif"


def changes_name(number: int) -> str:
    """A number of changes in words."""
    return {0: "no change", 1: "1 change"}.get(number, f"{number} changes")


def changes_colour(number: int) -> tuple[int, int, int]:
    """Colour of a number of changes."""
    return _CHANGE_COLOURS[min(number, len(_CHANGE_COLOURS) - 1)]
