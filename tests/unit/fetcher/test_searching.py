"""What a tile takes, and the reason for everything else."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from support.tiny_archive import LEFT_M, TOP_M, TinyProduct, scene_of

from landseries.config import Period
from landseries.grid import Tile
from landseries.settings.fetcher import FetchSettings, SearchSettings
from landseries_fetcher.searching import Looked, Shares, decide, gap_days, look
from landseries_fetcher.sources.safe import SafeFolder

YEAR = Period(start=date(2018, 1, 1), end=date(2018, 12, 31))
MASKING = FetchSettings(cloud_buffer_m=0.0)
Archive = Callable[..., Path]


def _tile(column: int) -> Tile:
    grid = {"crs": "EPSG:32632", "top": TOP_M, "pixel_width": 10.0, "pixel_height": 10.0, "width": 40, "height": 120}
    return Tile(left=LEFT_M + 400.0 * column, id=f"t{column}", granule="32TQS", column=column, row=0, **grid)


WEST, EAST = _tile(0), _tile(1)
WHOLE = np.ones((120, 40), dtype=bool)


def _product(month: int, **fields: object) -> TinyProduct:
    day = f"2018{month:02d}05"
    return TinyProduct(start=f"{day}T101021", discriminator=f"{day}T134512", datastrip=f"{day}T101017", **fields)


def _look(folder: Path, tiles: dict[Tile, np.ndarray] | None = None, threads: int = 1) -> Looked:
    return look(SafeFolder(folder), "32TQS", YEAR, tiles or {WEST: WHOLE, EAST: WHOLE}, MASKING, threads)


def test_thresholds_are_those_of_the_tile(archive: Archive) -> None:
    cloudy, partial = scene_of(), scene_of()
    cloudy[:, :18] = 9
    partial[:30, 20:] = 0
    products = [_product(1), _product(3, scene=cloudy), _product(5, scene=partial)]
    looked = _look(archive(*products))
    names = [product.acquisition for product in products]
    west, verdicts = decide(looked, WEST, YEAR, SearchSettings(), True)
    assert west == [names[0], names[2]]
    assert [(v["verdict"], v["cloud_percent"], v["nodata_percent"]) for v in verdicts] == [
        ("taken", 0.0, 0.0),
        ("left", 90.0, 0.0),
        ("taken", 0.0, 0.0),
    ]
    assert verdicts[1]["reason"] == "cloudy: 90.0 % masked over the tile, more than 80 %"
    east, verdicts = decide(looked, EAST, YEAR, SearchSettings(), True)
    assert east == names[:2]
    assert verdicts[2]["reason"] == "partial orbit: 50.0 % no-data over the tile, more than 40 %"
    assert verdicts[2]["acquisition"] == names[2]
    assert gap_days(looked, WEST, YEAR, west) == 240.58, "from 5 May, 10:10, to the end of the year"
    assert gap_days(looked, EAST, YEAR, east) == 301.58, "from 5 March on"


def test_cloud_share_is_that_of_the_pixels_with_data(archive: Archive) -> None:
    scene = scene_of(0)
    scene[:, :12], scene[:, :3] = 4, 8
    shares = _look(archive(_product(1, scene=scene))).shares[_product(1).acquisition]["t0"]
    assert shares.nodata == pytest.approx(0.4)
    assert shares.clear == pytest.approx(0.45)
    assert shares.masked_of_data == pytest.approx(0.25)
    assert Shares(1.0, 0.0).masked_of_data == 0.0


def test_the_area_alone_counts(archive: Archive) -> None:
    """A cloud beside the area is none; half a 20 m pixel counts half."""
    scene = scene_of()
    scene[:, :10] = 9
    area = np.zeros((120, 40), dtype=bool)
    area[:, 19:] = True
    shares = _look(archive(_product(1, scene=scene)), {WEST: area}).shares[_product(1).acquisition]["t0"]
    assert shares.clear == pytest.approx(20 / 21)


def test_no_more_than_asked_for(archive: Archive) -> None:
    products = [_product(month) for month in range(1, 11)]
    taken, verdicts = decide(_look(archive(*products)), WEST, YEAR, SearchSettings(per_year=4), True)
    assert len(taken) == 4
    reasons = {verdict["verdict"]: verdict["reason"] for verdict in verdicts}
    assert "not among the 4 of 10" in reasons["left"]
    assert "4 of 10" in reasons["taken"]


def test_every_product_has_a_verdict(archive: Archive) -> None:
    again = _product(1, baseline="0500", offset=-1000)
    broken = _product(7)
    folder = archive(_product(1), again, _product(3, scene=scene_of(9)), broken)
    (folder / f"{broken.name}.SAFE" / "MTD_MSIL2A.xml").write_text("<cut")
    _, verdicts = decide(_look(folder), WEST, YEAR, SearchSettings(), True)
    assert {verdict["product"] for verdict in verdicts} == {path.stem for path in folder.iterdir()}
    assert all(verdict["reason"] for verdict in verdicts if verdict["verdict"] == "left")


def test_a_truncated_scene_classification_leaves_the_product_out(archive: Archive) -> None:
    """Its duplicate takes over, and the rest goes on."""
    again = _product(1, baseline="0500", offset=-1000)
    lost = _product(5)
    folder = archive(_product(1), again, _product(3), lost)
    for product in (again, lost):
        path = next((folder / f"{product.name}.SAFE").rglob("*_SCL_20m.jp2"))
        path.write_bytes(path.read_bytes()[:-50])
    looked = _look(folder, threads=3)
    products = [product.id for a in looked.catalogue.acquisitions for product in a.products]
    assert products == [_product(1).name, _product(3).name]
    reasons = {left.product: left.reason for left in looked.catalogue.left}
    assert reasons.keys() == {again.name, lost.name}
    assert all("_SCL_20m.jp2 is truncated" in reason for reason in reasons.values())


def test_thresholds_may_not_apply_but_a_view_must_show_something(archive: Archive) -> None:
    scene = scene_of(9)
    scene[0, 0] = 4
    looked = _look(archive(_product(1, scene=scene), _product(3, scene=scene_of(9))))
    taken, verdicts = decide(looked, WEST, YEAR, SearchSettings(), False)
    assert taken == [_product(1).acquisition]
    assert verdicts[1]["reason"] == "no clear view over the tile"
