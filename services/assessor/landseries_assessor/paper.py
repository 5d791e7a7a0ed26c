"""The paper's own table, shown beside ours as orientation: another area, other years, and a measure it does not define.

Agreement of consecutive annual maps in Trentino, from Sedona, Paris, Tian, Riedel and Cavallaro, "An automatic approach
for the production of a time series of consistent land-cover maps based on long-short term memory", IGARSS 2022.
"""

from __future__ import annotations

from typing import Final

CITATION: Final = "Sedona, Paris, Tian, Riedel, Cavallaro, IGARSS 2022; Trentino, 2018–2020"
PAIRS: Final = ("2018-2019", "2019-2020")

#: Class -> multi-year of both pairs, then single-year of both pairs.
_ROWS: Final[dict[str, tuple[float, float, float, float]]] = {
    "Artificial": (0.89, 0.68, 0.93, 0.62),
    "Grass": (0.69, 0.60, 0.61, 0.42),
    "Crops": (0.76, 0.81, 0.65, 0.85),
    "Mineral": (0.33, 0.51, 0.34, 0.43),
    "Rocks": (0.43, 0.46, 0.45, 0.43),
    "Sand": (0.14, 0.31, 0.05, 0.16),
    "Broadleaves": (0.85, 0.87, 0.79, 0.84),
    "Conifers": (0.81, 0.78, 0.79, 0.77),
    "Shrubland": (0.64, 0.66, 0.63, 0.62),
    "Water": (0.97, 0.98, 0.98, 0.95),
    "Overall": (0.78, 0.78, 0.74, 0.74),
}
_MODELS: Final = ("multi-year", "single-year")


def paper_figure(name: str, model: str, pair_index: int) -> float | None:
    """The paper's figure of a class (or `Overall`), by the place of the year pair; None where it gives none."""
    if name not in _ROWS or model not in _MODELS or pair_index >= len(PAIRS):
        return None
    return _ROWS[name][2 * _MODELS.index(model) + pair_index]
