"""How much memory this process has used."""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from typing import Final

_STATUS: Final = Path("/proc/self/status")


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
