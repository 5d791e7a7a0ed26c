"""Spectral indices beside the formulas of the spyndex catalogue, and at their edges."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import spyndex  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from landseries.bands import BANDS, NODATA, REFLECTANCE_SCALE
from landseries.errors import ConfigError
from landseries.indices import INDICES, bands_of, computable, compute, compute_series, find

#: The catalogue's names, where they are others.
CATALOGUE = {"NDRE": "NDREI", "BSI": "BI"}
#: The catalogue's letters for our bands, and the constants that formulas name.
LETTERS = {
    "B": "B02", "G": "B03", "R": "B04", "RE1": "B05", "RE2": "B06", "RE3": "B07", "N": "B08", "S1": "B11", "S2": "B12",
}  # fmt: skip
CONSTANTS = {
    "EVI": {"g": 2.5, "C1": 6.0, "C2": 7.5, "L": 1.0},
    "SAVI": {"L": 0.5},
}


def stored(seed: int, low: int = 1, high: int = 12_000, size: int = 500) -> dict[str, NDArray[np.int16]]:
    random = np.random.default_rng(seed)
    return {band: random.integers(low, high, size).astype(np.int16) for band in BANDS}


def catalogue(name: str, bands: dict[str, NDArray[np.int16]]) -> NDArray[np.float64]:
    reflectance = {letter: bands[band].astype(np.float64) / REFLECTANCE_SCALE for letter, band in LETTERS.items()}
    known = CATALOGUE.get(name, name)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(spyndex.computeIndex(known, {**reflectance, **CONSTANTS.get(name, {})}), np.float64)


@pytest.mark.parametrize("name", INDICES)
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_follows_the_published_formula(name: str, seed: int) -> None:
    bands = stored(seed)
    ours = compute(name, bands)
    low, high = INDICES[name].limits
    expected = np.clip(catalogue(name, bands), low, high) * REFLECTANCE_SCALE
    sound = np.ones(ours.size, bool)
    if name == "EVI":  # its denominator passes through zero, where float32 keeps fewer digits of the ratio
        sound = bands["B08"] + 6.0 * bands["B04"] - 7.5 * bands["B02"] + REFLECTANCE_SCALE > 0.1 * REFLECTANCE_SCALE
    assert sound.mean() > 0.3
    # Half a stored unit of rounding, and what float32 loses where a denominator is small.
    np.testing.assert_allclose(ours[sound], expected[sound], rtol=0, atol=1.0)


def test_evi_has_no_value_where_its_denominator_is_none() -> None:
    bands = {"B08": [2000, 2000, 2001], "B04": [300, 300, 300], "B02": [1840, 1850, 1839]}
    values = compute("EVI", {band: np.array(of, np.int16) for band, of in bands.items()})
    # Denominators: 0.2 + 0.18 - 1.38 + 1 = 0, then -0.0075, then +0.00085.
    assert values.tolist() == [NODATA, NODATA, 30_000]


@pytest.mark.parametrize("name", INDICES)
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_no_data_in_a_band_that_is_read_is_no_data_and_nowhere_else(name: str, seed: int) -> None:
    index, bands = INDICES[name], stored(seed, low=200, high=3000)
    random = np.random.default_rng(seed)
    absent = {band: random.random(500) < 0.05 for band in BANDS}
    complete = compute(name, bands)
    values = compute(name, {band: np.where(absent[band], NODATA, of).astype(np.int16) for band, of in bands.items()})
    expected = np.logical_or.reduce([absent[band] for band in index.bands])
    np.testing.assert_array_equal(values, np.where(expected, NODATA, complete))


@pytest.mark.parametrize("name", INDICES)
def test_any_stored_reflectance_gives_a_value_within_the_limits(name: str) -> None:
    bands = stored(3, low=-32767, high=32767, size=20_000)
    values = compute(name, bands)
    low, high = INDICES[name].limits
    kept = values[values != NODATA]
    assert kept.min() >= low * REFLECTANCE_SCALE
    assert kept.max() <= high * REFLECTANCE_SCALE
    assert max(abs(low), abs(high)) * REFLECTANCE_SCALE <= 32_767
    if name != "EVI":
        assert kept.size == values.size


def test_reflectance_at_or_below_zero_is_one_stored_unit() -> None:
    dark = {"B08": np.array([-120, 0, 1, -7], np.int16), "B04": np.array([-5, 0, 1, 99], np.int16)}
    assert compute("NDVI", dark).tolist() == [0, 0, 0, -9800]


@pytest.mark.parametrize(
    ("name", "bands", "sign"),
    [
        ("NDVI", {"B04": 300, "B08": 4000}, 1),
        ("NDWI", {"B03": 600, "B08": 100}, 1),
        ("NDSI", {"B03": 8000, "B11": 800}, 1),
        ("BSI", {"B02": 800, "B04": 1800, "B08": 2500, "B11": 3500}, 1),
        ("NDBI", {"B08": 2000, "B11": 2600}, 1),
        ("NDMI", {"B08": 2000, "B11": 2600}, -1),
    ],
)
def test_is_positive_over_what_it_is_named_after(name: str, bands: dict[str, int], sign: int) -> None:
    value = compute(name, {band: np.array([of], np.int16) for band, of in bands.items()}).item()
    assert sign * value > 1000


def test_same_information_is_declared_and_left_out_when_asked() -> None:
    bands = stored(8)
    everything = {name: compute(name, bands).astype(np.int32) for name in INDICES}
    for first, second in combinations(INDICES, 2):
        declared = INDICES[first].same_as == second or INDICES[second].same_as == first
        assert declared == equal_but_for_sign(everything[first], everything[second]), (first, second)
    distinct = computable(BANDS, distinct=True)
    assert len(distinct) == 15
    assert not {"NDSI", "NDBI", "GNDVI"} & set(distinct)
    assert {INDICES[name].domain for name in distinct} >= {"vegetation", "water", "snow", "soil"}


def equal_but_for_sign(a: NDArray[np.int32], b: NDArray[np.int32]) -> bool:
    return bool(np.array_equal(a, b) or np.array_equal(a, -b))


def test_what_is_computable_follows_from_the_bands() -> None:
    assert computable(BANDS) == list(INDICES)
    assert computable(["NDVI", "anything"]) == []
    assert computable(["B02", "B03", "B04", "B08"]) == ["NDVI", "EVI", "SAVI", "GNDVI", "NDWI"]
    assert computable(["B03", "B11"], distinct=True) == ["MNDWI"]
    assert bands_of(["NDSI", "NDVI"]) == ("B03", "B04", "B08", "B11")
    for index in INDICES.values():
        assert all(band in index.formula for band in index.bands)
        assert index.source


def test_a_series_is_its_dates_and_its_indices_in_the_order_asked_for() -> None:
    random = np.random.default_rng(2)
    features = ("B11", "B08", "other", "B04", "B03")
    series = random.integers(1, 9000, (3, 5, 130, 140)).astype(np.int16)
    series[1, 3, :10] = NODATA
    names = ["NDSI", "NDVI", "NDMI"]
    values = compute_series(names, series, features)
    assert values.shape == (3, 3, 130, 140)
    for date in range(3):
        of_date = dict(zip(features, series[date], strict=True))
        for position, name in enumerate(names):
            np.testing.assert_array_equal(values[date, position], compute(name, of_date))
    assert (values[1, 1, :10] == NODATA).all()
    assert (values[1, 0] != NODATA).all()
    assert compute_series([], series, features).shape == (3, 0, 130, 140)


def test_what_is_wrong_is_said() -> None:
    bands = stored(1)
    with pytest.raises(ConfigError, match=r"no index 'ndvi'; known are NDVI, EVI"):
        find("ndvi")
    with pytest.raises(ConfigError, match=r"EVI reads B08, B04, B02, but the imagery has no B02; computable are NDVI"):
        compute("EVI", {"B08": bands["B08"], "B04": bands["B04"]})
    with pytest.raises(ValueError, match="int16 of one shape"):
        compute("NDVI", {"B08": bands["B08"], "B04": bands["B04"][:-1]})
    with pytest.raises(ValueError, match="int16 of one shape"):
        compute("NDVI", {band: values.astype(np.float32) for band, values in bands.items()})
    with pytest.raises(ValueError, match="expected int16"):
        compute_series(["NDVI"], np.zeros((2, 3, 4, 4), np.int16), ("B08", "B04"))
