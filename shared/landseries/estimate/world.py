"""A run that has not been planned, as the pipeline table sees it: granules, tiles in bundles, and assumed choices.

The tiles of a granule differ in nothing that an estimate knows. They are bundled, so that a continent has some thousand
bundles and not half a million tiles; a bundle's units are still worked on one by one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from landseries.config import RunConfig
from landseries.estimate.rates import Assumptions
from landseries.extent import Extent

#: Kilometres of a granule's side that its own tiles cover, and of a pixel.
_GRANULE_KM: Final = 100.0
_PIXEL_KM: Final = 0.01
#: A region's tiles draw so many times the sample at most: bins of priorities are an eighth of their place wide.
_DRAWN: Final = 9 / 8
#: About so many bundles are made of an area's tiles; an area of fewer tiles has one tile a bundle.
_BUNDLES: Final = 6000


@dataclass(frozen=True)
class World:
    """An area, as an estimate sees it.

    Attributes:
        extent: the run's granules, bundles in place of tiles, years and models.
        tiles_in: number of tiles of each bundle.
        mpx: megapixels of a tile.
        found: acquisitions that a source holds for a granule and a year.
        views: acquisitions that each tile chooses of a year.
        taken: acquisitions that are fetched for a granule and a year.
        samples: annual series of the region's sample.
        epochs: how often networks see them, at most.
    """

    extent: Extent
    tiles_in: Mapping[str, int]
    mpx: float
    found: int
    views: int
    taken: int
    samples: int
    epochs: int

    @property
    def tiles(self) -> int:
        """Number of tiles."""
        return sum(self.tiles_in.values())

    @property
    def opened_share(self) -> float:
        """See the function of this name."""
        return opened_share(self.samples, self.tiles * len(self.extent.years))

    def chosen(self, granule: str, year: str) -> Mapping[str, Sequence[str]]:
        """See `landseries.pipeline.Choices`: neighbouring bundles choose mostly the same acquisitions."""
        names = [f"a{number:03d}" for number in range(self.taken)]
        return {
            bundle: [names[(place + k) % self.taken] for k in range(self.views)]
            for place, bundle in enumerate(self.extent.tiles_of[granule])
        }


def tile_km2(tile_size_px: int) -> float:
    """Area of a processing tile in square kilometres."""
    return (tile_size_px * _PIXEL_KM) ** 2


def sampled_series(run: RunConfig) -> int:
    """Annual series that a run's samples ask for: of agreeing pixels every year's, and each year's own."""
    wanted = run.sampler.dataset
    return 2 * len(run.years) * (wanted.training_samples + wanted.validation_samples)


def opened_share(samples: int, tile_years: int) -> float:
    """Share of the tiles and years whose series are opened at most, to draw so many samples."""
    return min(1.0, _DRAWN * samples / tile_years)


def make_world(
    tiles: int,
    *,
    tile_size_px: int,
    years: Sequence[int],
    training_year: int,
    models: Sequence[str],
    chosen_per_tile: int,
    samples: int,
    epochs: int,
    assumptions: Assumptions,
    granules: int | None = None,
    bundles: int = _BUNDLES,
) -> World:
    """An area of so many tiles.

    Args:
        tiles: processing tiles.
        tile_size_px: their side in pixels of 10 m.
        years, training_year, models: of the run.
        chosen_per_tile: acquisitions that a tile chooses of a year, where the assumptions do not say.
        samples: annual series of the region's sample.
        epochs: how often networks see them, at most.
        assumptions: how many acquisitions there are.
        granules: granules that the tiles lie in; default as many as so many tiles fill.
        bundles: about how many bundles to make.
    """
    per_granule = max(1, round(_GRANULE_KM**2 / tile_km2(tile_size_px)))
    count = min(tiles, granules or math.ceil(tiles / per_granule))
    size = max(1, math.ceil(tiles / bundles))
    granule_of: dict[str, str] = {}
    tiles_in: dict[str, int] = {}
    for granule in range(count):
        own = tiles // count + (granule < tiles % count)
        for bundle, start in enumerate(range(0, own, size)):
            name = f"g{granule:05d}-t{bundle:05d}"
            granule_of[name] = f"g{granule:05d}"
            tiles_in[name] = min(size, own - start)
    extent = Extent(granule_of, tuple(map(str, years)), str(training_year), tuple(models))
    found = assumptions.found_per_year
    views = min(assumptions.chosen_per_tile or chosen_per_tile, found)
    taken = min(found, math.ceil(views * assumptions.taken_per_chosen))
    return World(extent, tiles_in, tile_size_px**2 / 1e6, found, views, taken, samples, epochs)
