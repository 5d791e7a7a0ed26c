"""Runs the fetcher's stages over one tile of the tiny archive, whatever source its products come from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from landseries.config import LoadedConfig, parse_config
from landseries.legend import load_legend
from landseries.numerics import NumericsProfile
from landseries.pipeline import Unit
from landseries.plan import make_plan
from landseries_fetcher.describing import describe

from .catalogue_run import area, write_map
from .harness import Bench

#: The archive's only search.
SEARCH: Final = Unit("search", ("32TQS", "2018"))
#: And what compares its acquisitions.
HARMONY: Final = Unit("harmony", ("32TQS",))


def archive_bench(
    folder: Path, name: str, source: dict[str, Any], *, years: Sequence[int] = (2018,), **harmony: Any
) -> Bench:
    """A bench over a source; its configuration and an existing map lie in a folder, what it writes in `name` there.

    Args:
        folder: of the configuration and the map.
        name: of the folder for what is written.
        source: as in a configuration.
        years: of the run; the training year is 2018.
        harmony: settings of the harmony stage.
    """
    write_map(folder / "map.tif")
    content = {
        "name": "test",
        "area": {"bbox": [0, 0, 1, 1]},
        "years": list(years),
        "source": source,
        "reference": {"path": "map.tif", "year": 2018},
        "grid": {"tile_size_px": 32},
        "fetcher": {"harmony": harmony},
    }
    loaded = LoadedConfig(
        path=folder / "config.yaml",
        run=parse_config(content, "config.yaml"),
        legend=load_legend("corine"),
        area=area(),
    )
    return Bench(make_plan(loaded, describe(loaded), NumericsProfile()), folder / name)
