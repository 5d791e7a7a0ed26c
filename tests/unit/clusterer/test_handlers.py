"""The three stages over four tiles whose truth is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.harness import Bench, Given, cube_plan
from support.wrong_map import WrongMap, wrong_map

from landseries.artifacts.documents import digest_of_file, read_json
from landseries.artifacts.rasters import read_raster, write_cog
from landseries.artifacts.series import writing_series
from landseries.artifacts.tables import read_columns
from landseries.errors import Refused
from landseries.grid import Part, block_parts
from landseries.pipeline import COUNTS, INDICES, SERIES, Unit
from landseries.service import Context, Empty, load_service
from landseries_clusterer import handlers
from landseries_clusterer.verdicts import NO_SCORE, Verdict

SIZE_PX = 160
YEAR = "2018"


@dataclass
class Region:
    """A bench with inputs written, and everything that handlers answered so far."""

    bench: Bench
    land: WrongMap
    views: np.ndarray[Any, np.dtype[np.uint8]]
    given: dict[Unit, Given]

    def run(self, handler: Callable[[Context], None], stage: str, *key: str) -> dict[str, Path]:
        unit = Unit(stage, key)
        found = self.bench.run(handler, unit, self.given)
        self.given[unit] = found
        return found

    def run_all(self) -> dict[str, Path]:
        """All stages; returns the files of the last, by tile and name."""
        for tile in self.bench.plan.tile:
            self.run(handlers.cluster, "cluster", tile)
        self.run(handlers.classes, "classes", "all")
        written = {}
        for tile in self.bench.plan.tile:
            for name, path in self.run(handlers.reliable, "reliable", tile).items():
                written[f"{tile}/{name}"] = path
        return written

    def verdicts(self, written: dict[str, Path]) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """(class, verdict, score; row; column) of the whole region."""
        whole = np.zeros((3, SIZE_PX, SIZE_PX), np.uint8)
        for name, tile in self.bench.plan.tile.items():
            whole[_window(tile)] = read_raster(written[f"{name}/verdicts.tif"], tile)
        return whole


def _window(tile: Any) -> tuple[slice, slice, slice]:
    # Tiles of this region are 96 pixels wide but for the last column and row.
    row, column = tile.row * 96, tile.column * 96
    return slice(None), slice(row, row + tile.height), slice(column, column + tile.width)


def region(folder: Path, *, indices: int = 3, threads: int = 1, name: str = "work", **clusterer: Any) -> Region:
    land = wrong_map(SIZE_PX, 5, indices=indices)
    features = ["NDVI", "NDMI", "BSI"][:indices]
    plan = cube_plan(
        folder, features=features, size_px=(SIZE_PX, SIZE_PX), tile_size_px=96, blocks={"size_px": 16},
        clusterer=clusterer,
    )  # fmt: skip
    views = np.full((SIZE_PX, SIZE_PX), 9, np.uint8)
    views[100:104] = 4
    given: dict[Unit, Given] = {}
    for key, tile in plan.tile.items():
        place = folder / name / key
        place.mkdir(parents=True)
        window = _window(tile)
        for file in (SERIES, INDICES):
            with writing_series(place / file, tile, features=features, days=list(range(7, 367, 15))) as writer:
                for first in range(0, tile.height, 32):
                    rows = land.series[:, :, window[1], window[2]][:, :, first : first + 32]
                    writer.write_rows(first, rows)
        write_cog(place / COUNTS, views[None][window], tile, names=["clear_views"], nodata=None)
        write_cog(place / "classes.tif", land.mapped[None][window], tile, names=["class"], nodata=0)
        given[Unit("index", (key, YEAR))] = {file: place / file for file in (SERIES, INDICES, COUNTS)}
        given[Unit("reference", (key,))] = {"classes.tif": place / "classes.tif"}
    return Region(Bench(plan, folder / name, threads=threads), land, views, given)


@pytest.mark.parametrize("indices", [1, 3])
def test_reliable_pixels_are_right_and_many(tmp_path: Path, indices: int) -> None:
    there = region(tmp_path, indices=indices)
    mapped, verdict, score = there.verdicts(there.run_all())
    truth = there.land.truth
    assert np.array_equal(mapped, there.land.mapped)
    reliable = verdict == Verdict.RELIABLE
    before, after = [], []
    for cover in (1, 2, 3, 4):
        mine = mapped == cover
        before.append((truth[mine] == cover).mean())
        after.append((truth[mine & reliable] == cover).mean())
        assert reliable[mine & (truth == cover)].mean() > 0.3
    assert np.mean(before) < 0.87
    assert np.mean(after) > 0.95
    wrong = there.land.wrong_polygons & (mapped > 0) & (mapped != truth)
    assert (verdict[wrong] == Verdict.REJECTED).mean() > 0.8
    assert np.array_equal(verdict == Verdict.NONE, mapped == 0)
    few = (there.views < 5) & (mapped > 0)
    assert (verdict[few] == Verdict.UNCERTAIN).all()
    assert (score[few] == NO_SCORE).all()
    assert score[reliable].min() > 100


def test_samples_are_reliable_pixels_of_blocks_that_are_not_kept_for_prediction(tmp_path: Path) -> None:
    there = region(tmp_path, reliable={"samples_per_class": 50})
    written = there.run_all()
    for name, tile in there.bench.plan.tile.items():
        samples = read_columns(written[f"{name}/samples.parquet"])
        bands = read_raster(written[f"{name}/verdicts.tif"], tile)
        place = samples["row"], samples["column"]
        blocks = block_parts(tile, 16, there.bench.plan.config.blocks.shares, there.bench.plan.config.seed)
        assert np.array_equal(bands[0][place], samples["class"])
        assert (bands[1][place] == Verdict.RELIABLE).all()
        assert np.array_equal(bands[2][place], samples["score"])
        assert np.array_equal(blocks[place], samples["part"])
        assert (samples["part"] != Part.PREDICTION).all()
        allowed = (bands[1] == Verdict.RELIABLE) & (blocks != Part.PREDICTION)
        for cover in (1, 2, 3, 4):
            expected = min(50, int((allowed & (bands[0] == cover)).sum()))
            assert (samples["class"] == cover).sum() == expected
        series = there.land.series[:, :, _window(tile)[1], _window(tile)[2]]
        expected_series = series[:, :, place[0], place[1]].reshape(-1, len(place[0])).T
        assert np.array_equal(samples["series"], expected_series)
        assert np.array_equal(np.lexsort((samples["column"], samples["row"])), np.arange(len(samples["row"])))


@pytest.mark.parametrize("method", ["polygons", "cluster-then-associate"])
def test_bytes_do_not_depend_on_threads(tmp_path: Path, method: str) -> None:
    digests = []
    for threads in (1, 3):
        there = region(tmp_path, threads=threads, name=f"work-{threads}", cluster={"method": method})
        there.run_all()
        digests.append(
            {
                (unit.name, name): digest_of_file(path)
                for unit, outputs in there.given.items()
                if unit.stage in ("cluster", "classes", "reliable") and not isinstance(outputs, str)
                for name, path in outputs.items()
            }
        )
    assert digests[0] == digests[1]
    assert len(digests[0]) == 4 * 4 + 2 + 4 * 2


def test_association_needs_no_distributions_and_finds_reliable_pixels_too(tmp_path: Path) -> None:
    there = region(tmp_path, cluster={"method": "cluster-then-associate", "tile_clusters": 12})
    mapped, verdict, _ = there.verdicts(there.run_all())
    reliable = verdict == Verdict.RELIABLE
    known = mapped > 0
    precision = (there.land.truth[reliable] == mapped[reliable]).mean()
    assert precision > (there.land.truth[known] == mapped[known]).mean() + 0.05


def test_tables_say_what_each_part_is(tmp_path: Path) -> None:
    there = region(tmp_path)
    name, tile = next(iter(there.bench.plan.tile.items()))
    written = there.run(handlers.cluster, "cluster", name)
    parts = read_columns(written["parts.parquet"])
    dominant, every = read_raster(written["dominant.tif"], tile)
    classes = there.land.mapped[_window(tile)[1:]]
    for part, cover, size in zip(parts["part"], parts["class"], parts["dominant"], strict=True):
        assert (dominant == part).sum() == size
        assert (classes[every == part] == cover).all()
    assert np.array_equal(every > 0, (classes > 0) & (there.views[_window(tile)[1:]] >= 5))
    assert parts["mean"].shape[1] == 36
    summary = read_json(written["summary.json"])
    assert summary["parts"] == len(parts["part"])
    assert summary["dominant_pixels"] == parts["dominant"].sum()


def test_a_tile_without_map_is_empty_and_the_region_lives_with_it(tmp_path: Path) -> None:
    there = region(tmp_path)
    tiles = list(there.bench.plan.tile)
    nothing = tmp_path / "nothing.tif"
    tile = there.bench.tile(tiles[0])
    write_cog(nothing, np.zeros((1, *tile.shape), np.uint8), tile, names=["class"], nodata=0)
    there.given[Unit("reference", (tiles[0],))] = {"classes.tif": nothing}
    with pytest.raises(Empty, match="no class"):
        there.run(handlers.cluster, "cluster", tiles[0])
    there.given[Unit("cluster", (tiles[0],))] = "empty"
    for other in tiles[1:]:
        there.run(handlers.cluster, "cluster", other)
    written = there.run(handlers.classes, "classes", "all")
    assert set(read_json(written["classes.json"])["parts"]) == {"Artificial", "Grass", "Crops", "Mineral"}


def test_a_region_of_which_nothing_can_be_learnt_is_refused(tmp_path: Path) -> None:
    there = region(tmp_path, cluster={"min_clear_views": 200})
    for tile in there.bench.plan.tile:
        there.run(handlers.cluster, "cluster", tile)
    with pytest.raises(Refused, match="min_clear_views"):
        there.run(handlers.classes, "classes", "all")
    for tile in there.bench.plan.tile:
        there.given[Unit("cluster", (tile,))] = "refused"
    with pytest.raises(Refused, match="no tile has polygon parts"):
        there.run(handlers.classes, "classes", "all")


def test_features_without_any_index_are_refused_with_a_remedy(tmp_path: Path) -> None:
    there = region(tmp_path)
    tile = next(iter(there.bench.plan.tile))
    outputs = there.given[Unit("index", (tile, YEAR))]
    assert not isinstance(outputs, str)
    there.given[Unit("index", (tile, YEAR))] = {name: path for name, path in outputs.items() if name != INDICES}
    with pytest.raises(Refused, match="no spectral index"):
        there.run(handlers.cluster, "cluster", tile)


def test_the_service_offers_its_stages() -> None:
    assert set(load_service("clusterer").handlers) == {"cluster", "classes", "reliable"}
