"""The examples that need a network: they load, and mean what they say."""

from __future__ import annotations

from pathlib import Path

import pytest
import shapely
from pyproj import Geod

from landseries.config import LoadedConfig, load_config
from landseries.granules import home_granules
from landseries.grid import tiles_of_area
from landseries.settings.catalogues import EarthSearchSource

EXAMPLES = Path(__file__).parents[3] / "examples"
#: All granules whose 100 km squares lie anywhere near, with those of the neighbouring zone.
AROUND = [f"32T{column}{row}" for column in "NPQ" for row in "QRST"] + ["33TTL", "33TTM", "33TUL", "33TUM"]


@pytest.fixture(scope="module")
def trentino() -> LoadedConfig:
    return load_config(EXAMPLES / "trentino.yaml")


def test_the_setting_of_the_paper(trentino: LoadedConfig) -> None:
    run = trentino.run
    assert run.years == [2018, 2019, 2020]
    assert run.forest_year == 2018
    assert run.fetcher.search.per_year == 20
    assert run.models == ["multi-year", "single-year"]
    assert isinstance(run.source, EarthSearchSource)
    assert run.source.collection == "sentinel-2-c1-l2a"
    assert len(trentino.legend.classes) == 10


def test_trentino_is_where_it_is(trentino: LoadedConfig) -> None:
    area = trentino.area
    assert area is not None
    west, south, east, north = area.bounds
    assert (west, south, east, north) == pytest.approx((10.45, 45.67, 11.97, 46.54), abs=0.02)
    size_km2 = abs(Geod(ellps="WGS84").geometry_area_perimeter(area)[0]) / 1e6
    assert size_km2 == pytest.approx(6_207, rel=0.06), "the province has 6,207 km2"
    inside = {"Trento": (11.12, 46.07), "Riva": (10.84, 45.89), "Canazei": (11.77, 46.48), "Cles": (11.03, 46.36)}
    outside = {"Bolzano": (11.35, 46.50), "Verona": (10.99, 45.44), "Feltre": (11.90, 46.02), "Edolo": (10.33, 46.18)}
    for name, place in inside.items():
        assert area.contains(shapely.Point(place)), name
    for name, place in outside.items():
        assert not area.contains(shapely.Point(place)), name


def test_the_granules_of_trentino(trentino: LoadedConfig) -> None:
    assert trentino.area is not None
    tiles = tiles_of_area(trentino.area, trentino.run.grid.tile_size_px, AROUND)
    assert {tile.granule for tile in tiles} == {"32TPR", "32TPS", "32TQR", "32TQS"}
    assert {tile.crs for tile in tiles} == {"EPSG:32632"}
    assert home_granules(32, True, 137, 1008, 5120)[0] in {tile.granule for tile in tiles}
