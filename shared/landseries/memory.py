"""How much memory this process has used."""

from __future__ import annotations

import resource
import sys


def peak_rss_mib() -> float:
    """The highest resident set size of this process so far, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)
