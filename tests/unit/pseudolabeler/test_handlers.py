"""The stages forest and pseudolabel on artifacts of a small tile."""

from pathlib import Path

import numpy as np
import pytest

from landseries.artifacts.documents import read_json
from landseries.artifacts.rasters import read_raster, write_cog
from landseries.artifacts.series import writing_series
from landseries.artifacts.tables import write_points
from landseries.bands import NODATA
from landseries.errors import ArtifactError, Refused
from landseries.grid import Part
from landseries.pipeline import COUNTS, SERIES, Unit
from landseries_pseudolabeler import SERVICE
from landseries_pseudolabeler.model_file import read_forest
from landseries_pseudolabeler.walk import predict
from tests.support.harness import Bench, cube_plan

DATES = 6
GROW = SERVICE.handlers["forest"].run
LABEL = SERVICE.handlers["pseudolabel"].run
FOREST, TILE = Unit("forest", ("all",)), "cube-c0000-r0000"


def series_of(label: np.ndarray, seed: int) -> np.ndarray:
    """(pixels, dates * 2) int16: each class has a level of its own, with noise."""
    noise = np.random.default_rng(seed).normal(0, 150, (label.size, DATES * 2))
    return (1000 * label[:, np.newaxis] + noise).astype(np.int16)


def samples(path: Path, labels: np.ndarray, seed: int, part: Part = Part.TRAINING) -> Path:
    n = labels.size
    rng = np.random.default_rng(seed)
    columns = {
        "class": labels.astype(np.uint8),
        "part": np.full(n, part, np.uint8),
        "priority": rng.integers(0, 2**63, n).astype(np.uint64),
        "series": series_of(labels, seed),
    }
    write_points(path, columns, crs="EPSG:32632", x=np.arange(n, dtype=float), y=np.arange(n, dtype=float))
    return path


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    plan = cube_plan(
        tmp_path,
        size_px=(40, 128),
        pseudolabeler={"forest": {"trees": 10, "samples_per_class": 60}, "pseudolabel": {"min_clear_views": 3}},
    )
    return Bench(plan, tmp_path)


def grown(bench: Bench, tmp_path: Path, order: tuple[int, int] = (0, 1)) -> dict[str, Path]:
    labels = np.repeat([1, 3, 7], 80)
    files = [samples(tmp_path / f"s{i}.parquet", labels, seed=i) for i in order]
    tiles = [Unit("reliable", (tile,)) for tile in bench.plan.tile]
    return bench.run(GROW, FOREST, dict(zip(tiles, ({"samples.parquet": file} for file in files), strict=True)))


def test_a_forest_grows_on_the_lowest_priorities_of_all_tiles(bench: Bench, tmp_path: Path) -> None:
    outputs = grown(bench, tmp_path)
    summary = read_json(outputs["summary.json"])
    assert summary["samples_per_class"] == {"Artificial": 60, "Crops": 60, "Broadleaves": 60}
    forest, _ = read_forest(outputs["forest.safetensors"])
    assert forest.features[:3] == ("B04@00", "B08@00", "B04@01")
    # The order of the tiles changes nothing.
    again = grown(bench, tmp_path, order=(1, 0))
    assert again["forest.safetensors"].read_bytes() == outputs["forest.safetensors"].read_bytes()


def test_samples_of_other_blocks_are_not_used(bench: Bench, tmp_path: Path) -> None:
    labels = np.repeat([1, 3], 50)
    tiles = [Unit("reliable", (tile,)) for tile in bench.plan.tile]
    wrong = samples(tmp_path / "v.parquet", labels, 0, Part.VALIDATION)
    with pytest.raises(Refused, match="no tile has a reliable sample"):
        bench.run(GROW, FOREST, {tiles[0]: {"samples.parquet": wrong}, tiles[1]: "no clear view"})


def test_one_class_is_no_forest(bench: Bench, tmp_path: Path) -> None:
    tiles = [Unit("reliable", (tile,)) for tile in bench.plan.tile]
    only = samples(tmp_path / "o.parquet", np.repeat([4], 50), 0)
    with pytest.raises(Refused, match="needs two"):
        bench.run(GROW, FOREST, {tiles[0]: {"samples.parquet": only}, tiles[1]: "no clear view"})


def index_files(
    bench: Bench, folder: Path, features: tuple[str, ...] = ("B04", "B08")
) -> tuple[dict[str, Path], np.ndarray]:
    """A tile's series, its clear views and its true classes; some pixels without views, some without data."""
    tile = bench.plan.tile[TILE]
    truth = np.random.default_rng(5).choice([1, 3, 7], tile.shape)
    values = series_of(truth.ravel(), 9).reshape(*tile.shape, DATES, 2).transpose(2, 3, 0, 1).copy()
    values[:, :, 0, :4] = NODATA
    counts = np.full((1, *tile.shape), 9, np.uint8)
    counts[0, 5, :] = 2
    counts[0, 32:, :] = 0  # a whole block of rows without views
    folder.mkdir(exist_ok=True)
    files = {SERIES: folder / SERIES, COUNTS: folder / COUNTS}
    with writing_series(files[SERIES], tile, features=features, days=range(DATES)) as writer:
        for first in range(0, tile.height, 32):
            writer.write_rows(first, values[:, :, first : first + 32])
    write_cog(files[COUNTS], counts, tile, names=("clear_views",), nodata=None)
    return files, truth


def test_every_pixel_gets_the_forests_label_but_those_without_views(bench: Bench, tmp_path: Path) -> None:
    forest_files = grown(bench, tmp_path)
    files, truth = index_files(bench, tmp_path / "index")
    given = {FOREST: forest_files, Unit("index", (TILE, "2019")): files}
    outputs = bench.run(LABEL, Unit("pseudolabel", (TILE, "2019")), given)
    labels, probability = read_raster(outputs["labels.tif"])
    assert (labels[0, :4] == 0).all()
    assert (labels[5] == 0).all()
    assert (labels[32:] == 0).all()
    assert (probability[labels == 0] == 0).all()
    usable = labels != 0
    assert (labels[usable] == truth[usable]).mean() > 0.99
    forest, _ = read_forest(forest_files["forest.safetensors"])
    pixel = series_of(truth.ravel(), 9)[10 * 64 + 3]
    assert labels[10, 3] == predict(forest, pixel[:, np.newaxis]).label[0]
    assert abs(probability[10, 3] / 200 - predict(forest, pixel[:, np.newaxis]).probability[0]) <= 1 / 400


def test_a_forest_of_other_features_is_refused(bench: Bench, tmp_path: Path) -> None:
    files, _ = index_files(bench, tmp_path / "index", features=("B08", "B04"))
    given = {FOREST: grown(bench, tmp_path), Unit("index", (TILE, "2019")): files}
    with pytest.raises(ArtifactError, match="do not belong together"):
        bench.run(LABEL, Unit("pseudolabel", (TILE, "2019")), given)
