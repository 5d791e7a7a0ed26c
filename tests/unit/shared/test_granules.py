"""Names of granules: the Military Grid Reference System as another implementation computes it, and the overlap."""

import mgrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Transformer

from landseries.granules import home_granules

SIDE_M = 5120


def test_a_tile_in_the_overlap_is_held_by_both() -> None:
    assert home_granules(32, True, 137, 1008, SIDE_M) == ["32TQS", "32TPS"]
    assert home_granules(32, True, 150, 1008, SIDE_M) == ["32TQS"]


def test_the_upper_left_pixel_decides_on_the_line() -> None:
    # 500 km east and 5,200 km north lie on lines of the square grid: the tile begins right and below of them.
    assert home_granules(32, True, 50, 520, 10_000)[0] == "32TNS"
    assert home_granules(32, True, 50, 521, 10_000)[0] == "32TNT"


@pytest.mark.parametrize(("column", "row", "name"), [(60, 520, "32TPS"), (60, 530, "32TPT")])
def test_known_granules_of_trentino(column: int, row: int, name: str) -> None:
    assert home_granules(32, True, column, row, 10_000)[0] == name


@given(st.floats(-179.9, 179.9), st.floats(-79, 83))
def test_the_home_is_the_square_that_another_implementation_finds(longitude: float, latitude: float) -> None:
    zone = int((longitude + 180) // 6) + 1
    if abs(latitude) < 0.01:
        return  # a place beside the equator belongs to one hemisphere here and may to the other there
    if (56 <= latitude < 64 and 0 <= longitude < 12) or (latitude >= 72 and 0 <= longitude < 42):
        return  # Norway and Svalbard: MGRS widens some zones there, the Sentinel-2 lattice of a UTM zone does not
    north = latitude >= 0
    crs = f"EPSG:{(32600 if north else 32700) + zone}"
    x, y = Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(longitude, latitude)
    column, row = int(x // 10), int(y // 10) + 1
    x, y = column * 10 + 5, row * 10 - 5
    found = mgrs.MGRS().UTMToMGRS(zone, "N" if north else "S", x, y, MGRSPrecision=0).strip().zfill(5)
    if int(found[:2]) == zone:
        assert found in home_granules(zone, north, column, row, 10)
