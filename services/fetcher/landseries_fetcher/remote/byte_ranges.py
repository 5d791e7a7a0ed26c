"""Arithmetic on ranges of bytes: half-open pairs (start, stop) of offsets in one object."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import pairwise

ByteRange = tuple[int, int]


def merged(ranges: Iterable[ByteRange]) -> list[ByteRange]:
    """The same bytes as ascending ranges that neither overlap nor touch; empty ranges vanish."""
    found: list[ByteRange] = []
    for start, stop in sorted(ranges):
        if start >= stop:
            continue
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], stop))
        else:
            found.append((start, stop))
    return found


def missing(wanted: Iterable[ByteRange], present: Sequence[ByteRange]) -> list[ByteRange]:
    """The parts of some ranges that others do not cover.

    Args:
        wanted: any ranges.
        present: as `merged` returns them.

    Returns:
        As `merged` returns them.
    """
    starts = [start for start, _ in present]
    found: list[ByteRange] = []
    for start, stop in merged(wanted):
        index = max(bisect_right(starts, start) - 1, 0)
        while start < stop and index < len(present):
            covered_from, covered_to = present[index]
            if covered_from >= stop:
                break
            if covered_from > start:
                found.append((start, covered_from))
            start = max(start, covered_to)
            index += 1
        if start < stop:
            found.append((start, stop))
    return found


def total(ranges: Iterable[ByteRange]) -> int:
    """Number of bytes in ranges that do not overlap."""
    return sum(stop - start for start, stop in ranges)


def joined(
    ranges: Sequence[ByteRange], present: Sequence[ByteRange], gap_bytes: int, waste_share: float
) -> list[ByteRange]:
    """Join ranges that lie near each other, because a request costs more than a few bytes.

    The smallest gaps go first, so that the same bytes of waste save the most requests; a gap in which something is
    present already stays, so that nothing is fetched twice.

    Args:
        ranges: as `merged` returns them.
        present: what is there already, as `merged` returns it.
        gap_bytes: the widest gap that may be joined.
        waste_share: how much the gaps may add up to, as a share of the bytes in the ranges.

    Returns:
        As `merged` returns them.
    """
    left_bytes = int(total(ranges) * waste_share)
    gaps = sorted((after[0] - before[1], index) for index, (before, after) in enumerate(pairwise(ranges)))
    filled: list[ByteRange] = []
    for gap, index in gaps:
        if gap > gap_bytes or gap > left_bytes:
            break
        hole = (ranges[index][1], ranges[index + 1][0])
        if missing([hole], present) == [hole]:
            filled.append(hole)
            left_bytes -= gap
    return merged([*ranges, *filled])
