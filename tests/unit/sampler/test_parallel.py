"""Many small reads side by side."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from landseries_sampler.parallel import READERS, in_parallel


def test_reads_are_side_by_side_and_come_in_order() -> None:
    together = threading.Barrier(READERS, timeout=20)

    def read(number: int) -> int:
        together.wait()  # passes only where so many are read at a time
        return number * number

    assert list(in_parallel(read, range(10 * READERS))) == [number * number for number in range(10 * READERS)]


def test_no_more_is_read_ahead_than_is_bounded() -> None:
    asked: list[int] = []

    def endless() -> Iterator[int]:
        for number in range(10**9):
            asked.append(number)
            yield number

    results = in_parallel(lambda number: number, endless())
    assert next(results) == 0
    assert len(asked) == 8 * READERS
    results.close()  # type: ignore[attr-defined]


def test_an_error_ends_it() -> None:
    def read(number: int) -> float:
        return 1 / (5 - number)

    found = in_parallel(read, range(100))
    assert [next(found) for _ in range(5)] == [1 / 5, 1 / 4, 1 / 3, 1 / 2, 1]
    with pytest.raises(ZeroDivisionError):
        next(found)
