"""The harmony stage on a tiny archive, and what a fetch makes of its decision."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from support.archive_bench import HARMONY, SEARCH, archive_bench
from support.harness import Bench, decided
from support.tiny_archive import COLUMNS, ROWS, TinyProduct, scene_of

from landseries.artifacts.documents import read_json
from landseries.artifacts.rasters import read_raster
from landseries.bands import BANDS, GROUND_SAMPLING_DISTANCE_M, NODATA
from landseries.errors import Refused
from landseries.gates import NotNow
from landseries.grid import Tile
from landseries.pipeline import Unit
from landseries.settings.fetcher import FetchSettings
from landseries_fetcher.handlers import fetch, harmony, search
from landseries_fetcher.harmonising import harmonise
from landseries_fetcher.harmony.shifts import Shift
from landseries_fetcher.sources.base import Acquisition, Image
from landseries_fetcher.sources.safe import SafeFolder

Archive = Callable[..., Path]


def product(month: int, **fields: Any) -> TinyProduct:
    day = f"2018{month:02d}05"
    return TinyProduct(start=f"{day}T101021", discriminator=f"{day}T134512", datastrip=f"{day}T101017", **fields)


def bench_of(tmp_path: Path, archive: Archive, *products: TinyProduct, name: str = "bench", **fields: Any) -> Bench:
    return archive_bench(tmp_path, name, {"kind": "safe", "path": str(archive(*products))}, **fields)


@dataclass
class Slow:
    """A folder of products of which some are still to come."""

    folder: SafeFolder
    missing: set[str]
    read: list[str] = field(default_factory=list)
    raster: None = None

    def identity(self) -> dict[str, str]:
        return {}

    def images(
        self,
        acquisition: Acquisition,
        tiles: Sequence[Tile],
        masking: FetchSettings,
        threads: int,
        shift: Shift | None = None,
    ) -> Iterator[tuple[Tile, Image]]:
        if acquisition.id in self.missing:
            raise NotNow(f"{acquisition.id} is offline")
        self.read.append(acquisition.id)
        yield from self.folder.images(acquisition, tiles, masking, threads)


def test_what_a_fetch_is_told_is_its_own_alone(tmp_path: Path, archive: Archive) -> None:
    first = bench_of(tmp_path, archive, product(3, refining="REFINED"), product(7))
    searched = first.run(search, SEARCH)
    compared = first.run(harmony, HARMONY, {SEARCH: searched})
    names = [product(month).acquisition for month in (3, 7)]
    assert set(compared) == {"harmony.json", *(f"{name}.json" for name in names)}
    assert read_json(compared[f"{names[0]}.json"]) == {"reason": "", "shift": None, "use": True}
    table = read_json(compared["harmony.json"])
    march = table["acquisitions"][names[0]]
    assert march["products"][product(3).name]["refining"] == "REFINED"
    assert march["group"] == "baseline 02.08 with the offset of the baseline in the products' names"
    assert "NaN" not in compared["harmony.json"].read_text()
    assert table["reference"] == names[0], "what is refined"
    assert "cannot be measured" in table["acquisitions"][names[1]]["warnings"][-1]
    more = bench_of(tmp_path, archive, product(9, baseline="0500", offset=-1000, level=3_000), name="more")
    again = more.run(harmony, HARMONY, {SEARCH: more.run(search, SEARCH)})
    assert len(again) == 4
    for name in names:
        assert again[f"{name}.json"].read_bytes() == compared[f"{name}.json"].read_bytes()


def test_another_year_moves_neither_probe_tiles_nor_decisions(tmp_path: Path, archive: Archive) -> None:
    # Two rows of tiles, of 16 pixels of the scene classification each: one year sees the upper, the other the lower.
    upper, lower = scene_of(), scene_of()
    upper[24:], lower[:8] = 9, 9
    halves = [product(month, scene=upper) for month in (3, 7)]
    later = [
        TinyProduct(start=f"2019{month:02d}05T101021", discriminator=f"2019{month:02d}05T134512", scene=lower)
        for month in (3, 5, 7, 9)
    ]
    searches = [Unit("search", ("32TQS", year)) for year in ("2018", "2019")]
    found = []
    for years, products in (((2018,), halves), ((2018, 2019), [*halves, *later])):
        settings = {"years": years, "unmeasured": "refuse", "probe_tiles": 1}
        bench = bench_of(tmp_path, archive, *products, name=str(years[-1]), **settings)
        compared = bench.run(harmony, HARMONY, {unit: bench.run(search, unit) for unit in searches[: len(years)]})
        found.append({name: path.read_bytes() for name, path in compared.items()})
    alone, both = found
    tables = [json.loads(documents.pop("harmony.json")) for documents in found]
    assert tables[0]["probe_tiles"] == tables[1]["probe_tiles"]
    assert tables[0]["references"] == tables[1]["references"] == {"22": halves[0].acquisition}
    assert len(both) == len(alone) + len(later)
    assert {name: both[name] for name in alone} == alone
    refused = tables[0]["acquisitions"][halves[1].acquisition]
    assert refused["verdict"] == "refused"
    assert refused["reason"].startswith("its shift cannot be measured: ")


def test_an_acquisition_that_cannot_be_read_is_left_to_its_fetch(tmp_path: Path, archive: Archive) -> None:
    bench = bench_of(tmp_path, archive, product(3), product(7))
    searched = bench.run(search, SEARCH)
    path = next((tmp_path / "products").glob(f"{product(3).name}.SAFE/GRANULE/*/IMG_DATA/R10m/*_B03_10m.jp2"))
    path.write_bytes(path.read_bytes()[:-100])
    compared = bench.run(harmony, HARMONY, {SEARCH: searched})
    entries = read_json(compared["harmony.json"])["acquisitions"]
    assert entries[product(3).acquisition]["verdict"] == "unreadable"
    assert "is truncated" in entries[product(3).acquisition]["reason"]
    assert entries[product(3).acquisition]["warnings"] == []
    assert entries[product(7).acquisition]["verdict"] == "used"
    assert entries[product(7).acquisition]["clear_share"] > 0
    with pytest.raises(Refused, match="is truncated"):
        bench.run(fetch, _fetch_of(product(3)), {SEARCH: searched, HARMONY: compared})


def test_what_is_still_to_come_is_awaited_and_the_rest_not_read_again(tmp_path: Path, archive: Archive) -> None:
    bench = bench_of(tmp_path, archive, product(3), product(5), product(7))
    searched = bench.run(search, SEARCH)
    source = Slow(SafeFolder(tmp_path / "products"), {product(3).acquisition})
    kept = tmp_path / "kept"
    with pytest.raises(NotNow, match="offline"):
        harmonise(bench.context(HARMONY, {SEARCH: searched}, checkpoints=kept), source)  # type: ignore[arg-type]
    assert source.read == [product(5).acquisition, product(7).acquisition]
    source.missing.clear()
    harmonise(bench.context(HARMONY, {SEARCH: searched}, checkpoints=kept), source)  # type: ignore[arg-type]
    assert source.read[2:] == [product(3).acquisition]
    assert bench.messages[-1].startswith("measuring the shifts of 3 acquisitions")


def test_an_acquisition_that_must_not_be_used_is_not_fetched(tmp_path: Path, archive: Archive) -> None:
    bench = bench_of(tmp_path, archive, product(3))
    searched = bench.run(search, SEARCH)
    name = product(3).acquisition
    given = {SEARCH: searched, HARMONY: decided(tmp_path, name, use=False, reason="taken off twice")}
    with pytest.raises(Refused, match="taken off twice"):
        bench.run(fetch, _fetch_of(product(3)), given)


def test_a_shift_is_undone_on_both_grids_and_in_the_clear_mask(tmp_path: Path, archive: Archive) -> None:
    rng = np.random.default_rng(2)
    numbers = {}
    for band in BANDS:
        step = GROUND_SAMPLING_DISTANCE_M[band] // 10
        numbers[band] = rng.integers(1_500, 3_000, (ROWS // step, COLUMNS // step)).astype(np.uint16)
    scene = np.full((ROWS // 2, COLUMNS // 2), 4, dtype=np.uint8)
    scene[8:12, 12:16] = 9
    bench = bench_of(tmp_path, archive, product(3, numbers=numbers, scene=scene))
    searched = bench.run(search, SEARCH)
    name = product(3).acquisition
    images = []
    # It lies 40 m too far south and 20 m too far west: whole pixels of both grids.
    for shift in (None, {"north_m": -40.0, "east_m": -20.0}):
        given = {SEARCH: searched, HARMONY: decided(tmp_path, name, shift=shift)}
        fetched = bench.run(fetch, _fetch_of(product(3)), given)
        images.append(_mosaic(bench, fetched))
        path = next(iter(fetched.values()))
        with rasterio.open(path) as source:
            assert json.loads(source.tags()["SHIFT_CORRECTED"]) == shift
            (facts,) = json.loads(source.tags()["PRODUCTS"]).values()
            assert facts["refining"] == "unknown"
    as_is, corrected = images
    assert np.array_equal(corrected[:10, :-4, 2:], as_is[:10, 4:, :-2]), "content moves 40 m north and 20 m east"
    clear = as_is[10, 4:, :-2]
    assert 0 < clear.mean() < 1
    assert np.array_equal(corrected[10, :-4, 2:], clear)
    assert (as_is[:10, :, -4:] == NODATA).all(), "the product ends there"
    assert (corrected[:10, :, :-2] != NODATA).all(), "what lies beyond the tiles was read with them"


def _fetch_of(wanted: TinyProduct) -> Unit:
    return Unit("fetch", ("32TQS", "2018", wanted.acquisition))


def _mosaic(bench: Bench, fetched: dict[str, Path]) -> np.ndarray[Any, np.dtype[np.int16]]:
    """(ten bands and the clear mask, rows, columns) over all tiles."""
    tiles = [bench.tile(name.removesuffix(".tif")) for name in fetched]
    left, top = min(tile.left for tile in tiles), max(tile.top for tile in tiles)
    rows = round((top - min(tile.bounds[1] for tile in tiles)) / 10)
    columns = round((max(tile.bounds[2] for tile in tiles) - left) / 10)
    found = np.full((11, rows, columns), NODATA, dtype=np.int16)
    for tile, path in zip(tiles, fetched.values(), strict=True):
        row, column = round((top - tile.top) / 10), round((tile.left - left) / 10)
        found[:, row : row + tile.height, column : column + tile.width] = read_raster(path, tile)
    return found
