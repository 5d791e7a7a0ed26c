"""The fetcher's stages on a tiny archive, and what it finds out before a run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
import xarray as xr
from affine import Affine
from pyproj import Transformer
from support.harness import Bench, decided
from support.tiny_archive import LEFT_M, TOP_M, TinyProduct, scene_of

from landseries.artifacts.documents import digest_of_file, read_json
from landseries.artifacts.rasters import read_raster
from landseries.bands import BANDS, NODATA
from landseries.config import LoadedConfig, parse_config
from landseries.errors import ConfigError, Refused, SourceError
from landseries.legend import Legend, load_legend
from landseries.numerics import NumericsProfile
from landseries.pipeline import Unit
from landseries.plan import RunPlan, make_plan
from landseries_fetcher import SERVICE
from landseries_fetcher.describing import describe
from landseries_fetcher.handlers import (
    fetch,
    fetch_outside,
    harmony,
    harmony_outside,
    reference,
    reference_outside,
    search,
    search_outside,
)

Archive = Callable[..., Path]
#: Three tiles of 32 pixels wide and two high of the lattice, from 700,160 m on, lie in the tiny granule.
WEST_M, SOUTH_M, EAST_M = 700_160.0, TOP_M - 640.0, 700_640.0
SEARCH, LATER = Unit("search", ("32TQS", "2018")), Unit("search", ("32TQS", "2019"))
HARMONY = Unit("harmony", ("32TQS",))


def _area() -> shapely.Polygon:
    to_lonlat = Transformer.from_crs("EPSG:32632", "EPSG:4326", always_xy=True)
    box = shapely.box(WEST_M + 1, SOUTH_M + 1, EAST_M - 1, TOP_M - 1)
    return shapely.transform(box, to_lonlat.transform, interleaved=False)


def _loaded(folder: Path, products: Path, legend: Legend | None = None, **fields: Any) -> LoadedConfig:
    content = {
        "name": "test",
        "area": {"bbox": [0, 0, 1, 1]},
        "years": [2018, 2019],
        "source": {"kind": "safe", "path": str(products)},
        "reference": {"path": "map.tif", "year": 2018},
        "grid": {"tile_size_px": 32},
        **fields,
    }
    if not (folder / "map.tif").exists():
        _around(folder)
    return LoadedConfig(
        path=folder / "config.yaml",
        run=parse_config(content, "config.yaml"),
        legend=legend or load_legend("corine"),
        area=_area(),
    )


def _around(folder: Path, code: int = 312) -> None:
    """A map in EPSG:3035 that covers the area: one class."""
    left, _, _, top = rasterio.warp.transform_bounds("EPSG:32632", "EPSG:3035", WEST_M, SOUTH_M, EAST_M, TOP_M)
    with rasterio.open(
        folder / "map.tif",
        "w",
        driver="GTiff",
        width=30,
        height=30,
        count=1,
        dtype="uint16",
        crs="EPSG:3035",
        transform=Affine(100, 0, left - 1_000, 0, -100, top + 1_000),
    ) as target:
        target.write(np.full((30, 30), code, dtype=np.uint16), 1)


def _plan(loaded: LoadedConfig) -> RunPlan:
    return make_plan(loaded, describe(loaded), NumericsProfile())


def _product(month: int, **fields: Any) -> TinyProduct:
    day = f"2018{month:02d}05"
    return TinyProduct(start=f"{day}T101021", discriminator=f"{day}T134512", datastrip=f"{day}T101017", **fields)


@pytest.fixture
def bench(tmp_path: Path, archive: Archive) -> Bench:
    cloudy = scene_of()
    cloudy[:, :28] = 9
    folder = archive(_product(3), _product(7, scene=cloudy, baseline="0500", level=3_000, offset=-1000))
    return Bench(_plan(_loaded(tmp_path, folder)), tmp_path / "bench")


def _fetch(bench: Bench, searched: dict[str, Path], acquisition: str) -> dict[str, Path]:
    compared = bench.run(harmony, HARMONY, {SEARCH: searched, LATER: "no product"})
    return bench.run(fetch, Unit("fetch", ("32TQS", "2018", acquisition)), {SEARCH: searched, HARMONY: compared})


def test_the_service_offers_its_stages() -> None:
    assert set(SERVICE.handlers) == {"search", "reference", "harmony", "fetch"}
    assert all(handler.outside is not None for handler in SERVICE.handlers.values())
    assert SERVICE.describe is not None


def test_description(bench: Bench, tmp_path: Path) -> None:
    found = describe(_loaded(tmp_path, tmp_path / "products"))
    assert (found.granules, found.features, found.raster) == (("32TQS",), BANDS, None)
    assert found.acquisitions == {2018: 2, 2019: 0}
    assert len(bench.plan.tile) == 4


def test_from_search_to_fetch(bench: Bench) -> None:
    searched = bench.run(search, SEARCH)
    chosen = read_json(searched["chosen.json"])
    march, july = _product(3).acquisition, _product(7).acquisition
    assert set(chosen) == set(bench.plan.tile)
    assert sorted(map(tuple, chosen.values())) == [(march,), (march,), (march, july), (march, july)]
    assert set(searched) == {"chosen.json", "search.json", f"{march}.json", f"{july}.json"}
    takers = sorted(tile for tile, names in chosen.items() if july in names)
    fetched = _fetch(bench, searched, july)
    assert sorted(fetched) == [f"{tile}.tif" for tile in takers]
    for tile in takers:
        image = read_raster(fetched[f"{tile}.tif"], bench.tile(tile))
        assert image.dtype == np.int16
        assert image.shape == (11, 32, 32)
        assert image[:10, 0, 0].tolist() == [2_000 + place for place in range(10)], "the offset has been applied"
        assert set(np.unique(image[10])) <= {0, 1}
        with rasterio.open(fetched[f"{tile}.tif"]) as source:
            assert source.descriptions == (*BANDS, "clear")
            assert source.nodata == NODATA
            tags = source.tags()
        assert tags["ACQUIRED"] == "2018-07-05T10:10:21"
        (product,) = json.loads(tags["PRODUCTS"]).values()
        assert product["offsets"]["B12"] == -1000


def test_search_tells_all(bench: Bench) -> None:
    found = read_json(bench.run(search, SEARCH)["search.json"])
    assert (found["granule"], found["year"]) == ("32TQS", 2018)
    acquisition = found["acquisitions"][_product(7).acquisition]
    assert acquisition["platform"] == "S2A"
    assert acquisition["relative_orbit"] == 22
    assert acquisition["products"][0]["baseline"] == "05.00"
    assert found["fetch_bytes"] == {_product(3).acquisition: 0, _product(7).acquisition: 0}, "a folder is local"
    assert found["longest_gap_days"] == dict.fromkeys(bench.plan.tile, 301.58), "July shows half of no tile"
    for verdicts in found["tiles"].values():
        assert [set(verdict) for verdict in verdicts] == [
            {"acquisition", "product", "datetime", "verdict", "kind", "reason", "cloud_percent", "nodata_percent"}
        ] * 2


def test_the_same_bytes_on_any_number_of_threads(bench: Bench, tmp_path: Path) -> None:
    other = Bench(bench.plan, tmp_path / "other", threads=5)
    digests = []
    for each in (bench, other):
        searched = each.run(search, SEARCH)
        fetched = _fetch(each, searched, _product(3).acquisition)
        digests.append({name: digest_of_file(path) for name, path in {**searched, **fetched}.items()})
    assert digests[0] == digests[1]


def test_a_year_without_products_is_refused(bench: Bench) -> None:
    with pytest.raises(Refused, match=r"no product of granule 32TQS between 2019-01-01 and 2019-12-31 in .*products"):
        bench.run(search, Unit("search", ("32TQS", "2019")))


def test_a_year_of_unusable_products_is_refused_with_their_reasons(bench: Bench, tmp_path: Path) -> None:
    for path in (tmp_path / "products").rglob("MTD_TL.xml"):
        path.unlink()
    with pytest.raises(Refused, match=r"can be used: S2A_MSIL2A_20180305.*has no GRANULE"):
        bench.run(search, SEARCH)


def test_a_truncated_image_is_refused_by_name(bench: Bench, tmp_path: Path) -> None:
    path = next((tmp_path / "products").glob(f"{_product(3).name}.SAFE/GRANULE/*/IMG_DATA/R10m/*_B03_10m.jp2"))
    path.write_bytes(path.read_bytes()[:-100])
    searched = bench.run(search, SEARCH)
    with pytest.raises(Refused, match=r"_B03_10m\.jp2 is truncated"):
        _fetch(bench, searched, _product(3).acquisition)
    assert _fetch(bench, searched, _product(7).acquisition), "the rest goes on"


def test_what_lies_outside_is_named(bench: Bench, tmp_path: Path) -> None:
    assert set(search_outside(bench.context(SEARCH))) == {_product(3).name, _product(7, baseline="0500").name}
    searched = bench.run(search, SEARCH)
    compared = harmony_outside(bench.context(HARMONY, {SEARCH: searched, LATER: "no product"}))
    assert set(compared) == {_product(3).name, _product(7, baseline="0500").name}
    unit = Unit("fetch", ("32TQS", "2018", _product(3).acquisition))
    given = {SEARCH: searched, HARMONY: decided(tmp_path, _product(3).acquisition)}
    before = fetch_outside(bench.context(unit, given))
    assert set(before) == {_product(3).name}
    path = next((tmp_path / "products").glob(f"{_product(3).name}.SAFE/GRANULE/*/IMG_DATA/R10m/*_B03_10m.jp2"))
    path.write_bytes(path.read_bytes() + b"-")
    assert fetch_outside(bench.context(unit, given)) != before
    tile = next(iter(bench.plan.tile))
    found = reference_outside(bench.context(Unit("reference", (tile,))))
    assert found == {"map.tif": digest_of_file(tmp_path / "map.tif")}


def test_reference_in_legend_classes_and_none_outside_the_area(bench: Bench) -> None:
    classes = {}
    for tile in bench.plan.tile:
        written = bench.run(reference, Unit("reference", (tile,)))
        classes[tile] = read_raster(written["classes.tif"], bench.tile(tile))
    assert all(found.dtype == np.uint8 and found.shape == (1, 32, 32) for found in classes.values())
    values, counts = np.unique(np.stack(list(classes.values())), return_counts=True)
    assert values.tolist() == [0, 8], "conifers, and nothing outside the area"
    assert counts[1] == pytest.approx((EAST_M - WEST_M) * (TOP_M - SOUTH_M) / 100, rel=0.02)


def test_codes_that_the_legend_does_not_know(tmp_path: Path, archive: Archive) -> None:
    legend = Legend.model_validate(
        {
            "title": "two",
            "classes": [
                {"id": 1, "name": "a", "colour": "#000000", "codes": [1]},
                {"id": 2, "name": "b", "colour": "#ffffff", "codes": [2]},
            ],
        }
    )
    with pytest.raises(ConfigError, match=r"holds the codes \[312\]"):
        describe(_loaded(tmp_path, archive(_product(3)), legend))
    _around(tmp_path, code=1)
    bench = Bench(_plan(_loaded(tmp_path, archive(_product(3)), legend)), tmp_path / "bench")
    _around(tmp_path, code=312)
    with pytest.raises(Refused, match=r"holds the codes \[312\]"):
        bench.run(reference, Unit("reference", (next(iter(bench.plan.tile)),)))


def test_a_map_without_any_class_of_the_legend(tmp_path: Path, archive: Archive) -> None:
    _around(tmp_path, code=255)
    with pytest.raises(ConfigError, match=r"reference\.path: the map has no pixel of any class"):
        describe(_loaded(tmp_path, archive(_product(3))))


def test_area_outside_the_products(tmp_path: Path, archive: Archive) -> None:
    with pytest.raises(ConfigError, match=r"area: none of its .* tiles lies in a granule of the source, which has 33"):
        describe(_loaded(tmp_path, archive(_product(3, granule="33TUM"))))


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"source\.path: .*nowhere cannot be read"):
        describe(_loaded(tmp_path, tmp_path / "nowhere"))


def test_a_cube_from_search_to_fetch(tmp_path: Path) -> None:
    values = np.arange(2 * 40 * 40).reshape(2, 40, 40).astype(np.int16)
    codes = np.full((40, 40), 111, dtype=np.int16)
    codes[:, :10] = 312
    times = np.array(["2018-03-01", "2018-09-01"], dtype="datetime64[ns]")
    centres = 10.0 * np.arange(40) + 5
    dataset = xr.Dataset(
        {"nir": (("time", "y", "x"), values), "map": (("y", "x"), codes)},
        {"time": times, "y": TOP_M - centres, "x": LEFT_M + centres},
        {"epsg": "32632"},
    )
    dataset.to_netcdf(tmp_path / "cube.nc", engine="h5netcdf")
    loaded = _loaded(
        tmp_path,
        tmp_path,
        years=[2018],
        source={"kind": "cube", "paths": ["cube.nc"], "features": {"B08": "nir"}, "nodata": 0},
        reference={"variable": "map", "year": 2018},
    ).model_copy(update={"area": None})
    bench = Bench(_plan(loaded), tmp_path / "bench")
    assert len(bench.plan.tile) == 4
    unit = Unit("search", ("cube", "2018"))
    searched = bench.run(search, unit)
    names = read_json(searched["chosen.json"])["cube-c0001-r0001"]
    assert names == ["cube_20180301T000000", "cube_20180901T000000"]
    compared = bench.run(harmony, Unit("harmony", ("cube",)), {unit: searched})
    assert read_json(compared[f"{names[0]}.json"]) == {"reason": "", "shift": None, "use": True}
    assert read_json(compared["harmony.json"])["probe_tiles"] == [], "a cube has one grid and one scale"
    given = {unit: searched, Unit("harmony", ("cube",)): compared}
    fetched = bench.run(fetch, Unit("fetch", ("cube", "2018", names[0])), given)
    assert len(fetched) == 4
    image = read_raster(fetched["cube-c0000-r0000.tif"])
    assert image[0, 0, :3].tolist() == [NODATA, 1, 2]
    assert image[1, 0, :3].tolist() == [0, 1, 1]
    written = bench.run(reference, Unit("reference", ("cube-c0000-r0000",)))
    classes = read_raster(written["classes.tif"])[0]
    assert np.unique(classes[:, :10]).tolist() == [8]
    assert np.unique(classes[:, 10:]).tolist() == [1]
    outside = search_outside(bench.context(unit))
    assert set(outside) == {*names, "cube settings"}
