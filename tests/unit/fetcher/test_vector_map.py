"""Existing maps of polygons: the pixel centre decides, whatever the format and projection; and what they are not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyogrio  # type: ignore[import-untyped]
import pytest
import rasterio
import shapely
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Transformer
from shapely.geometry.base import BaseGeometry

from landseries.errors import ConfigError, SourceError
from landseries.grid import Raster
from landseries_fetcher.existing_map import OUTSIDE
from landseries_fetcher.polygons import repair
from landseries_fetcher.vector_map import VectorMap, open_vector_map

#: A tile of 60 x 50 pixels in the Inn valley.
TILE = Raster("EPSG:32632", 680_000.0, 5_240_000.0, 10.0, 10.0, 50, 60)
LONLAT = TILE.footprint().bounds


def _write(
    path: Path,
    shapes: Sequence[BaseGeometry | None],
    codes: Sequence[Any] | npt.NDArray[Any],
    *,
    crs: str | None = TILE.crs,
    field: str = "CODE_18",
    layer: str = "clc",
    kind: str = "Polygon",
) -> Path:
    values = codes if isinstance(codes, np.ndarray) else np.array(codes, dtype=object)
    pyogrio.raw.write(
        path,
        geometry=shapely.to_wkb(np.array(shapes, dtype=object)),
        field_data=[values],
        fields=[field],
        crs=crs,
        layer=layer,
        geometry_type=kind,
        append=path.exists(),
    )
    return path


def _cells(crs: str, count: int = 200) -> list[BaseGeometry]:
    """Voronoi cells that cover the tile and more without gap or overlap, drawn in the map's own projection."""
    left, bottom, right, top = shapely.buffer(shapely.box(*TILE.bounds), 300).bounds
    points = np.random.default_rng(4).uniform((left, bottom), (right, top), (count, 2))
    to_map = Transformer.from_crs(TILE.crs, crs, always_xy=True)
    points = np.column_stack(to_map.transform(*points.T))
    outline = shapely.transform(
        shapely.box(left, bottom, right, top), lambda corners: np.column_stack(to_map.transform(*corners.T))
    )
    cells = shapely.get_parts(shapely.voronoi_polygons(shapely.multipoints(points), extend_to=outline))
    return list(cells)


def _exact(raster: Raster, crs: str, shapes: Sequence[BaseGeometry], codes: Sequence[int]) -> npt.NDArray[np.int32]:
    """Each pixel centre projected into the map and looked up there, independent of any rasteriser."""
    x = raster.left + raster.pixel_width * (np.arange(raster.width) + 0.5)
    y = raster.top - raster.pixel_height * (np.arange(raster.height) + 0.5)
    centres = Transformer.from_crs(raster.crs, crs, always_xy=True).transform(*map(np.ravel, np.meshgrid(x, y)))
    found = np.full(x.size * y.size, OUTSIDE, dtype=np.int32)
    for shape, code in zip(shapes, codes, strict=True):
        found[shapely.contains_xy(shape, *centres)] = code
    return found.reshape(raster.shape)


@pytest.mark.parametrize(
    ("name", "crs"),
    [
        ("map.gpkg", "EPSG:32632"),
        ("map.gpkg", "EPSG:3035"),
        ("map.shp", "EPSG:4326"),
        ("map.fgb", "EPSG:3042"),
        ("map.geojson", "EPSG:4326"),
        ("map.gpkg", "EPSG:31254"),
    ],
)
def test_the_centre_of_a_pixel_decides_from_any_format_and_projection(tmp_path: Path, name: str, crs: str) -> None:
    cells = _cells(crs)
    codes = [100 + i for i in range(len(cells))]
    path = _write(tmp_path / name, cells, [str(code) for code in codes], crs=crs, layer="map")
    found = open_vector_map(path).codes(TILE)
    expected = _exact(TILE, crs, cells, codes)
    assert found.dtype == np.int32
    assert len(np.unique(found)) > 50
    # Nearly every pixel lies clear of an edge; along edges a centimetre may decide.
    assert (found != expected).sum() <= 2
    assert (found != OUTSIDE).all(), "no pixel falls between polygons that share an edge"


def test_large_polygons_are_cut_to_the_tile_and_long_edges_are_curves(tmp_path: Path) -> None:
    """An edge of 60 degrees along a parallel departs by hundreds of kilometres from the chord of its ends."""
    _, south, _, north = LONLAT
    middle = (south + north) / 2
    shapes = [shapely.box(-20, middle, 40, 80), shapely.box(-20, 10, 40, middle)]
    path = _write(tmp_path / "map.gpkg", shapes, ["311", "512"], crs="EPSG:4326")
    np.testing.assert_array_equal(open_vector_map(path).codes(TILE), _exact(TILE, "EPSG:4326", shapes, [311, 512]))


def test_a_tile_at_the_antimeridian_reads_both_sides(tmp_path: Path) -> None:
    raster = Raster("EPSG:32701", 176_000.0, 8_144_000.0, 100.0, 100.0, 64, 32)
    shapes = [shapely.box(170, -20, 180, -10), shapely.box(-180, -20, -170, -10)]
    path = _write(tmp_path / "map.gpkg", shapes, ["311", "512"], crs="EPSG:4326")
    found = open_vector_map(path).codes(raster)
    edges = (np.diff(found, axis=1) != 0).sum(axis=1)
    assert set(np.unique(found)) == {311, 512}
    assert (edges == 1).all()
    assert (found[:, 0] == 311).all()


def test_places_without_polygon_or_code_have_none_and_the_last_of_overlapping_polygons_is_seen(tmp_path: Path) -> None:
    left, bottom, _, top = TILE.bounds
    shapes = [
        shapely.box(left, bottom, left + 200, top),
        shapely.box(left + 100, bottom, left + 300, top),
        shapely.box(left + 300, bottom, left + 400, top),
        None,
    ]
    found = open_vector_map(_write(tmp_path / "map.gpkg", shapes, ["311", "512", None, "231"])).codes(TILE)
    assert (found[:, :10] == 311).all()
    assert (found[:, 10:30] == 512).all()
    assert (found[:, 30:] == OUTSIDE).all()


def test_invalid_polygons_are_repaired_and_named(tmp_path: Path) -> None:
    left, bottom, right, top = TILE.bounds
    bow_tie = shapely.Polygon([(left, bottom), (right, top), (right, bottom), (left, top)])
    said: list[str] = []
    path = _write(tmp_path / "map.gpkg", [bow_tie], ["311"])
    found = open_vector_map(path).codes(TILE, said.append)
    lobes = [
        shapely.Polygon([(left, bottom), ((left + right) / 2, (bottom + top) / 2), (left, top)]),
        shapely.Polygon([(right, bottom), ((left + right) / 2, (bottom + top) / 2), (right, top)]),
    ]
    expected = _exact(TILE, TILE.crs, lobes, [311, 311])
    assert (found != expected).mean() < 0.02
    assert len(said) == 1
    assert "features [1] were invalid" in said[0]


def test_coordinates_that_are_no_numbers_are_refused_by_feature(tmp_path: Path) -> None:
    left, bottom, _, _ = TILE.bounds
    good = shapely.box(left, bottom, left + 100, bottom + 100)
    with np.errstate(invalid="ignore"):
        geometries = np.array([good, shapely.Polygon([(left, bottom), (np.nan, bottom), (left, bottom + 9)])])
        result, repaired, hopeless = repair(geometries)
    assert hopeless.tolist() == [False, True]
    assert not repaired.any()
    assert result[1] is None


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=3, max_size=9))
def test_whatever_ring_is_repaired_becomes_valid_and_reaches_no_further(corners: list[tuple[int, int]]) -> None:
    ring = shapely.Polygon(corners)
    result, _, hopeless = repair(np.array([ring], dtype=object))
    assert not hopeless.any()
    assert shapely.is_valid(result[0])
    assert result[0].is_empty or shapely.box(*ring.bounds).buffer(1e-9).covers(result[0])


@pytest.mark.parametrize(
    "values",
    [["311", " 311 ", "311"], np.array([311, 311, 311], np.int32), np.array([311.0, np.nan, 311.0])],
)
def test_codes_may_be_texts_or_numbers(tmp_path: Path, values: Any) -> None:
    left, bottom, _, top = TILE.bounds
    shapes = [shapely.box(left + 100 * i, bottom, left + 100 * (i + 1), top) for i in range(3)]
    found = open_vector_map(_write(tmp_path / "map.gpkg", shapes, values, field="Code_18")).codes(TILE)
    assert (found[:, :10] == 311).all()
    assert (found[:, 20:30] == 311).all()


@pytest.mark.parametrize("values", [["3.1.1"], ["forest"], np.array([31.5]), ["-3"], ["²"], [""]])
def test_codes_that_are_no_whole_numbers_are_named_with_their_feature(tmp_path: Path, values: Any) -> None:
    vector = open_vector_map(_write(tmp_path / "map.gpkg", [shapely.box(*TILE.bounds)], values))
    if len(values) and values[0] == "":
        assert (vector.codes(TILE) == OUTSIDE).all()
        return
    with pytest.raises(ConfigError, match=rf"field CODE_18 holds '{values[0]}' \(feature 1\); .*reference\.field"):
        vector.codes(TILE)


@pytest.mark.parametrize("field", ["CODE_18", "code_12", "Code_2018", "CLC_CODE", "gridcode", "CODE18"])
def test_the_field_is_found_by_its_name(tmp_path: Path, field: str) -> None:
    path = _write(tmp_path / "map.gpkg", [shapely.box(*TILE.bounds)], ["311"], field=field)
    assert open_vector_map(path).field == field
    assert open_vector_map(path, field=field.swapcase()).field == field


def test_what_layer_and_field_are_meant_must_be_clear(tmp_path: Path) -> None:
    box = shapely.box(*TILE.bounds)
    path = _write(tmp_path / "map.gpkg", [box], ["311"], layer="clc18")
    with pytest.raises(ConfigError, match=r"reference\.field: .*map\.gpkg, layer clc18 has no field lulc; .*CODE_18"):
        open_vector_map(path, field="lulc")
    _write(path, [box], ["311"], layer="municipalities", field="name")
    assert open_vector_map(path).layer == "clc18"
    assert open_vector_map(path, field="name").layer == "municipalities"
    with pytest.raises(ConfigError, match=r"reference\.field: .* no field that is named like CODE_18; give one of"):
        open_vector_map(path, layer="municipalities")
    with pytest.raises(ConfigError, match=r"reference\.layer: .* no layer clc06 of polygons; it has clc18, munic"):
        open_vector_map(path, layer="clc06")
    _write(path, [box], ["311"], layer="clc12", field="CODE_12")
    with pytest.raises(ConfigError, match=r"reference\.layer: .* the layers clc12, clc18, municipalities; name"):
        open_vector_map(path)


def test_two_fields_of_codes(tmp_path: Path) -> None:
    path = tmp_path / "change.gpkg"
    pyogrio.raw.write(
        path,
        geometry=shapely.to_wkb(np.array([shapely.box(*TILE.bounds)])),
        field_data=[np.array(["311"], object), np.array(["324"], object)],
        fields=["CODE_12", "CODE_18"],
        crs=TILE.crs,
        geometry_type="Polygon",
    )
    with pytest.raises(ConfigError, match="several fields that may hold the code, CODE_12, CODE_18"):
        open_vector_map(path)
    assert (open_vector_map(path, field="CODE_18").codes(TILE) == 324).all()


def test_what_is_no_map_of_polygons(tmp_path: Path) -> None:
    lines = _write(tmp_path / "lines.gpkg", [shapely.LineString([(0, 0), (1, 1)])], ["311"], kind="LineString")
    with pytest.raises(ConfigError, match="holds LineString; a map consists of polygons"):
        open_vector_map(lines)
    mixed = _write(tmp_path / "mixed.gpkg", [shapely.Point(TILE.left + 5, TILE.top - 5)], ["311"], kind="Unknown")
    with pytest.raises(ConfigError, match="the feature 1 is a Point"):
        open_vector_map(mixed).codes(TILE)
    nowhere = _write(tmp_path / "nowhere.shp", [shapely.box(*TILE.bounds)], ["311"], crs=None)
    with pytest.raises(ConfigError, match=r"no projection \(CRS\)"):
        open_vector_map(nowhere)
    (tmp_path / "text.gpkg").write_text("no database")
    with pytest.raises(SourceError, match=r"text\.gpkg cannot be read as a vector map"):
        open_vector_map(tmp_path / "text.gpkg")


@pytest.mark.parametrize("way", ["cut", "blank", "garbled"])
@pytest.mark.filterwarnings("error")
def test_a_damaged_file_is_called_damaged_and_warns_of_nothing_else(tmp_path: Path, way: str) -> None:
    path = _write(tmp_path / "map.gpkg", _cells("EPSG:3035"), ["312"] * 200, crs="EPSG:3035")
    content = bytearray(path.read_bytes())
    if way == "cut":
        del content[len(content) // 2 :]
    elif way == "blank":
        content[len(content) // 3 : -4096] = bytes(len(content) - 4096 - len(content) // 3)
    else:
        chance = np.random.default_rng(3)
        for place in chance.integers(100, len(content), 2_000):
            content[place] = chance.integers(256)
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"map\.gpkg.* (is damaged|are broken)"):
        open_vector_map(path).check(LONLAT)


def test_a_check_reads_the_area_and_tells_a_map_of_elsewhere(tmp_path: Path) -> None:
    left, bottom, right, top = TILE.bounds
    shapes = [shapely.box(left, bottom, right, top), shapely.box(left + 90_000, bottom, right + 90_000, top)]
    vector = open_vector_map(_write(tmp_path / "map.gpkg", shapes, ["311", "999"]))
    assert vector.check(LONLAT).tolist() == [311]
    west, south, east, north = LONLAT
    with pytest.raises(SourceError, match=r"no polygon in the area, .*; it covers 11\.3.*; give a map that covers"):
        vector.check((west + 5, south, east + 5, north))


def test_a_check_goes_on_after_the_first_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("landseries_fetcher.vector_map._BATCH", 7)
    cells = _cells(TILE.crs, 50)
    vector = open_vector_map(_write(tmp_path / "map.gpkg", cells, [str(i) for i in range(1, 51)]))
    inside = [i for i, cell in enumerate(cells, 1) if cell.intersects(TILE_IN_MAP)]
    assert sorted(vector.check(LONLAT)) == inside


#: What `check` asks for: the bounds in degrees, back in the map's projection.
TILE_IN_MAP = shapely.box(*rasterio.warp.transform_bounds("EPSG:4326", TILE.crs, *LONLAT, densify_pts=21))


def test_only_features_near_the_tile_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left, bottom, _, _ = TILE.bounds
    far = [shapely.box(left + 2000 * i, bottom, left + 2000 * i + 2000, bottom + 600) for i in range(500)]
    vector = open_vector_map(_write(tmp_path / "map.gpkg", far, ["311"] * 500))
    seen: list[int] = []
    plain = VectorMap.features

    def counted(self: VectorMap, *arguments: Any) -> Any:
        found = plain(self, *arguments)
        seen.append(len(found.ids))
        return found

    monkeypatch.setattr(VectorMap, "features", counted)
    vector.codes(TILE)
    assert seen == [1]
