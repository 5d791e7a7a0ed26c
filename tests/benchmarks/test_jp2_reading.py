"""Reading an acquisition against the decoder itself, on the same files and cores, in one run.

    pytest tests/benchmarks/test_jp2_reading.py --benchmark-columns=min,median,rounds

The decoder's own rate is that of the images decoded whole, side by side on all cores, and thrown away; ours goes on to
reflectance at 10 m, the clear mask and tiles. Rounds alternate, so that another load on the machine meets both alike;
the ratio is the median over the rounds.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
import rasterio
from scipy.ndimage import gaussian_filter
from support.tiny_archive import LEFT_M, TOP_M, TinyProduct, write_product

from landseries.bands import BANDS, GROUND_SAMPLING_DISTANCE_M
from landseries.config import Period
from landseries.grid import Tile
from landseries.settings.fetcher import FetchSettings
from landseries_fetcher.sources.base import Acquisition
from landseries_fetcher.sources.safe import SafeFolder

SIZE_PX: Final = 2048
BLOCK_PX: Final = 512
TILE_PX: Final = 512
ROUNDS: Final = 5
THREADS: Final = os.cpu_count() or 1
MEGAPIXELS: Final = (4 * SIZE_PX**2 + 7 * (SIZE_PX // 2) ** 2) / 1e6


@dataclass(frozen=True)
class Case:
    """One acquisition of all ten bands, and the tiles that cover it."""

    source: SafeFolder
    acquisition: Acquisition
    files: list[Path]
    tiles: list[Tile]

    def decode_whole(self) -> None:
        """All images, the large ones first, and nothing else."""

        def decode(path: Path) -> None:
            with rasterio.Env(GDAL_NUM_THREADS="1"), rasterio.open(path) as source:
                source.read(1)

        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(decode, self.files))

    def read(self, tiles: list[Tile]) -> int:
        """Tiles in full; returns the pixels read, so that nothing can be skipped."""
        images = self.source.images(self.acquisition, tiles, FetchSettings(), THREADS)
        return sum(image.features.size for _, image in images)


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """Images whose bits per pixel are about those of real ones (7 at 10 m)."""
    folder = tmp_path_factory.mktemp("products")
    random = np.random.default_rng(0)
    smooth = gaussian_filter(random.normal(0, 1, (SIZE_PX, SIZE_PX)), 8)
    numbers = {}
    for place, band in enumerate(BANDS):
        step = GROUND_SAMPLING_DISTANCE_M[band] // 10
        values = 1_500 + 200 * place + 9_000 * smooth[::step, ::step]
        numbers[band] = (values + random.normal(0, 25, values.shape)).clip(1, 12_000).astype(np.uint16)
    scene = np.where(gaussian_filter(random.normal(0, 1, (SIZE_PX // 2, SIZE_PX // 2)), 12) > 0.02, 9, 4)
    product = TinyProduct(
        numbers=numbers, scene=scene.astype(np.uint8), shape=(SIZE_PX, SIZE_PX), block_px=BLOCK_PX, resolutions=6
    )
    files = sorted(write_product(folder, product).rglob("*.jp2"), key=lambda path: -path.stat().st_size)
    source = SafeFolder(folder)
    year = Period(start=date(2018, 1, 1), end=date(2018, 12, 31))
    (acquisition,) = source.catalogue("32TQS", year, {}).acquisitions
    side = SIZE_PX // TILE_PX
    return Case(source, acquisition, files, [_tile(c, r) for r in range(side) for c in range(side)])


def _tile(column: int, row: int) -> Tile:
    side_m = 10.0 * TILE_PX
    return Tile(
        crs="EPSG:32632",
        left=LEFT_M + side_m * column,
        top=TOP_M - side_m * row,
        pixel_width=10.0,
        pixel_height=10.0,
        width=TILE_PX,
        height=TILE_PX,
        id=f"c{column}-r{row}",
        granule="32TQS",
        column=column,
        row=row,
    )


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


@pytest.mark.benchmark(group="JP2 reading")
def test_reading_keeps_the_decoders_rate(benchmark: Any, case: Case) -> None:
    """All bands of an acquisition, tile by tile: at least 80 % of the decoder's own rate on all cores."""
    ratios, rates = [], []

    def decode_first() -> None:
        ratios.append(_seconds(case.decode_whole))

    def read() -> None:
        seconds = _seconds(lambda: case.read(case.tiles))
        rates.append(MEGAPIXELS / seconds)
        ratios[-1] /= seconds

    benchmark.pedantic(read, setup=decode_first, rounds=ROUNDS, iterations=1, warmup_rounds=1)
    ratio, rate = float(np.median(ratios[1:])), float(np.median(rates[1:]))
    benchmark.extra_info.update(ratio_to_decoder=round(ratio, 3), megapixels_per_second=round(rate, 1))
    print(f"\nJP2 reading: {rate:.1f} Mpx/s on {THREADS} threads, {ratio:.2f} of the decoder's own rate")
    assert ratio >= 0.8


@pytest.mark.benchmark(group="JP2 reading")
def test_a_window_costs_what_it_holds(benchmark: Any, case: Case) -> None:
    """One tile of sixteen costs at most a quarter of reading them all."""
    shares = []

    def read() -> None:
        whole = _seconds(lambda: case.read(case.tiles))
        shares.append(_seconds(lambda: case.read(case.tiles[5:6])) / whole)

    benchmark.pedantic(read, rounds=3, iterations=1)
    share = float(np.median(shares))
    benchmark.extra_info.update(share_of_whole=round(share, 3))
    print(f"\nJP2 reading: one tile of {len(case.tiles)} costs {share:.3f} of all")
    assert share <= 0.25
