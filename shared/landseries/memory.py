"""How much memory this process has used, and how much it may."""

from __future__ import annotations

import resource
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_STATUS: Final = Path("/proc/self/status")
#: Where the kernel tells a container its limit: of version 2 and 1 of control groups.
_LIMITS: Final = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
#: Version 1 writes a huge number for none.
_NO_LIMIT: Final = 1 << 60


def peak_rss_mib() -> float:
    """The highest resident set size of this process so far, in MiB.

    On Linux the kernel's own figure: `ru_maxrss` of a new program begins at the peak of the process that started it.
    """
    try:
        with _STATUS.open(encoding="ascii", errors="replace") as lines:
            for line in lines:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) / 1024
    except (OSError, ValueError, IndexError):
        pass  # no Linux, or a kernel that does not tell
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)


def memory_limit_bytes(files: Sequence[Path] = _LIMITS) -> int:
    """The limit beyond which the kernel ends a process of this container; 0 where there is none, or none is told."""
    for file in files:
        try:
            limit = int(file.read_text(encoding="ascii"))
        except (OSError, ValueError):
            continue  # not there, or `max`
        if 0 < limit < _NO_LIMIT:
            return limit
    return 0
