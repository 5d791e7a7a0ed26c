"""The existing map as a configuration names it: raster or polygons, what of it decides, and the check before a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio  # type: ignore[import-untyped]
import pytest
import rasterio
import shapely
import yaml
from pyproj import Transformer
from rasterio.shutil import copy as copy_raster
from support.harness import Bench
from support.tiny_archive import TOP_M, TinyProduct

from landseries.artifacts.rasters import read_raster
from landseries.config import LoadedConfig, load_config, parse_config
from landseries.errors import ConfigError, SourceError
from landseries.grid import Raster, Tile
from landseries.legend import load_legend
from landseries.numerics import NumericsProfile
from landseries.pipeline import Unit
from landseries.plan import make_plan
from landseries.service import Outside, outside_of
from landseries.settings.sources import SafeSource
from landseries_fetcher.describing import describe
from landseries_fetcher.existing_map import OUTSIDE, check_map, checksums, read_codes, warp_codes
from landseries_fetcher.handlers import reference
from landseries_fetcher.vector_map import open_vector_map

TILE = Tile("EPSG:32632", 680_000.0, 5_240_000.0, 10.0, 10.0, 50, 60, "t", "32TPT", 0, 0)


def _outside(path: Path, field: str | None = None, layer: str | None = None) -> Outside:
    return Outside(
        source=SafeSource(kind="safe", path=Path("products")),
        reference_path=path,
        reference_variable=None,
        truth_path=None,
        folder=path.parent,
        reference_field=field,
        reference_layer=layer,
    )


def _loaded(folder: Path, reference: dict[str, Any]) -> LoadedConfig:
    path = folder / "run.yaml"
    west, south, east, north = TILE.footprint().bounds
    document = {
        "name": "test",
        "area": {"bbox": [west, south, east, north]},
        "years": [2018],
        "source": {"kind": "safe", "path": "products"},
        "reference": {"year": 2018, **reference},
    }
    path.write_text(yaml.safe_dump(document))
    return load_config(path)


def _polygons(path: Path, code: str = "311", field: str = "CODE_18") -> Path:
    pyogrio.raw.write(
        path,
        geometry=shapely.to_wkb(np.array([shapely.box(*TILE.bounds)])),
        field_data=[np.array([code], dtype=object)],
        fields=[field],
        crs=TILE.crs,
        geometry_type="Polygon",
    )
    return path


def _raster(
    path: Path, value: int, count: int = 1, driver: str = "GTiff", dtype: str = "uint8", **profile: Any
) -> Path:
    with rasterio.open(
        path,
        "w",
        driver=driver,
        width=TILE.width,
        height=TILE.height,
        count=count,
        dtype=dtype,
        crs=TILE.crs,
        transform=TILE.transform,
        **profile,
    ) as target:
        target.write(np.full((count, *TILE.shape), value, dtype))
    return path


@pytest.mark.parametrize("suffix", [".gpkg", ".shp", ".fgb"])
def test_polygons_are_read_and_layer_and_field_belong_to_the_identity(tmp_path: Path, suffix: str) -> None:
    path = _polygons(tmp_path / f"clc{suffix}")
    outside = _outside(path)
    assert (read_codes(outside, TILE) == 311).all()
    found = checksums(outside)
    assert (found["layer"], found["field"]) == ("clc", "CODE_18")
    assert found[path.name] != found["layer"]
    if suffix == ".shp":
        assert {"clc.shp", "clc.shx", "clc.dbf", "clc.prj"} <= set(found)


def test_the_codes_of_a_shapefile_are_part_of_its_identity(tmp_path: Path) -> None:
    """The outlines are in one file and the codes in another: a new map may change the second alone."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first = checksums(_outside(_polygons(tmp_path / "a" / "clc.shp", "311")))
    second = checksums(_outside(_polygons(tmp_path / "b" / "clc.shp", "312")))
    assert first["clc.shp"] == second["clc.shp"]
    assert first != second
    for file in (tmp_path / "a").iterdir():
        file.rename(file.with_name(file.name.upper()))
    found = checksums(_outside(tmp_path / "a" / "CLC.SHP"))
    assert {name.lower(): digest for name, digest in found.items()} == {**first, "layer": "CLC"}


def test_the_parts_of_a_virtual_raster_are_part_of_its_identity(tmp_path: Path) -> None:
    part = _raster(tmp_path / "part.tif", 7)
    copy_raster(str(part), str(tmp_path / "map.vrt"), driver="VRT")
    before = checksums(_outside(tmp_path / "map.vrt"))
    assert set(before) == {"map.vrt", "part.tif"}
    _raster(part, 9)
    assert checksums(_outside(tmp_path / "map.vrt"))["part.tif"] != before["part.tif"]
    assert (read_codes(_outside(tmp_path / "map.vrt"), TILE) == 9).all()
    assert set(checksums(_outside(part))) == {"part.tif"}


def test_a_geopackage_may_hold_a_raster(tmp_path: Path) -> None:
    path = _raster(tmp_path / "map.gpkg", 23, driver="GPKG", dtype="uint16")
    assert (read_codes(_outside(path), TILE) == 23).all()


def test_a_check_of_polygons_before_a_run(tmp_path: Path) -> None:
    _polygons(tmp_path / "clc.gpkg")
    check_map(_loaded(tmp_path, {"path": "clc.gpkg"}), TILE.footprint().bounds)
    check_map(_loaded(tmp_path, {"path": "clc.gpkg", "field": "CODE_18", "layer": "clc"}), TILE.footprint().bounds)
    with pytest.raises(SourceError, match="no polygon in the area"):
        check_map(_loaded(tmp_path, {"path": "clc.gpkg"}), (1.0, 2.0, 1.1, 2.1))
    with pytest.raises(SourceError, match=r"reference\.path: .*none\.gpkg cannot be read: there is no such file"):
        check_map(_loaded(tmp_path, {"path": "none.gpkg"}), TILE.footprint().bounds)
    with pytest.raises(ConfigError, match=r"reference\.field: .* has no field LULC"):
        check_map(_loaded(tmp_path, {"path": "clc.gpkg", "field": "LULC"}), TILE.footprint().bounds)


def test_a_check_of_polygons_whose_codes_are_of_another_legend(tmp_path: Path) -> None:
    _polygons(tmp_path / "map.gpkg", "700", "class_id")
    settings = {"path": "map.gpkg", "field": "class_id"}
    with pytest.raises(ConfigError, match=r"(?s)reference\.path: .*no pixel of any class .* map is .*map\.gpkg"):
        check_map(_loaded(tmp_path, settings), TILE.footprint().bounds)
    with pytest.raises(ConfigError, match=r"holds the codes \[700\].*unused_codes"):
        check_map(_loaded(tmp_path, {**settings, "legend": "worldcover"}), TILE.footprint().bounds)


def test_a_raster_has_neither_layer_nor_field(tmp_path: Path) -> None:
    path = _raster(tmp_path / "map.tif", 23)
    with pytest.raises(ConfigError, match=r"reference\.field: .*map\.tif is read as a raster.*\.gpkg, \.shp"):
        read_codes(_outside(path, field="CODE_18"), TILE)
    with pytest.raises(ConfigError, match=r"reference\.layer: "):
        read_codes(_outside(path, layer="clc"), TILE)


def test_a_picture_of_a_map_is_no_map(tmp_path: Path) -> None:
    path = _raster(tmp_path / "map.tif", 23, count=3, photometric="RGB")
    with pytest.raises(ConfigError, match=r"reference\.path: .* is a picture in red, green and blue"):
        read_codes(_outside(path), TILE)


def test_a_folder_of_tiles_gets_a_hint(tmp_path: Path) -> None:
    (tmp_path / "worldcover").mkdir()
    with pytest.raises(SourceError, match="gdalbuildvrt"):
        read_codes(_outside(tmp_path / "worldcover"), TILE)


def test_worldcover_across_two_of_its_tiles(tmp_path: Path) -> None:
    """Its tiles are in degrees; a virtual raster over two of them gives the codes on the grid."""
    west, south, east, north = TILE.footprint().bounds
    middle, step = round((west + east) / 2, 5), 1 / 12_000
    for name, left, value in (("a", middle - 0.1, 10), ("b", middle, 80)):
        with rasterio.open(
            *(tmp_path / f"{name}.tif", "w"),
            driver="GTiff",
            width=1200,
            height=400,
            count=1,
            dtype="uint8",
            crs="EPSG:4326",
            nodata=0,
            transform=rasterio.transform.from_origin(left, north + 0.01, step, step),
        ) as target:
            target.write(np.full((1, 400, 1200), value, np.uint8))
    bands = "".join(
        f'<SimpleSource><SourceFilename relativeToVRT="1">{name}.tif</SourceFilename><SourceBand>1</SourceBand>'
        f'<SrcRect xOff="0" yOff="0" xSize="1200" ySize="400"/>'
        f'<DstRect xOff="{offset}" yOff="0" xSize="1200" ySize="400"/></SimpleSource>'
        for name, offset in (("a", 0), ("b", 1200))
    )
    (tmp_path / "map.vrt").write_text(
        '<VRTDataset rasterXSize="2400" rasterYSize="400"><SRS>EPSG:4326</SRS>'
        f"<GeoTransform>{middle - 0.1}, {step}, 0, {north + 0.01}, 0, {-step}</GeoTransform>"
        f'<VRTRasterBand dataType="Byte" band="1"><NoDataValue>0</NoDataValue>{bands}</VRTRasterBand></VRTDataset>'
    )
    classes = load_legend("worldcover").classify(read_codes(_outside(tmp_path / "map.vrt"), TILE))
    assert set(np.unique(classes)) == {10, 80}
    assert (classes[:, 0] == 10).all()
    assert (classes[:, -1] == 80).all()
    assert set(checksums(_outside(tmp_path / "map.vrt"))) == {"map.vrt", "a.tif", "b.tif"}
    check_map(_loaded(tmp_path, {"path": "map.vrt", "legend": "worldcover"}), (west, south, east, north))
    with pytest.raises(ConfigError, match=r"reference\.path: "):
        check_map(_loaded(tmp_path, {"path": "b.tif", "legend": "corine"}), (west, south, east, north))


@pytest.mark.real_data
def test_corine_of_lanjaron_as_raster_and_as_polygons(real_data: Path) -> None:
    """The same classes, but for pixels within half the raster's diagonal (25 m cells: 17.7 m) of a boundary."""
    folder = real_data / "corine"
    raster = Raster("EPSG:32630", 455_000.0, 4_095_000.0, 10.0, 10.0, 800, 800)
    vector = open_vector_map(folder / "clc.gpkg")
    assert (vector.layer, vector.field) == ("clc", "CODE_18")
    polygons, cells = vector.codes(raster), warp_codes(folder / "clc.tif", raster)
    assert (polygons != OUTSIDE).mean() > 0.99
    both = (polygons != OUTSIDE) & (cells != OUTSIDE)
    assert ((polygons != cells) & both).mean() < 0.03
    for name in ("corine", "corine-paper", "corine-detailed"):
        legend = load_legend(name)
        assert (legend.classify(polygons) != legend.classify(cells))[both].mean() < 0.03
    features = vector.features((0, 0, 1e7, 1e7))
    assert len(features.ids) == 136
    to_grid = Transformer.from_crs(vector.crs, raster.crs, always_xy=True)
    edges = shapely.transform(
        shapely.union_all(shapely.boundary(features.geometries)), to_grid.transform, interleaved=False
    )
    shapely.prepare(edges)
    rows, columns = np.nonzero((polygons != cells) & both)
    places = shapely.points(raster.left + 10 * (columns[::10] + 0.5), raster.top - 10 * (rows[::10] + 0.5))
    assert len(places) > 500
    assert shapely.dwithin(places, edges, 17.7).all()
    load_legend("corine").check_fit(vector.check(raster.footprint().bounds))


def test_the_stage_burns_polygons_and_its_identity_follows_the_field(
    tmp_path: Path, archive: Callable[..., Path]
) -> None:
    """From the configuration through check and plan to the artifact, with a second field that says otherwise."""
    day = "20180705"
    products = archive(TinyProduct(start=f"{day}T101021", discriminator=f"{day}T134512", datastrip=f"{day}T101017"))
    middle, area = 700_320.0, shapely.box(700_161, TOP_M - 639, 700_639, TOP_M - 1)
    sides = [shapely.box(690_000, 5_000_000, middle, 5_300_000), shapely.box(middle, 5_000_000, 710_000, 5_300_000)]
    pyogrio.raw.write(
        tmp_path / "clc.gpkg",
        geometry=shapely.to_wkb(np.array(sides, dtype=object)),
        field_data=[np.array(["312", "512"], dtype=object), np.array([311, 311])],
        fields=["CODE_18", "before"],
        crs="EPSG:32632",
        geometry_type="Polygon",
    )
    to_lonlat = Transformer.from_crs("EPSG:32632", "EPSG:4326", always_xy=True)
    found = {}
    for field in (None, "before"):
        content = {
            "name": "test",
            "area": {"bbox": [0, 0, 1, 1]},
            "years": [2018],
            "source": {"kind": "safe", "path": str(products)},
            "reference": {"path": "clc.gpkg", "year": 2018, "field": field},
            "grid": {"tile_size_px": 32},
        }
        loaded = LoadedConfig(
            path=tmp_path / "run.yaml",
            run=parse_config(content, "run.yaml"),
            legend=load_legend("corine"),
            area=shapely.transform(area, to_lonlat.transform, interleaved=False),
        )
        bench = Bench(make_plan(loaded, describe(loaded), NumericsProfile()), tmp_path / f"bench-{field}")
        unit = Unit("reference", (min(bench.plan.tile, key=lambda name: bench.plan.tile[name].left),))
        tile = bench.plan.tile[unit["tile"]]
        classes = read_raster(bench.run(reference, unit)["classes.tif"])
        x = tile.left + 10 * (np.arange(tile.width) + 0.5)
        expected = np.where(x < middle, 8, 10) if field is None else np.full(tile.width, 7)
        covered = classes[0] != 0
        assert covered.mean() > 0.4
        np.testing.assert_array_equal(classes[0][covered], np.broadcast_to(expected, tile.shape)[covered])
        found[field] = checksums(outside_of(bench.plan))
    assert found[None]["clc.gpkg"] == found["before"]["clc.gpkg"]
    assert found[None] != found["before"]
