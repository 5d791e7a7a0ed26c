"""The processing grid: an absolute lattice, home granules, and blocks that no area moves."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Transformer

from landseries.errors import ConfigError
from landseries.granules import home_granules
from landseries.grid import Part, Raster, Tile, area_mask, block_parts, tiles_of_area, tiles_of_raster

TO_LONLAT = Transformer.from_crs("EPSG:32632", "EPSG:4326", always_xy=True)


def area(left: float, bottom: float, right: float, top: float) -> shapely.Polygon:
    """A rectangle of UTM zone 32 in longitude and latitude."""
    return shapely.transform(shapely.box(left, bottom, right, top), TO_LONLAT.transform, interleaved=False)


TWO_GRANULES = area(698_885, 5_155_845, 703_995, 5_160_955)


def test_an_area_across_two_granules_gets_each_tile_from_its_home() -> None:
    tiles = tiles_of_area(TWO_GRANULES, 256, ["32TPS", "32TQS"])
    assert [(tile.left, tile.top, tile.granule) for tile in tiles] == [
        (698_880, 5_158_400, "32TPS"),
        (698_880, 5_160_960, "32TPS"),
        (701_440, 5_158_400, "32TQS"),
        (701_440, 5_160_960, "32TQS"),
    ]


def test_without_its_home_a_tile_is_read_from_the_neighbour_that_holds_it() -> None:
    assert {tile.granule for tile in tiles_of_area(TWO_GRANULES, 256, ["32TPS"])} == {"32TPS"}
    # The western neighbour is a home that no other granule can stand in for: 32TQS begins east of it.
    assert len(tiles_of_area(TWO_GRANULES, 256, ["32TQS"])) == 2


@settings(max_examples=40, deadline=None)
@given(
    st.floats(6.1, 11.5),
    st.floats(40, 60),
    st.floats(0.02, 0.1),
    st.sampled_from([128, 256, 512]),
)
def test_tiles_cover_the_area_once_and_lie_on_the_lattice(west: float, south: float, side: float, size: int) -> None:
    outline = shapely.box(west, south, west + side, south + side)
    granules = _all_granules()
    tiles = tiles_of_area(outline, size, granules)
    projected = shapely.transform(
        shapely.segmentize(outline, 0.01),
        Transformer.from_crs("EPSG:4326", "EPSG:32632", always_xy=True).transform,
        interleaved=False,
    )
    boxes = [shapely.box(*tile.bounds) for tile in tiles]
    assert shapely.union_all(boxes).buffer(1e-6).contains(projected)
    assert sum(box.area for box in boxes) == pytest.approx(shapely.union_all(boxes).area)
    for tile in tiles:
        assert tile.left % (size * 10) == 0
        assert tile.top % (size * 10) == 0


def _all_granules() -> set[str]:
    names: set[str] = set()
    for x in range(100_000, 900_000, 50_000):
        for y in range(4_300_000, 6_800_000, 50_000):
            names |= set(home_granules(32, True, x // 5120, y // 5120, 5120))
    return names


def test_southern_hemisphere_and_other_zones_have_their_own_lattice() -> None:
    tiles = tiles_of_area(shapely.box(-55.02, -12.02, -55.0, -12.0), 512, ["21LXF", "21LXG", "21LYF", "21LYG"])
    assert {tile.crs for tile in tiles} == {"EPSG:32721"}


@pytest.mark.parametrize(
    ("outline", "message"),
    [
        (shapely.box(-179, 10, 179, 11), "antimeridian"),
        (shapely.box(179.9, -17, 180.1, -16.9), "from 179.9 to 180.1 .* antimeridian .* two runs"),
        (shapely.box(-180.2, -17, -179.9, -16.9), "antimeridian"),
        (shapely.box(-180, -17, -179.9, -16.9) | shapely.box(179.9, -17, 180, -16.9), "antimeridian"),
        (shapely.box(10, 84.5, 11, 85), "84"),
        (shapely.box(698_880, 5_155_840, 704_000, 5_160_960), "longitudes and latitudes"),
        (shapely.box(100, 10, 100.1, 10.1), "32TPS"),
    ],
)
def test_a_wrong_area_is_named(outline: shapely.Polygon, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        tiles_of_area(outline, 512, ["32TPS"])


def cube(width: int, height: int) -> Raster:
    return Raster("EPSG:32633", 465_181.05, 5_080_254.62, 9.995, 9.995, width, height)


@given(st.integers(1, 300), st.integers(1, 300), st.integers(16, 128))
def test_a_cube_is_cut_without_rest(width: int, height: int, size: int) -> None:
    tiles = tiles_of_raster(cube(width, height), "slovenia", size, None)
    seen = np.zeros((height, width), dtype=int)
    for tile in tiles:
        seen[tile.row * size : tile.row * size + tile.height, tile.column * size : tile.column * size + tile.width] += 1
    assert (seen == 1).all()


def test_an_area_beside_a_cube_is_named() -> None:
    with pytest.raises(ConfigError, match="outside the cube"):
        tiles_of_raster(cube(100, 100), "slovenia", 64, shapely.box(0, 0, 1, 1))


def test_pixels_outside_the_area_are_masked() -> None:
    tile = tiles_of_area(TWO_GRANULES, 256, ["32TPS"])[0]
    half = area(698_880, 5_155_840, 698_880 + 1280, 5_160_960)
    mask = area_mask(tile, half)
    assert mask[:, :127].all()
    assert not mask[:, 129:].any()
    assert area_mask(tile, None).all()


def lattice_tile(left: float, top: float, size: int) -> Tile:
    return Tile("EPSG:32632", left, top, 10.0, 10.0, size, size, "t", "g", 0, 0)


@given(st.integers(0, 2**31), st.integers(1, 100), st.integers(-3, 3), st.integers(-3, 3))
def test_blocks_stay_where_they_are_whatever_the_tiles(seed: int, block: int, dx: int, dy: int) -> None:
    shares = (0.5, 0.2, 0.3)
    left, top = 698_880 + 640 * dx, 5_160_960 + 640 * dy
    whole = block_parts(lattice_tile(left, top, 128), block, shares, seed)
    quarter = block_parts(lattice_tile(left + 640, top - 640, 64), block, shares, seed)
    np.testing.assert_array_equal(whole[64:, 64:], quarter)


def test_blocks_are_dealt_by_their_shares() -> None:
    parts = block_parts(lattice_tile(698_880, 5_160_960, 2048), 16, (0.5, 0.2, 0.3), 7)
    for part, share in ((Part.TRAINING, 0.5), (Part.VALIDATION, 0.2), (Part.PREDICTION, 0.3)):
        assert (parts == part).mean() == pytest.approx(share, abs=0.02)
    # Whole blocks, not pixels.
    blocks = parts.reshape(128, 16, 128, 16)
    assert (blocks == blocks[:, :1, :, :1]).all()


def test_an_area_across_the_antimeridian_is_refused_for_a_cube_too() -> None:
    raster = Raster("EPSG:32660", 800_000.0, 8_120_000.0, 10.0, 10.0, 64, 64)
    with pytest.raises(ConfigError, match="antimeridian"):
        tiles_of_raster(raster, "cube", 64, shapely.box(179.5, 72, 181, 74))
