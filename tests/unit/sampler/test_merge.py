"""What the region takes through tallies, quotas and bounds is what choosing among all tiles' pixels at once takes."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from landseries.grid import Part
from landseries_sampler.merge import PIXEL, taken_of
from landseries_sampler.quotas import equal_quotas
from landseries_sampler.strata import AGREEING, SAMPLED_PARTS, Drawn, draw
from landseries_sampler.tallies import (
    Group,
    TileTally,
    histograms_of,
    read_quotas,
    read_tally,
    share_out,
)

HIGHEST = 2**64 - 1
#: Part, class (0: outside the stratum) and priority of a pixel; few different priorities, so that many are equal.
PIXELS = st.tuples(
    st.sampled_from([0, 1, 1, 1, 2, 3]), st.integers(0, 4), st.one_of(st.integers(0, 30), st.integers(0, HIGHEST))
)
#: Each tile's pixels, and a class that it alone has.
TILES = st.lists(
    st.tuples(st.lists(PIXELS, max_size=40), st.one_of(st.none(), st.integers(5, 7))), min_size=1, max_size=5
)
#: A place in the sample: tile and position there.
Place = tuple[int, int]
Pixels = list[tuple[int, int, int]]


def _drawn(pixels: Pixels, cap: int) -> Drawn:
    part, classes, priority = ([one[field] for one in pixels] for field in range(3))
    return draw(
        np.array([classes], dtype=np.uint8).reshape(1, -1),
        np.array([part], dtype=np.uint8).reshape(1, -1),
        np.array([priority], dtype=np.uint64).reshape(1, -1),
        cap,
    )


def _straight(tiles: Sequence[Pixels], totals: dict[Part, int], cap: int) -> dict[tuple[Part, int], list[Place]]:
    """The region's sample chosen among all pixels: by part and class, the places in order of priority."""
    candidates: dict[tuple[Part, int], list[tuple[int, int, int]]] = {}
    for tile, pixels in enumerate(tiles):
        own: dict[tuple[Part, int], list[tuple[int, int, int]]] = {}
        for position, (part, class_id, priority) in enumerate(pixels):
            if class_id and part in SAMPLED_PARTS:
                own.setdefault((Part(part), class_id), []).append((priority, tile, position))
        for group, found in own.items():
            candidates.setdefault(group, []).extend(sorted(found)[:cap])
    taken = {}
    for part, total in totals.items():
        available = {class_id: len(found) for (of, class_id), found in candidates.items() if of is part}
        for class_id, quota in equal_quotas(available, total).items():
            chosen = sorted(candidates[part, class_id])[:quota]
            taken[part, class_id] = [(tile, position) for _, tile, position in chosen]
    return taken


def _through_tables(
    tiles: Sequence[Pixels], totals: dict[Part, int], cap: int, folder: Path
) -> dict[tuple[Part, int], list[Place]]:
    """The same through the tables that the stages write."""
    every = [_drawn(pixels, cap) for pixels in tiles]
    for number, drawn in enumerate(every):
        TileTally("EPSG:32632", (2018,), {}, histograms_of(AGREEING, drawn)).write(folder / f"{number}.json")
    tallies = [read_tally(folder / f"{number}.json") for number in range(len(tiles))]
    share_out(tallies, totals).write(folder / "quotas.json")
    quotas = read_quotas(folder / "quotas.json")
    pixels, places = [np.empty(0, dtype=PIXEL)], []
    for number, drawn in enumerate(every):
        given = drawn.up_to(quotas.last_bins(AGREEING))
        assert (len(given) > 0) == (AGREEING in quotas.strata_within(tallies[number]))
        of_tile = np.empty(len(given), dtype=PIXEL)
        of_tile["part"], of_tile["class"], of_tile["priority"] = given.part, given.classes, given.priority
        pixels.append(of_tile)
        places += [(number, int(column)) for column in given.column]
    merged = np.concatenate(pixels)
    taken: dict[tuple[Part, int], list[Place]] = {
        (group.part, group.class_id): [] for group in quotas.groups if group.stratum == AGREEING
    }
    for position in taken_of(merged, quotas.quotas(AGREEING)):
        taken[Part(int(merged["part"][position])), int(merged["class"][position])].append(places[position])
    return taken


@given(TILES, st.integers(1, 60), st.integers(1, 30), st.integers(1, 12))
def test_the_region_takes_what_choosing_among_all_pixels_takes(
    found: list[tuple[Pixels, int | None]], training: int, validation: int, cap: int
) -> None:
    tiles = [
        [(part, class_id if own is None or class_id != 4 else own, priority) for part, class_id, priority in pixels]
        for pixels, own in found
    ]
    totals = {Part.TRAINING: training, Part.VALIDATION: validation}
    with tempfile.TemporaryDirectory() as folder:
        assert _through_tables(tiles, totals, cap, Path(folder)) == _straight(tiles, totals, cap)


@given(st.lists(PIXELS, min_size=1, max_size=80), st.integers(1, 4), st.integers(1, 60), st.integers(1, 30))
def test_cutting_into_tiles_changes_nothing(pixels: Pixels, tiles: int, training: int, validation: int) -> None:
    pixels = list({priority: (part, class_id, priority) for part, class_id, priority in pixels}.values())
    totals = {Part.TRAINING: training, Part.VALIDATION: validation}
    with tempfile.TemporaryDirectory() as folder:
        whole = _through_tables([pixels], totals, 100, Path(folder))
        cut = _through_tables([pixels[tile::tiles] for tile in range(tiles)], totals, 100, Path(folder))
    places = {group: [(0, position * tiles + tile) for tile, position in found] for group, found in cut.items()}
    assert places == whole
    for part, total in totals.items():
        there = sum(of == part and class_id > 0 for of, class_id, _ in pixels)
        assert sum(len(found) for (of, _), found in whole.items() if of is part) == min(total, there)


def test_nothing_gives_an_empty_sample() -> None:
    assert len(taken_of(np.empty(0, dtype=PIXEL), share_out([], {}).quotas(AGREEING))) == 0


def test_strata_are_shared_out_apart() -> None:
    pixels: Pixels = [(1, 1, 5), (1, 2, 6), (1, 2, 7), (2, 1, 8)]
    drawn = _drawn(pixels, 10)
    histograms = histograms_of(AGREEING, drawn) | histograms_of("2018", _drawn(pixels[1:], 10))
    tally = TileTally("EPSG:32632", (2018,), {"training": 3, "validation": 1, "prediction": 0}, histograms)
    quotas = share_out([tally, tally], {Part.TRAINING: 4, Part.VALIDATION: 1})
    assert quotas.available(AGREEING, Part.TRAINING) == {1: 2, 2: 4}
    assert quotas.available("2018", Part.TRAINING) == {2: 4}
    assert quotas.groups[Group(AGREEING, Part.TRAINING, 2)].quota == 2
    assert quotas.groups[Group("2018", Part.TRAINING, 2)].quota == 4
    assert quotas.pixels == {"training": 6, "validation": 2, "prediction": 0}
    assert (quotas.crs, quotas.years) == (("EPSG:32632",), (2018,))
