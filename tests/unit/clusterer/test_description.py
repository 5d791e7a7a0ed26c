"""Descriptions: seasonal means that step around missing dates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from landseries.artifacts.series import reading_series, writing_series
from landseries.bands import NODATA
from landseries.grid import Raster
from landseries_clusterer.description import Description, describe, seasons_of


def described(folder: Path, values: NDArray[np.int16], length: int = 48) -> Description:
    """Describe a series (date, index, row, column) by way of a file."""
    dates, indices, height, width = values.shape
    raster = Raster("EPSG:32632", 640_000.0, 5_120_000.0, 10.0, 10.0, width, height)
    path = folder / "indices.zarr.zip"
    features = [f"I{number}" for number in range(indices)]
    with writing_series(path, raster, features=features, days=list(range(7, 7 + dates))) as writer:
        for first in range(0, height, 32):
            writer.write_rows(first, values[:, :, first : first + 32])
    with reading_series(path) as series:
        return describe(series, length)


def test_values_are_means_of_the_seasons(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(-9000, 9000, (24, 12, 40, 5)).astype(np.int16)
    found = described(tmp_path, values)
    expected = values.reshape(4, 6, 12, 200).mean(axis=1).transpose(1, 0, 2).reshape(48, 200) / 1e4
    assert found.seen.all()
    assert np.allclose(found.values, expected, atol=1e-6)
    assert found.names[:5] == ("I0-1", "I0-2", "I0-3", "I0-4", "I1-1")


def test_missing_dates_do_not_enter_a_mean_and_an_empty_season_takes_the_nearest(tmp_path: Path) -> None:
    values = np.zeros((8, 1, 1, 2), np.int16)
    values[:, 0, 0, 0] = [1000, NODATA, NODATA, NODATA, 3000, 5000, NODATA, NODATA]
    values[:, 0, 0, 1] = NODATA
    found = described(tmp_path, values, length=4)
    assert found.values[:, 0] == pytest.approx([0.1, 0.1, 0.4, 0.4])
    assert found.seen.tolist() == [True, False]
    assert not found.values[:, 1].any()


def test_few_indices_get_more_seasons_and_never_more_than_dates() -> None:
    assert seasons_of(12, 24, 48) == 4
    assert seasons_of(20, 24, 48) == 4
    assert seasons_of(6, 24, 48) == 8
    assert seasons_of(1, 24, 48) == 12
    assert seasons_of(1, 6, 48) == 6
    assert seasons_of(12, 2, 48) == 2
