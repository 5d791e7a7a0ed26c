"""Simulated products as a test wants them: datatakes of its own making, and the fetcher's stages run over them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from landseries.artifacts.documents import read_json
from landseries.artifacts.rasters import read_raster
from landseries.bands import BANDS
from landseries.config import LoadedConfig, parse_config
from landseries.errors import Refused
from landseries.legend import load_legend
from landseries.numerics import NumericsProfile
from landseries.pipeline import HARMONY, Unit
from landseries.plan import SourceDescription, make_plan
from landseries.simulation.geometry import Geometry
from landseries.simulation.orbits import Datatake, Processing
from landseries.simulation.safe import products_of, write_product
from landseries.simulation.sensor import Image
from landseries_fetcher.handlers import fetch, harmony, search

from .harness import Bench

GRANULE = "32TQS"
SIZE_PX = 256


def write_datatake(folder: Path, datatake: Datatake, image: Image) -> list[Path]:
    """Write the products of a datatake, of one granule."""
    geometry = Geometry(SIZE_PX)
    products = [product for product in products_of(datatake, geometry) if product.window.granule == GRANULE]
    return [write_product(folder, product, image, geometry) for product in products]


def as_of(datatake: Datatake, years_later: int, *baselines: str) -> Datatake:
    """A datatake in one piece, the same day of a later year, as other baselines have it; the first is made first."""
    start = datatake.start.replace(year=datatake.start.year + years_later)
    made = [Processing(baseline, start + timedelta(days=400 + place)) for place, baseline in enumerate(baselines)]
    return replace(datatake, start=start, datastrips=(start + timedelta(seconds=4),), processings=tuple(made))


class Fetched:
    """The fetcher's stages over a folder of products: what was found, and the images of the fetched acquisitions."""

    def __init__(
        self, products: Path, years: Sequence[int], folder: Path, *, threads: int = 2, **settings: Any
    ) -> None:
        """Search, compare and fetch; an acquisition that is refused is left out.

        Args:
            products: folder of the products.
            years: years of the run.
            folder: where the stages write.
            threads: of each stage.
            settings: of the harmony stage.
        """
        self._bench = Bench(_plan(products, years, folder, settings), folder, threads=threads)
        searches: dict[Unit, Any] = {}
        for year in years:
            unit = Unit("search", (GRANULE, str(year)))
            searches[unit] = self._bench.run(search, unit)
        compared = Unit("harmony", (GRANULE,))
        decided = self._bench.run(harmony, compared, searches)
        self.table: dict[str, Any] = read_json(decided[HARMONY])
        self.decisions = {name: path.read_bytes() for name, path in decided.items() if name != HARMONY}
        self.refused: dict[str, str] = {}
        self._files: dict[str, Mapping[str, Path]] = {}
        for unit, searched in searches.items():
            for name in sorted({path.stem for path in searched.values()} - {"chosen", "search"}):
                fetching = Unit("fetch", (*unit.key, name))
                try:
                    self._files[name] = self._bench.run(fetch, fetching, {unit: searched, compared: decided})
                except Refused as refused:
                    self.refused[name] = str(refused)

    @property
    def acquisitions(self) -> list[str]:
        """Those that were fetched."""
        return sorted(self._files)

    def image(self, acquisition: str) -> npt.NDArray[np.int16]:
        """(ten bands and the clear mask, rows, columns) of the whole scene; no clear view where no tile has it."""
        left, _, _, top = Geometry(SIZE_PX).bounds_m
        scene = np.zeros((len(BANDS) + 1, SIZE_PX, SIZE_PX), dtype=np.int16)
        for name, path in self._files[acquisition].items():
            tile = self._bench.tile(name.removesuffix(".tif"))
            row, column = round((top - tile.top) / 10), round((tile.left - left) / 10)
            scene[:, row : row + tile.height, column : column + tile.width] = read_raster(path, tile)
        return scene

    def images(self) -> Iterator[tuple[str, npt.NDArray[np.int16]]]:
        """Each acquisition that was fetched and its image."""
        for name in self.acquisitions:
            yield name, self.image(name)


def _plan(products: Path, years: Sequence[int], folder: Path, settings: Mapping[str, Any]) -> Any:
    geometry = Geometry(SIZE_PX).area()["features"][0]["geometry"]
    content = {
        "name": "test",
        "area": {"bbox": [0, 0, 1, 1]},
        "years": list(years),
        "source": {"kind": "safe", "path": str(products)},
        "reference": {"path": "map.tif", "year": years[0]},
        "grid": {"tile_size_px": 128},
        "fetcher": {"search": {"per_year": 60}, "harmony": dict(settings)},
    }
    loaded = LoadedConfig(
        path=folder / "config.yaml",
        run=parse_config(content, "config.yaml"),
        legend=load_legend("corine"),
        area=shapely.geometry.shape(geometry),
    )
    return make_plan(loaded, SourceDescription(granules=(GRANULE,), features=BANDS), NumericsProfile())
