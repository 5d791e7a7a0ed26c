"""An artificial Sentinel-2 archive with known truth.

`simulate` writes products the way an archive delivers them, an existing map that is generalised, outdated and partly
wrong, and the true class of every pixel in every year. It needs the extra `simulation` of landseries-shared.
"""

from landseries.simulation.archive import SimulatedArchive, simulate
from landseries.simulation.difficulty import Difficulty

__all__ = ["Difficulty", "SimulatedArchive", "simulate"]
