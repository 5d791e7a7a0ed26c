"""Whose data a product is made from: the notices that its licences ask for, in files, catalogue and report alike."""

from __future__ import annotations

from collections.abc import Sequence

from landseries.legend import Legend


def attributions(years: Sequence[int], legend: Legend) -> list[str]:
    """Whose data the maps are made from; the notice that Copernicus asks for, and the existing map's own."""
    return [imagery_notice(years), *([legend.attribution] if legend.attribution else [])]


def imagery_notice(years: Sequence[int]) -> str:
    """The notice that Copernicus asks of whatever is made from Sentinel data."""
    seen = ", ".join(map(str, years))
    return f"Contains modified Copernicus Sentinel data {seen}"
