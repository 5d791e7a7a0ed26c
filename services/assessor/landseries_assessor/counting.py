"""Counts of a tile: integers only, so that a region's figures are exact sums over its tiles, in any order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from landseries.legend import NO_CLASS

ClassArray = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

#: Where figures are computed: the headline on blocks that no sample came from, and on everything.
PREDICTION_BLOCKS: Final = "prediction_blocks"
WHOLE_AREA: Final = "whole_area"
#: Verdicts on a pixel of the existing map, by their stored value.
VERDICTS: Final = ("none", "reliable", "uncertain", "rejected")


@dataclass(frozen=True)
class TileMaps:
    """What is compared on a tile; every array is (rows, columns) uint8 class ids, 0 where there is no class.

    Attributes:
        maps: model -> year -> map.
        truth: year -> true classes; a year without truth is absent.
        reference: the existing map; None where the tile has none.
        reference_year: the year that it shows.
        verdicts: (rows, columns) uint8 indices into `VERDICTS`; None where none was given.
    """

    maps: Mapping[str, Mapping[int, ClassArray]]
    reference_year: int
    truth: Mapping[int, ClassArray] = field(default_factory=dict)
    reference: ClassArray | None = None
    verdicts: npt.NDArray[np.uint8] | None = None


def pair_name(first: int, second: int) -> str:
    """Name of a year pair in counts, figures and tables, such as `2018-2019`."""
    return f"{first}-{second}"


def count_tile(tile: TileMaps, scopes: Mapping[str, Mask], ids: Sequence[int], years: Sequence[int]) -> dict[str, Any]:
    """Count a tile.

    Args:
        tile: the maps.
        scopes: name -> (rows, columns) True where the scope counts.
        ids: class ids in the legend's order; the axes of every table below.
        years: years of the run, ascending.

    Returns:
        A JSON object of integers. Under `scopes` each scope has `pixels`; `models` and `truth` with, by year or year
        pair, `mapped` (no-data first, then classes), `joint` [class before][class after], `changes` (pixels by
        number of changes), `flicker`, and for models `confusion` [truth][map] and `change`; and `reference` with
        `mapped`, `verdicts` [verdict][class] and `confusion` [verdict][class][truth] (None where there is no map).
    """
    position = _positions(ids)
    counts: dict[str, Any] = {
        "classes": list(ids),
        "years": list(years),
        "reference_year": tile.reference_year,
        "scopes": {},
    }
    size = len(ids) + 1
    for name, mask in scopes.items():
        truth = {year: position[classes[mask]] for year, classes in tile.truth.items()}
        models: dict[str, Any] = {}
        for model, maps in tile.maps.items():
            series = {year: position[maps[year][mask]] for year in years if year in maps}
            models[model] = _count_series(series, years, size)
            models[model]["confusion"] = {
                str(year): _joint(truth[year], values, size) for year, values in series.items() if year in truth
            }
            models[model]["change"] = _count_change(series, truth, years)
        counts["scopes"][name] = {
            "pixels": int(np.count_nonzero(mask)),
            "models": models,
            "truth": _count_series({year: truth[year] for year in years if year in truth}, years, size),
            "reference": _count_reference(tile, mask, position, truth.get(tile.reference_year), size),
        }
    return counts


def merge_counts(first: Any, second: Any) -> Any:
    """Sum of the counts of two tiles; what only one of them has is taken over.

    Raises:
        ValueError: they were counted with different classes or years.
    """
    for fixed in ("classes", "years", "reference_year"):
        if first[fixed] != second[fixed]:
            raise ValueError(f"counts of different {fixed} cannot be added: {first[fixed]} and {second[fixed]}")
    return {**first, "scopes": _add(first["scopes"], second["scopes"])}


def number_of_changes(maps: Sequence[ClassArray]) -> tuple[npt.NDArray[np.uint8], Mask]:
    """How often each pixel changes over the years that have a class there.

    Returns:
        The number of changes, uint8, and where at least two years have a class (elsewhere the number means nothing).
    """
    changes = np.zeros(maps[0].shape, dtype=np.uint8)
    last = np.zeros(maps[0].shape, dtype=np.uint8)
    seen = np.zeros(maps[0].shape, dtype=np.uint8)
    for classes in maps:
        here = classes != NO_CLASS
        changes += here & (last != NO_CLASS) & (classes != last)
        seen += here
        last = np.where(here, classes, last)
    return changes, seen >= 2


def _positions(ids: Sequence[int]) -> npt.NDArray[np.uint8]:
    """Class id -> 1 + its place in the legend; 0 for everything else."""
    table = np.zeros(256, dtype=np.uint8)
    table[list(ids)] = np.arange(1, len(ids) + 1, dtype=np.uint8)
    return table


def _count_series(series: Mapping[int, ClassArray], years: Sequence[int], size: int) -> dict[str, Any]:
    """Counts of one map series whose pixels are 0 (no-data) or 1 + the place of their class."""
    changes = [0] * len(years)
    if len(series) > 1:
        number, known = number_of_changes(list(series.values()))
        changes = np.bincount(number[known], minlength=len(years)).tolist()
    joint = {}
    for before, after in pairwise(years):
        if before in series and after in series:
            joint[pair_name(before, after)] = _joint(series[before], series[after], size)
    flicker = {}
    for first, middle, last in zip(years, years[1:], years[2:], strict=False):
        if all(year in series for year in (first, middle, last)):
            flicker[f"{first}-{middle}-{last}"] = _count_flicker(series[first], series[middle], series[last])
    mapped = {str(year): np.bincount(values, minlength=size).tolist() for year, values in series.items()}
    return {"mapped": mapped, "joint": joint, "changes": changes, "flicker": flicker}


def _joint(first: ClassArray, second: ClassArray, size: int) -> list[list[int]]:
    """Pixels by class in both, without those that have none in either."""
    table = np.bincount(first.astype(np.int64) * size + second, minlength=size * size).reshape(size, size)
    counts: list[list[int]] = table[1:, 1:].tolist()
    return counts


def _count_flicker(first: ClassArray, middle: ClassArray, last: ClassArray) -> dict[str, int]:
    known = (first != NO_CLASS) & (middle != NO_CLASS) & (last != NO_CLASS)
    flickering = known & (first == last) & (first != middle)
    return {"pixels": int(np.count_nonzero(known)), "flickering": int(np.count_nonzero(flickering))}


def _count_change(
    series: Mapping[int, ClassArray], truth: Mapping[int, ClassArray], years: Sequence[int]
) -> dict[str, dict[str, int]]:
    """True and mapped changes of each year pair, where map and truth have a class in both years."""
    found = {}
    for before, after in pairwise(years):
        if not all(year in series and year in truth for year in (before, after)):
            continue
        known = np.logical_and.reduce(
            [values[year] != NO_CLASS for values in (series, truth) for year in (before, after)]
        )
        mapped = known & (series[before] != series[after])
        true = known & (truth[before] != truth[after])
        right = mapped & true & (series[before] == truth[before]) & (series[after] == truth[after])
        found[pair_name(before, after)] = {
            "pixels": int(np.count_nonzero(known)),
            "true": int(np.count_nonzero(true)),
            "mapped": int(np.count_nonzero(mapped)),
            "both": int(np.count_nonzero(true & mapped)),
            "right_classes": int(np.count_nonzero(right)),
        }
    return found


def _count_reference(
    tile: TileMaps, mask: Mask, position: ClassArray, truth: ClassArray | None, size: int
) -> dict[str, Any] | None:
    """The existing map by class and verdict, and against the truth of its year."""
    if tile.reference is None:
        return None
    classes = position[tile.reference[mask]]
    # A tile on which no verdict was given keeps nothing of its map.
    verdicts = np.zeros_like(classes) if tile.verdicts is None else tile.verdicts[mask]
    by_verdict = np.bincount(verdicts.astype(np.int64) * size + classes, minlength=len(VERDICTS) * size)
    counts: dict[str, Any] = {
        "mapped": np.bincount(classes, minlength=size).tolist(),
        "verdicts": by_verdict.reshape(len(VERDICTS), size)[:, 1:].tolist(),
    }
    if truth is not None:
        counts["confusion"] = [
            _joint(classes[verdicts == verdict], truth[verdicts == verdict], size) for verdict in range(len(VERDICTS))
        ]
    return counts


def _add(first: Any, second: Any) -> Any:
    if first is None or second is None:
        return second if first is None else first
    if isinstance(first, dict):
        return {
            name: _add(first.get(name), second.get(name)) for name in [*first, *(n for n in second if n not in first)]
        }
    if isinstance(first, list):
        return [_add(one, other) for one, other in zip(first, second, strict=True)]
    return first + second
