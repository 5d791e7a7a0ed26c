"""A table on the disk: the same series as in memory, in any order, without holding it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from landseries.artifacts.tables import read_in_parts, write_table
from landseries.errors import ArtifactError
from landseries.neural.normalisation import measure_in_parts, measure_normalisation
from landseries_trainer.mapped import MappedSeries, map_flat, write_flat
from landseries_trainer.samples import TrainingSet

#: More lines than a row group has.
COUNT = 70_000


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, np.ndarray]]:
    """A Parquet table of more than one row group, and its columns."""
    random = np.random.default_rng(0)
    columns = {
        "split": random.integers(0, 2, COUNT).astype(np.uint8),
        "year": random.integers(2018, 2021, COUNT).astype(np.int16),
        "class": random.integers(1, 12, COUNT).astype(np.uint8),
        "weight": random.random(COUNT).astype(np.float32),
        "series": random.integers(-32768, 10_000, (COUNT, 6)).astype(np.int16),
    }
    path = tmp_path_factory.mktemp("table") / "model.parquet"
    write_table(path, columns)
    return path, columns


def test_a_flat_table_holds_what_the_parquet_table_holds(
    table: tuple[Path, dict[str, np.ndarray]], tmp_path: Path
) -> None:
    path, columns = table
    assert len(list(read_in_parts(path, "split"))) == 2, "more than one part, or nothing is tested here"
    write_flat(path, tmp_path / "flat", ("a", "b"))
    mapped = map_flat(tmp_path / "flat", 2)
    assert mapped.series.shape == (COUNT, 3, 2)
    assert (mapped.series[slice(None)] == columns["series"].reshape(-1, 3, 2)).all()
    for name, values in mapped.columns.items():
        assert values.dtype == columns[name].dtype
        assert (values == columns[name]).all(), name


@pytest.mark.parametrize("resident_bytes", [1 << 30, 0])
def test_series_are_the_same_mapped_and_read_one_by_one(tmp_path: Path, resident_bytes: int) -> None:
    series = np.random.default_rng(1).integers(-9, 9, (5000, 24, 10)).astype(np.int16)
    (tmp_path / "flat").write_bytes(series.tobytes())
    stored = MappedSeries(tmp_path / "flat", 24, 10, resident_bytes)
    assert stored.shape == series.shape
    for lines in np.array_split(np.random.default_rng(2).permutation(5000), 7):
        assert (stored[lines] == series[lines]).all()
    for part in (slice(None), slice(100, 200), slice(4990, 6000)):
        assert (stored[part] == series[part]).all()


def test_lines_of_a_set_are_taken_in_their_order() -> None:
    series = np.arange(40, dtype=np.int16).reshape(10, 2, 2)
    labels = np.array([1, 2, 1, 3], np.uint8)
    chosen = TrainingSet(series, labels, lines=np.array([7, 2, 2, 9]))
    assert (chosen.take(np.array([3, 0])) == series[[9, 7]]).all()
    ones = chosen.of_classes(np.array([1], np.uint8))
    assert (ones.take(slice(None)) == series[[7, 2]]).all()
    assert np.concatenate(list(ones.parts())).shape == (2, 2, 2)


def test_the_normalisation_does_not_depend_on_how_series_are_cut() -> None:
    series = np.random.default_rng(3).integers(-32768, 12_000, (500, 5, 3)).astype(np.int16)
    series[:, :, 2] = -32768
    whole = measure_normalisation(series)
    parts = measure_in_parts((series[start : start + 77] for start in range(0, 500, 77)), 3)
    assert (whole.mean == parts.mean).all()
    assert (whole.std == parts.std).all()
    assert (whole.mean[2], whole.std[2]) == (0, 1)


def test_series_of_other_features_are_an_error(table: tuple[Path, dict[str, np.ndarray]], tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"series of shape \(65536, 6\).* of the 4 features a, b, c, d"):
        write_flat(table[0], tmp_path / "flat", ("a", "b", "c", "d"))
    (tmp_path / "torn").write_bytes(table[0].read_bytes()[:1000])
    with pytest.raises(ArtifactError, match="torn: cannot be read as a table"):
        write_flat(tmp_path / "torn", tmp_path / "flat", ("a", "b"))
    write_table(tmp_path / "short", {"split": np.zeros(3, np.uint8)})
    with pytest.raises(ArtifactError, match="misses the columns class, series, weight, year"):
        write_flat(tmp_path / "short", tmp_path / "flat", ("a", "b"))
