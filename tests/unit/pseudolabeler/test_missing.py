"""Missing dates: filled with what is typical, hidden in training, and no label of their own."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from landseries.bands import NODATA
from landseries.errors import ArtifactError
from landseries_pseudolabeler.forest import fit_forest
from landseries_pseudolabeler.missing import checked_typical, fill_missing, typical_values, with_hidden_copies
from landseries_pseudolabeler.walk import predict

DATES = 12


def test_typical_is_what_the_classes_have_in_common_however_many_samples_they_have() -> None:
    series = np.array([[1, NODATA, 7], [3, NODATA, NODATA], [8, NODATA, 9], [13, NODATA, NODATA]], np.int16)
    typical = typical_values(series, np.array([1, 1, 1, 2], np.uint8))
    assert typical.tolist() == [8, 0, 8]
    assert fill_missing(series[:2], typical).tolist() == [[1, 0, 7], [3, 0, 8]]


@given(st.integers(1, 30), st.integers(1, 3), st.integers(0, 3), st.integers(0, 99))
def test_copies_hide_one_run_of_whole_dates(dates: int, features: int, copies: int, seed: int) -> None:
    series = np.arange(40 * dates * features, dtype=np.int16).reshape(40, -1)
    labels = np.arange(40, dtype=np.uint8)
    found, of = with_hidden_copies(series, labels, dates=dates, copies=copies, seed=seed)
    assert found.shape == (40 * (copies + 1), dates * features)
    np.testing.assert_array_equal(found[:40], series)
    np.testing.assert_array_equal(of, np.tile(labels, copies + 1))
    hidden = (found == NODATA).reshape(len(found), dates, features)
    assert (hidden.all(axis=2) == hidden.any(axis=2)).all()
    runs = (np.diff(hidden[:, :, 0].astype(int), axis=1, prepend=0) == 1).sum(axis=1)
    assert (runs[:40] == 0).all()
    assert (runs <= 1).all()
    np.testing.assert_array_equal(np.where(found == NODATA, series[of], found), series[of])


def test_a_year_with_other_gaps_keeps_its_classes() -> None:
    """The training year has every date; in the labelled year the first half is missing."""
    random = np.random.default_rng(0)
    labels = np.repeat(np.array([1, 2, 3], np.uint8), 300)
    season = np.sin(np.linspace(0, 6, DATES))
    level = 2000.0 + 900.0 * labels[:, np.newaxis] * season
    series = (level + random.normal(0, 400, level.shape)).astype(np.int16)
    gappy = series.copy()
    gappy[:, : DATES // 2] = NODATA
    typical = typical_values(series, labels)
    names = [f"f{i}" for i in range(DATES)]
    rights = {}
    for copies in (0, 1):
        learnt, of = with_hidden_copies(series, labels, dates=DATES, copies=copies, seed=1)
        forest = fit_forest(fill_missing(learnt, typical), of, feature_names=names, trees=30, seed=0)
        found = predict(forest, np.ascontiguousarray(fill_missing(gappy, typical).T), threads=1).label
        rights[copies] = (found == labels).mean()
    raw = fit_forest(series, labels, feature_names=names, trees=30, seed=0)
    unfilled = (predict(raw, np.ascontiguousarray(gappy.T), threads=1).label == labels).mean()
    assert rights[1] > 0.85
    assert rights[1] > rights[0]
    assert rights[1] > unfilled + 0.1


@pytest.mark.parametrize("metadata", [{}, {"typical": [1]}, {"typical": [1, "2"]}, {"typical": [1, 99_999]}])
def test_a_file_without_sound_typical_values_is_refused(metadata: dict[str, object]) -> None:
    with pytest.raises(ArtifactError, match="typical"):
        checked_typical(metadata, 2)
