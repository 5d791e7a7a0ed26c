"""What readers of remote objects have in common: a head that is asked for once, and ranges that outlast faults."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

from landseries_fetcher.remote.byte_ranges import ByteRange
from landseries_fetcher.remote.persistence import Persistence
from landseries_fetcher.remote.reader import Gate, Identity, OpenGate, within


class PersistentRanges(ABC):
    """See `RangeReader`; whoever inherits says how the head and a range are asked for once."""

    def __init__(self, name: str, gate: Gate | None, persistence: Persistence | None, known: Identity | None) -> None:
        """Ask for the first bytes, and learn size and tag, unless they are known.

        Args:
            name: see `RangeReader.name`.
            gate: the server's limits.
            persistence: how long faults are borne.
            known: what an earlier reader learnt of the same object; then nothing is asked for now.

        Raises:
            RemoteError: see `RangeReader.read`.
        """
        self.name = name
        self.identity = known or Identity(0, "")
        self._gate = gate or OpenGate()
        self._persistence = persistence or Persistence()
        self._head = b""
        if known is None:
            self._persistence.call(self._begin, name)

    def read(self, ranges: Sequence[ByteRange]) -> Iterator[tuple[int, bytes]]:
        """See `RangeReader.read`."""
        for start, stop in within(ranges, self.identity.size, self.name):
            known = self._head[start:stop]
            if known:
                yield start, known
            yield from self._persistence.deliver(self._ask, start + len(known), stop, self._gate, self.name)

    @abstractmethod
    def _begin(self) -> None:
        """Pass the gate, ask for the first bytes, and set `identity` and `_head`.

        Raises:
            Interrupted: another try may help.
        """

    @abstractmethod
    def _ask(self, start: int, stop: int) -> Iterator[bytes]:
        """See `persistence.Attempt`; the gate is passed."""
