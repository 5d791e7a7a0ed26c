"""Probe tiles: which are chosen, and what is kept of an acquisition."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from landseries.bands import BANDS, NODATA
from landseries.grid import Tile
from landseries.settings.fetcher import FetchSettings
from landseries_fetcher.harmony.probing import Prober, blocks, choose_probe_tiles
from landseries_fetcher.sources.base import Acquisition, Image, Product


def tile(column: int, row: int, size_px: int = 64) -> Tile:
    side = 10.0 * size_px
    name = f"c{column:02d}-r{row:02d}"
    return Tile("EPSG:32632", column * side, -row * side, 10.0, 10.0, size_px, size_px, name, "32TQS", column, row)


ACQUISITION = Acquisition("S2A", datetime(2018, 7, 5), "S2A", 22, (Product("P", "P.SAFE", "02.08", "sum"),))


@dataclass
class Columns:
    """A source whose pixels say in which column of the whole lattice they lie; the westernmost are hidden."""

    read: list[str] = field(default_factory=list)

    def identity(self) -> dict[str, str]:
        return {}

    def images(
        self, acquisition: Acquisition, tiles: Sequence[Tile], masking: FetchSettings, threads: int
    ) -> Iterator[tuple[Tile, Image]]:
        self.read.append(acquisition.id)
        for one in reversed(tiles):
            places = np.arange(one.width) + round(one.left / 10)
            features = np.broadcast_to(places.astype(np.int16), (len(BANDS), one.height, one.width)).copy()
            features[BANDS.index("B11")] = 0
            yield one, Image(features, np.broadcast_to(places >= 10, one.shape), {"PRODUCTS": '{"P":{"baseline":"1"}}'})


def prober(source: Columns, tiles: Sequence[Tile], folder: Path, **masking: float) -> Prober:
    return Prober(source, tiles, FetchSettings(**masking), folder, 1)  # type: ignore[arg-type]


def test_tiles_that_are_seen_and_lie_apart() -> None:
    tiles = [tile(column, row) for column in range(5) for row in range(5)]
    seen = {one.id: 10.0 for one in tiles} | {"c04-r04": 2.0, "c02-r02": 11.0}
    chosen = choose_probe_tiles(tiles, seen, 4)
    assert [one.id for one in chosen] == ["c00-r00", "c00-r04", "c02-r02", "c04-r00"]
    assert choose_probe_tiles(list(reversed(tiles)), seen, 4) == chosen
    assert len(choose_probe_tiles(tiles[:3], {}, 4)) == 3, "of few all are looked at"
    assert choose_probe_tiles([], {}, 4) == []


def test_tiles_that_touch_are_one_image() -> None:
    tiles = [tile(0, 0), tile(2, 0), tile(1, 0), tile(4, 4), tile(5, 5)]
    assert [len(block) for block in blocks(tiles)] == [3, 2]


def test_what_is_kept(tmp_path: Path) -> None:
    source = Columns()
    probe = prober(source, [tile(0, 0), tile(1, 0), tile(3, 0)], tmp_path).probe(ACQUISITION)
    (wide, clear), (alone, _) = probe.edge_images()
    assert wide.shape == (2, 64, 128)
    assert wide[0, 0].tolist() == list(range(128)), "across the tiles' border"
    assert alone[1, 0, 0] == 192
    assert clear[0].tolist() == [place >= 10 for place in range(128)]
    assert probe.clear_share == pytest.approx(1 - 10 / 192)
    assert probe.products == {"P": {"baseline": "1"}}
    assert probe.known_dark == pytest.approx(-0.01), "some columns are as dark and flat as water"
    first_row = probe.sample[0][: probe.sample.shape[1] // 3 // 32]
    assert first_row[0] == NODATA, "hidden"
    assert (probe.sample == NODATA).any(axis=0).mean() == pytest.approx(10 / 192, abs=0.02)
    assert probe.snow_share == 0.0


def test_snow_is_bright_in_the_green_and_dark_in_the_shortwave_infrared(tmp_path: Path) -> None:
    # Columns 1000 and further are brighter than 0.1 in the green, and all have none of the shortwave infrared.
    probe = prober(Columns(), [tile(0, 0), tile(16, 0)], tmp_path).probe(ACQUISITION)
    assert probe.snow_share == pytest.approx(64 / (128 - 10))
    half = probe.sample.shape[1] // 2
    assert (probe.sample[:, half:] == NODATA).all(), "its levels are not those of the ground"


def test_what_was_read_is_not_read_again_unless_something_changed(tmp_path: Path) -> None:
    source = Columns()
    first = prober(source, [tile(0, 0)], tmp_path).probe(ACQUISITION)
    again = prober(source, [tile(0, 0)], tmp_path).probe(ACQUISITION)
    assert source.read == ["S2A"]
    assert np.array_equal(first.sample, again.sample)
    prober(source, [tile(1, 0)], tmp_path).probe(ACQUISITION)
    prober(source, [tile(0, 0)], tmp_path, cloud_buffer_m=0).probe(ACQUISITION)
    assert len(source.read) == 3
    assert not list(tmp_path.glob("*.partial"))
