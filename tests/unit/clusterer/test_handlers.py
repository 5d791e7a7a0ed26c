"""The three stages over four tiles whose truth is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from support.mapped_region import YEAR, Layers, MappedRegion
from support.wrong_map import WrongMap, wrong_map

from landseries.artifacts.documents import digest_of_file, read_json
from landseries.artifacts.rasters import read_raster, write_cog
from landseries.artifacts.tables import read_columns
from landseries.errors import Refused
from landseries.grid import Part, block_parts
from landseries.pipeline import INDICES, Unit
from landseries.service import Empty
from landseries_clusterer.verdicts import NO_SCORE, Verdict

SIZE_PX = 160


class Region(MappedRegion):
    """A region whose truth is known; in four of its rows there are too few clear views."""

    land: WrongMap
    views: npt.NDArray[np.uint8]

    def __init__(self, folder: Path, *, indices: int = 3, threads: int = 1, **clusterer: Any) -> None:
        self.land = wrong_map(SIZE_PX, 5, indices=indices)
        self.views = np.full((SIZE_PX, SIZE_PX), 9, np.uint8)
        self.views[100:104] = 4
        names = ["NDVI", "NDMI", "BSI"][:indices]
        layers = Layers(names, names, self.land.series, self.land.series, self.views, self.land.mapped)
        super().__init__(folder, layers, tile_size_px=96, threads=threads, blocks={"size_px": 16}, clusterer=clusterer)


@pytest.mark.parametrize("indices", [1, 3])
def test_reliable_pixels_are_right_and_many(tmp_path: Path, indices: int) -> None:
    there = Region(tmp_path, indices=indices)
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
    there = Region(tmp_path, reliable={"samples_per_class": 50})
    written = there.run_all()
    for name, tile in there.tiles.items():
        samples = read_columns(written[name]["samples.parquet"])
        bands = read_raster(written[name]["verdicts.tif"], tile)
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
        series = there.land.series[(slice(None), slice(None), *there.window(tile))]
        expected_series = series[:, :, place[0], place[1]].reshape(-1, len(place[0])).T
        assert np.array_equal(samples["series"], expected_series)
        assert np.array_equal(np.lexsort((samples["column"], samples["row"])), np.arange(len(samples["row"])))


@pytest.mark.parametrize("method", ["polygons", "cluster-then-associate"])
def test_bytes_do_not_depend_on_threads(tmp_path: Path, method: str) -> None:
    digests = []
    for threads in (1, 3):
        there = Region(tmp_path / str(threads), threads=threads, cluster={"method": method})
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
    there = Region(tmp_path, cluster={"method": "cluster-then-associate", "tile_clusters": 12})
    mapped, verdict, _ = there.verdicts(there.run_all())
    reliable = verdict == Verdict.RELIABLE
    known = mapped > 0
    precision = (there.land.truth[reliable] == mapped[reliable]).mean()
    assert precision > (there.land.truth[known] == mapped[known]).mean() + 0.05


def test_tables_say_what_each_part_is(tmp_path: Path) -> None:
    there = Region(tmp_path)
    name, tile = next(iter(there.tiles.items()))
    written = there.run("cluster", name)
    parts = read_columns(written["parts.parquet"])
    dominant, every = read_raster(written["dominant.tif"], tile)
    classes = there.land.mapped[there.window(tile)]
    for part, cover, size in zip(parts["part"], parts["class"], parts["dominant"], strict=True):
        assert (dominant == part).sum() == size
        assert (classes[every == part] == cover).all()
    assert np.array_equal(every > 0, (classes > 0) & (there.views[there.window(tile)] >= 5))
    assert parts["mean"].shape[1] == 36
    summary = read_json(written["summary.json"])
    assert summary["parts"] == len(parts["part"])
    assert summary["dominant_pixels"] == parts["dominant"].sum()


def test_a_tile_without_map_is_empty_and_the_region_lives_with_it(tmp_path: Path) -> None:
    there = Region(tmp_path)
    tiles = list(there.tiles)
    nothing = tmp_path / "nothing.tif"
    tile = there.tiles[tiles[0]]
    write_cog(nothing, np.zeros((1, *tile.shape), np.uint8), tile, names=["class"], nodata=0)
    there.given[Unit("reference", (tiles[0],))] = {"classes.tif": nothing}
    with pytest.raises(Empty, match="no class"):
        there.run("cluster", tiles[0])
    there.given[Unit("cluster", (tiles[0],))] = "empty"
    for other in tiles[1:]:
        there.run("cluster", other)
    written = there.run("classes", "all")
    assert set(read_json(written["classes.json"])["parts"]) == {"Artificial", "Grass", "Crops", "Mineral"}


def test_a_region_of_which_nothing_can_be_learnt_is_refused(tmp_path: Path) -> None:
    there = Region(tmp_path, cluster={"min_clear_views": 200})
    for tile in there.tiles:
        there.run("cluster", tile)
    with pytest.raises(Refused, match="min_clear_views"):
        there.run("classes", "all")
    for tile in there.tiles:
        there.given[Unit("cluster", (tile,))] = "refused"
    with pytest.raises(Refused, match="no tile has polygon parts"):
        there.run("classes", "all")


def test_features_without_any_index_are_refused_with_a_remedy(tmp_path: Path) -> None:
    there = Region(tmp_path)
    tile = next(iter(there.tiles))
    outputs = there.given[Unit("index", (tile, YEAR))]
    assert not isinstance(outputs, str)
    there.given[Unit("index", (tile, YEAR))] = {name: path for name, path in outputs.items() if name != INDICES}
    with pytest.raises(Refused, match="no spectral index"):
        there.run("cluster", tile)
