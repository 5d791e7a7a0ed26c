"""Many small reads side by side: a region has hundreds of thousands of tiles, and each read mostly waits."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

#: Reads at a time; a store's client has twice as many connections.
READERS: Final = 8
#: Results that may wait to be taken.
_AHEAD: Final = 8 * READERS

Item = TypeVar("Item")
Read = TypeVar("Read")


def in_parallel(read: Callable[[Item], Read], items: Iterable[Item]) -> Iterator[Read]:
    """What is read of each item, in the order of the items; a few dozen are in memory at a time."""
    left = iter(items)
    with ThreadPoolExecutor(READERS) as pool:
        while batch := list(itertools.islice(left, _AHEAD)):
            yield from pool.map(read, batch)
