"""The models of a run, and which of a model's networks reads which year."""

from __future__ import annotations

from typing import Final

MULTI_YEAR: Final = "multi-year"
SINGLE_YEAR: Final = "single-year"
SINGLE_YEAR_AGREEING: Final = "single-year-agreeing"
MULTI_YEAR_EQUAL: Final = "multi-year-equal"

#: Models that are one network over all years; the others are one network per year.
POOLED_MODELS: Final = (MULTI_YEAR, MULTI_YEAR_EQUAL)
#: Name of the one network of such a model.
POOLED_NETWORK: Final = "all"


def network_of(model: str, year: int | str) -> str:
    """Name of the network of a model that is trained on a year and maps it: `all`, or the year."""
    return POOLED_NETWORK if model in POOLED_MODELS else str(year)
