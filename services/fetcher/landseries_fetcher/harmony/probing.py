"""What is looked at of an acquisition to compare it with others: a few probe tiles of its granule, read once.

A probe lies in a file, so that memory does not grow with the number of acquisitions, and so that a unit that was
interrupted does not read again what it has read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from landseries.artifacts.documents import canonical_json, digest_of
from landseries.bands import BANDS, NODATA, REFLECTANCE_SCALE
from landseries.grid import Tile
from landseries.settings.fetcher import FetchSettings
from landseries_fetcher.harmony.dark_targets import DarkTargets, excess, find_dark_targets
from landseries_fetcher.harmony.levels import LEVEL_BANDS
from landseries_fetcher.reading import Chunk, bounding
from landseries_fetcher.sources.base import Acquisition, Image, ImagerySource

#: Bands whose edges are compared.
EDGE_BANDS: Final = ("B04", "B08")
#: Places at which levels are compared, about so many over all probe tiles.
_SAMPLES: Final = 3_000
#: A probe tile is seen at least this often, of how often the tile is that is seen most; where there are enough.
_SEEN_MIN: Final = 0.8
#: Snow: normalised difference of B03 and B11, and reflectance in B03 (Hall, Riggs and Salomonson 1995, for MODIS).
_SNOW_INDEX: Final = 0.4
_SNOW_GREEN: Final = 0.1
#: With a larger share of snow, vegetation is not known to be dark.
_SNOWY: Final = 0.2
_UNFINISHED: Final = ".partial"

BoolArray = npt.NDArray[np.bool_]
EdgeImage = tuple[npt.NDArray[np.int16], BoolArray]


@dataclass(frozen=True)
class Probe:
    """What the probe tiles show of an acquisition.

    Attributes:
        file: where its images lie, see `edge_images`.
        sample: (band, pixel) int16 reflectance x 10,000 of `LEVEL_BANDS`, -32768 where the view is not clear,
            or snow.
        known_dark: see `landseries_fetcher.harmony.dark_targets.excess`; NaN where there is no such ground.
        clear_share: share of the pixels that are clear views.
        snow_share: share of the clear views that are snow.
        products: how the numbers of each product were made, as in the tags of an image.
    """

    file: Path
    sample: npt.NDArray[np.int16]
    known_dark: float
    clear_share: float
    snow_share: float
    products: Mapping[str, Any]

    def edge_images(self) -> list[EdgeImage]:
        """Per block of tiles, (2, rows, columns) int16 of `EDGE_BANDS` and (rows, columns) clear views; read anew."""
        with np.load(self.file, allow_pickle=False) as arrays:
            count = sum(name.startswith("clear_") for name in arrays.files)
            return [(arrays[f"edges_{number}"], arrays[f"clear_{number}"]) for number in range(count)]


def choose_probe_tiles(tiles: Sequence[Tile], seen: Mapping[str, float], at_most: int) -> list[Tile]:
    """Tiles that acquisitions see clearly most often, far from each other.

    Args:
        tiles: tiles of a granule.
        seen: tile -> sum of the clear shares of the acquisitions that matter.
        at_most: how many to choose at most.
    """
    ordered = sorted(tiles, key=lambda tile: (-seen.get(tile.id, 0.0), tile.id))
    least = _SEEN_MIN * seen.get(ordered[0].id, 0.0) if ordered else 0.0
    fit = [tile for place, tile in enumerate(ordered) if place < at_most or seen.get(tile.id, 0.0) >= least]
    chosen = fit[:1]
    while fit and len(chosen) < min(at_most, len(fit)):
        # Of equally far ones the first is taken, which is the one seen most.
        chosen.append(max(fit, key=lambda tile: min(_distance_m(tile, other) for other in chosen)))
    return sorted(chosen, key=lambda tile: tile.id)


def blocks(tiles: Sequence[Tile]) -> list[list[Tile]]:
    """Tiles in groups of those that touch each other, so that edges are compared across their borders."""
    found: list[list[Tile]] = []
    for tile in tiles:
        touching = [block for block in found if any(_touch(tile, other) for other in block)]
        found = [block for block in found if block not in touching]
        found.append([*(member for block in touching for member in block), tile])
    return found


class Prober:
    """Reads probes of the acquisitions of one granule into a folder."""

    def __init__(
        self, source: ImagerySource, tiles: Sequence[Tile], masking: FetchSettings, folder: Path, threads: int
    ) -> None:
        """Remember where to read and write.

        Args:
            source: a source of Level-2A products.
            tiles: the probe tiles.
            masking: how clear views are told.
            folder: where probes are kept.
            threads: images that are decoded side by side.
        """
        self._source = source
        self._tiles = tiles
        self._blocks = blocks(tiles)
        self._masking = masking
        self._folder = folder
        self._threads = threads
        pixels = sum(tile.width * tile.height for tile in tiles)
        # Even, so that each place is a pixel of 20 m of its own.
        self._step = max(2, 2 * round((pixels / _SAMPLES) ** 0.5 / 2))

    def probe(self, acquisition: Acquisition) -> Probe:
        """What the probe tiles show of an acquisition; read where it has not been before.

        Raises:
            UnreadableProduct: a product cannot be read.
        """
        file = self._folder / f"{self._key(acquisition)}.npz"
        if not file.is_file():
            self._read(acquisition, file)
        with np.load(file, allow_pickle=False) as arrays:
            facts = json.loads(arrays["facts"].tobytes())
            sample = arrays["sample"]
        facts["known_dark"] = float("nan") if facts["known_dark"] is None else facts["known_dark"]
        return Probe(file, sample, **facts)

    def _key(self, acquisition: Acquisition) -> str:
        tiles = [tile.geometry() for tile in self._tiles]
        content = [acquisition.as_json(), tiles, self._masking.model_dump(mode="json"), self._source.identity()]
        return digest_of(canonical_json(content))

    def _read(self, acquisition: Acquisition, file: Path) -> None:
        arrays: dict[str, npt.NDArray[Any]] = {}
        samples, targets, clear, snow = [], [], 0, 0
        products: Mapping[str, Any] = {}
        images = self._source.images(acquisition, self._tiles, self._masking, self._threads)
        for number, block in enumerate(self._blocks):
            shape = bounding(block).shape
            arrays[f"edges_{number}"] = np.full((len(EDGE_BANDS), *shape), NODATA, dtype=np.int16)
            arrays[f"clear_{number}"] = np.zeros(shape, dtype=bool)
        for tile, image in sorted(images, key=lambda item: item[0].id):
            number, rows, columns = self._place(tile)
            arrays[f"edges_{number}"][:, rows, columns] = image.features[[BANDS.index(band) for band in EDGE_BANDS]]
            arrays[f"clear_{number}"][rows, columns] = image.clear
            is_snow = _snow(image)
            samples.append(self._sample(image, image.clear & ~is_snow))
            targets.append(find_dark_targets(image.features, image.clear))
            clear += int(image.clear.sum())
            snow += int(is_snow.sum())
            products = json.loads(image.tags["PRODUCTS"])
        arrays["sample"] = np.concatenate(samples, axis=1)
        pixels = sum(tile.width * tile.height for tile in self._tiles)
        facts = {
            # Snow between trees brightens them.
            "known_dark": _known(targets, snow <= _SNOWY * clear),
            "clear_share": clear / pixels,
            "snow_share": snow / max(clear, 1),
            "products": products,
        }
        arrays["facts"] = np.frombuffer(canonical_json(facts), dtype=np.uint8)
        file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_name(file.name + _UNFINISHED)
        with unfinished.open("wb") as stream:
            np.savez(stream, **arrays)  # type: ignore[arg-type]  # no array is called allow_pickle
        unfinished.replace(file)

    def _place(self, tile: Tile) -> tuple[int, slice, slice]:
        """A tile's block, and where it lies in it."""
        number = next(number for number, block in enumerate(self._blocks) if tile in block)
        return number, *Chunk(tuple(self._blocks[number]), bounding(self._blocks[number])).slices(tile)

    def _sample(self, image: Image, is_ground: BoolArray) -> npt.NDArray[np.int16]:
        """Levels of the ground; snow, which comes and goes, has levels of its own."""
        places = slice(self._step // 2, None, self._step)
        levels = image.features[[BANDS.index(band) for band in LEVEL_BANDS], places, places].copy()
        levels[:, ~is_ground[places, places]] = NODATA
        return levels.reshape(len(LEVEL_BANDS), -1)


def _known(targets: Sequence[DarkTargets], with_vegetation: bool) -> float | None:
    level = excess(targets, with_vegetation=with_vegetation)
    return None if np.isnan(level) else level


def _snow(image: Image) -> BoolArray:
    """Clear views of snow, (rows, columns)."""
    green, shortwave = (image.features[BANDS.index(band)].astype(np.float32) for band in ("B03", "B11"))
    total = green + shortwave
    index = np.divide(green - shortwave, total, out=np.zeros_like(total), where=total > 0)
    return np.asarray(image.clear & (index > _SNOW_INDEX) & (green > _SNOW_GREEN * REFLECTANCE_SCALE))


def _touch(one: Tile, other: Tile) -> bool:
    (left, bottom, right, top), (west, south, east, north) = one.bounds, other.bounds
    return left <= east and west <= right and bottom <= north and south <= top


def _distance_m(one: Tile, other: Tile) -> float:
    return float(np.hypot(one.left - other.left, one.top - other.top))
