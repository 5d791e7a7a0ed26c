"""One small archive that the tests of the writer share, and the history of one landscape."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from landseries.simulation import SimulatedArchive, simulate
from landseries.simulation.changes import History
from landseries.simulation.landscape import build_landscape

SEED = 5
YEARS = (2018, 2019)
PER_YEAR = 2


@pytest.fixture(scope="session")
def make_archive() -> Callable[..., SimulatedArchive]:
    """Writes a small archive; keywords override the defaults."""

    def make(folder: Path, **changed: object) -> SimulatedArchive:
        settings = {"seed": SEED, "size_px": 256, "years": YEARS, "acquisitions_per_year": PER_YEAR} | changed
        return simulate(folder, **settings)  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="session")
def archive(
    tmp_path_factory: pytest.TempPathFactory, make_archive: Callable[..., SimulatedArchive]
) -> SimulatedArchive:
    """256 pixels, two years, two datatakes each; not to be written to."""
    return make_archive(tmp_path_factory.mktemp("simulation") / "archive")


@pytest.fixture(scope="session")
def history() -> History:
    """Eight years of a landscape of 256 pixels."""
    return History(build_landscape(256, SEED), 2023, SEED)
