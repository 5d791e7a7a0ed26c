"""Fuzzing of what comes from outside: `python -m tests.fuzz --minutes 10`.

Zip archives, metadata, image headers and catalogue items are damaged and distorted at random; each must be refused in
our own words or read soundly, in bounded time and memory. Real files are damaged too where LANDSERIES_TEST_DATA names
them. It prints a line per reader, and ends with status 1 where something was found; the cases found are kept.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.fuzz.targets import Target, targets

_SLOW_S: Final = 10.0
_MEMORY_BYTES: Final = 4 << 30
_ROUND: Final = 50
_FOUND_MAX: Final = 20


@dataclass
class Tally:
    """What became of the cases of one reader; `found` holds what is wrong by its kind, with one case each."""

    count: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0
    found: dict[str, bytes] = field(default_factory=dict)


def main(arguments: Sequence[str] | None = None) -> int:
    """Fuzz for a while; returns the exit status."""
    given = _parser().parse_args(arguments)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, resource.RLIM_INFINITY))
    named = os.environ.get("LANDSERIES_TEST_DATA")
    deadline = time.monotonic() + 60 * given.minutes
    with tempfile.TemporaryDirectory(prefix="landseries-fuzz-") as folder:
        readers = targets(Path(folder), Path(named) if named else None)
        tallies = {reader.name: Tally() for reader in readers}
        number = 0
        while time.monotonic() < deadline:
            for reader in readers:
                for case in range(number, number + _ROUND):
                    fuzz_once(reader, f"{given.seed}-{case}", tallies[reader.name])
            number += _ROUND
    return _report(tallies, given.keep)


def fuzz_once(reader: Target, seed: str, tally: Tally) -> None:
    """Make one case from a seed, read it, and count what became of it."""
    content = reader.make(random.Random(f"{reader.name}-{seed}"))
    folder = Path(tempfile.mkdtemp(prefix="landseries-case-"))
    began = time.process_time()
    try:
        tally.count["read" if reader.read(content, folder) else "refused"] += 1
    except Exception as error:
        kind = f"{type(error).__name__}: {error}"[:200]
        if len(tally.found) < _FOUND_MAX:
            tally.found.setdefault(kind, content)
        tally.count["wrong"] += 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    took_s = time.process_time() - began
    tally.slowest_s = max(tally.slowest_s, took_s)
    if took_s > _SLOW_S:
        tally.count["wrong"] += 1
        tally.found.setdefault(f"took {took_s:.0f} s", content)


def _report(tallies: dict[str, Tally], keep: Path) -> int:
    for name, tally in tallies.items():
        count = tally.count
        print(
            f"{name}: {count.total()} cases, {count['refused']} refused, {count['read']} read, {count['wrong']} wrong; "
            f"the slowest took {1000 * tally.slowest_s:.0f} ms"
        )
        for number, (kind, content) in enumerate(tally.found.items()):
            keep.mkdir(parents=True, exist_ok=True)
            case = keep / f"{name.replace(' ', '-')}-{number}"
            case.write_bytes(content)
            print(f"  {kind} ({case})")
    return 1 if any(tally.found for tally in tallies.values()) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1, help="other cases for each")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-found"), help="folder of the cases that were found")
    return parser


if __name__ == "__main__":
    sys.exit(main())
