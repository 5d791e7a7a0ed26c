"""Offsets that are missing or doubled, told from the pixels of all weather."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt
import pytest

from landseries.bands import BANDS, NODATA
from landseries.simulation.difficulty import Difficulty
from landseries.simulation.geometry import Geometry
from landseries.simulation.orbits import plan_datatakes
from landseries.simulation.sensor import Camera
from landseries_fetcher.harmony.dark_targets import excess, find_dark_targets
from landseries_fetcher.harmony.levels import LEVEL_BANDS, LevelVerdict, judge_levels
from landseries_fetcher.masking import clear_mask

MASKED = (0, 1, 3, 8, 9, 10)
ACCUSED = (LevelVerdict.MISSING, LevelVerdict.DOUBLED)
Samples = npt.NDArray[np.int16]


@cache
def simulated() -> tuple[Samples, tuple[int, ...]]:
    """Samples of all weather of two years, and their days of the year."""
    samples, days, _ = simulated_with_dark_targets()
    return samples, days


@cache
def simulated_with_dark_targets() -> tuple[Samples, tuple[int, ...], tuple[float, ...]]:
    """Samples and days as above, and how much brighter known dark ground is than it should be."""
    geometry, difficulty = Geometry(256), Difficulty()
    camera = Camera(geometry, 2019, difficulty, 907)
    places = np.arange(0, 128 * 128, 16)
    samples, days, known = [], [], []
    for datatake in plan_datatakes([2018, 2019], 14, geometry, difficulty, 907):
        image = camera.take(datatake)
        at_20_m = [
            image.bands[name][:: len(image.bands[name]) // 128, :: len(image.bands[name]) // 128]
            for name in LEVEL_BANDS
        ]
        sample = np.stack([band.ravel()[places] for band in at_20_m])
        clear = clear_mask(image.scene, MASKED, 60.0, (20.0, 20.0))
        sample[:, ~clear.ravel()[places]] = NODATA
        full = np.stack(
            [image.bands[name][:: len(image.bands[name]) // 128, :: len(image.bands[name]) // 128] for name in BANDS]
        )
        known.append(excess([find_dark_targets(full, clear)]))
        samples.append(sample)
        days.append(datatake.day.timetuple().tm_yday)
    return np.stack(samples), tuple(days), tuple(known)


def moved(samples: Samples, wrong: npt.NDArray[np.int64] | Sequence[int], numbers: int) -> Samples:
    changed = samples.copy()
    wrong = list(wrong)
    changed[wrong] = np.where(samples[wrong] == NODATA, NODATA, samples[wrong] + numbers)
    return changed


def ground(acquisitions: int, dark: bool, seed: int = 1, pixels: int = 200) -> Samples:
    """Ground that stays as it is but for a haze of each acquisition, fading with wavelength."""
    rng = np.random.default_rng(seed)
    base = rng.uniform(100 if dark else 3200, 2500 if dark else 5000, (len(LEVEL_BANDS), pixels))
    haze = rng.uniform(0, 150, (acquisitions, 1, 1)) * np.array([1, 0.7, 0.5, 0.4, 0.1, 0.05])[:, None]
    return np.asarray(base + haze + rng.normal(0, 40, (acquisitions, *base.shape)), dtype=np.int16)


def test_no_acquisition_of_any_weather_is_accused() -> None:
    samples, days = simulated()
    findings = judge_levels(samples, days)
    assert not [finding for finding in findings if finding.verdict in ACCUSED]
    seen = (samples[:, 0] != NODATA).sum(axis=1) >= 200
    right = [finding.verdict == LevelVerdict.OK for finding in findings]
    assert np.mean(np.array(right)[seen]) >= 0.7, "snow and haze may leave some open, not most"


@pytest.mark.parametrize(("numbers", "verdict"), [(1000, LevelVerdict.MISSING), (-1000, LevelVerdict.DOUBLED)])
def test_half_of_an_archive_with_wrong_offsets_is_found(numbers: int, verdict: LevelVerdict) -> None:
    samples, days = simulated()
    wrong = np.random.default_rng(3).permutation(len(samples))[::2]
    findings = judge_levels(moved(samples, wrong, numbers), days)
    seen = [number for number in wrong if (samples[number, 0] != NODATA).sum() >= 200]
    verdicts = [findings[number].verdict for number in seen]
    assert LevelVerdict.OK not in verdicts
    assert verdicts.count(verdict) >= 0.85 * len(verdicts)
    assert not [number for number, found in enumerate(findings) if found.verdict in ACCUSED and number not in wrong]


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7, 1.0])
@pytest.mark.parametrize(("numbers", "verdict"), [(1000, LevelVerdict.MISSING), (-1000, LevelVerdict.DOUBLED)])
def test_known_dark_ground_tells_however_many_are_wrong(numbers: int, verdict: LevelVerdict, share: float) -> None:
    samples, days, known = simulated_with_dark_targets()
    wrong = np.random.default_rng(4).permutation(len(samples))[: round(share * len(samples))]
    levels = np.array(known)
    levels[wrong] += numbers / 10_000
    findings = judge_levels(moved(samples, list(wrong), numbers), days, levels.tolist())
    seen = [number for number in wrong if (samples[number, 0] != NODATA).sum() >= 200]
    verdicts = [findings[number].verdict for number in seen]
    assert LevelVerdict.OK not in verdicts
    assert verdicts.count(verdict) >= 0.8 * len(verdicts)
    assert not [number for number, found in enumerate(findings) if found.verdict in ACCUSED and number not in wrong]


def test_an_archive_that_lacks_all_offsets_is_not_called_right_without_known_dark_ground() -> None:
    """What cannot be told: ground without water and dense vegetation, where nothing right is there to compare with."""
    for dark in (True, False):
        findings = judge_levels(moved(ground(6, dark=dark), range(6), 1000), range(100, 160, 10))
        verdicts = {finding.verdict for finding in findings}
        # Bright ground alike in all is taken as it is; where some is dark, the pixels leave it open.
        assert verdicts == ({LevelVerdict.UNKNOWN} if dark else {LevelVerdict.OK})
        assert {finding.conflict for finding in findings} == {None}


def test_where_nothing_is_dark_two_levels_are_a_conflict() -> None:
    samples = moved(ground(5, dark=False), [0, 1], 1000)
    samples[4, :, 60:] = NODATA
    findings = judge_levels(samples, [100, 110, 120, 130, 140])
    steps = [None if finding.conflict is None else finding.conflict.step for finding in findings]
    assert steps == [1, 1, 0, 0, None], "and what shares no pixel with them has no part in it"
    assert len({finding.conflict.group for finding in findings if finding.conflict is not None}) == 1


@pytest.mark.parametrize(("numbers", "verdict"), [(1000, LevelVerdict.MISSING), (-1000, LevelVerdict.DOUBLED)])
def test_two_acquisitions_and_200_pixels_are_enough_where_ground_is_dark(numbers: int, verdict: LevelVerdict) -> None:
    for seed in range(20):
        findings = judge_levels(moved(ground(2, dark=True, seed=seed), [0], numbers), [180, 190])
        assert [finding.verdict for finding in findings] == [verdict, LevelVerdict.OK]
    assert np.median(findings[0].rise) == pytest.approx(numbers / 10_000, abs=0.02)
    assert findings[0].compared == 1


def test_where_nothing_is_dark_two_groups_of_equal_size_cannot_be_told_apart() -> None:
    samples = moved(ground(4, dark=False), [0, 1], 1000)
    assert {finding.verdict for finding in judge_levels(samples, [100, 110, 120, 130])} == {LevelVerdict.UNKNOWN}


def test_where_nothing_is_dark_most_acquisitions_are_believed() -> None:
    samples = moved(ground(6, dark=False), [2], -1000)
    verdicts = [finding.verdict for finding in judge_levels(samples, range(100, 160, 10))]
    assert verdicts == [LevelVerdict.DOUBLED if number == 2 else LevelVerdict.OK for number in range(6)]


def test_bright_ground_alike_in_all_acquisitions_is_right() -> None:
    findings = judge_levels(ground(5, dark=False), range(100, 150, 10))
    assert {finding.verdict for finding in findings} == {LevelVerdict.OK}


def test_snow_is_no_offset() -> None:
    samples = ground(6, dark=True)
    snow = np.array([8400, 8500, 8400, 8200, 1100, 900])[:, None]
    samples[0] = np.where(np.arange(200) < 190, snow, samples[0])
    findings = judge_levels(samples, [20, 40, 60, 180, 200, 220])
    assert findings[0].verdict not in ACCUSED
    assert {finding.verdict for finding in findings[1:]} == {LevelVerdict.OK}


def test_snow_between_trees_is_no_offset() -> None:
    """Snow on part of each pixel raises all visible bands by a step, and the shortwave infrared by next to nothing."""
    samples = ground(8, dark=True)
    raised = np.array([740, 830, 960, 1080, 90, 140], dtype=np.int16)[:, None]
    samples[0] += raised
    for known in (float("nan"), 0.01, 0.064):
        findings = judge_levels(samples, range(20, 180, 20), [known, *[float("nan")] * 7])
        assert findings[0].verdict not in ACCUSED
        assert {finding.verdict for finding in findings[1:]} == {LevelVerdict.OK}


def test_known_dark_ground_contradicts_an_accusation() -> None:
    samples = moved(ground(6, dark=True), [0], 1000)
    known = [0.0] * 6
    assert judge_levels(samples, range(100, 160, 10), known)[0].verdict not in ACCUSED
    assert judge_levels(samples, range(100, 160, 10), [0.1, *known[1:]])[0].verdict == LevelVerdict.MISSING


def test_too_few_pixels_tell_nothing() -> None:
    samples = ground(3, dark=True)
    samples[1, :, 60:] = NODATA
    findings = judge_levels(samples, [10, 20, 30])
    assert [finding.verdict for finding in findings] == [LevelVerdict.OK, LevelVerdict.UNKNOWN, LevelVerdict.OK]
    assert findings[1].compared == 0


def test_order_of_acquisitions_changes_no_verdict() -> None:
    samples, days = simulated()
    samples = moved(samples, [1, 4, 9], 1000)
    order = np.random.default_rng(5).permutation(len(samples))
    forwards = judge_levels(samples, days)
    mixed = judge_levels(samples[order], [days[number] for number in order])
    assert [forwards[number].verdict for number in order] == [finding.verdict for finding in mixed]


def test_no_acquisitions_are_no_findings_and_wrong_shapes_are_refused() -> None:
    assert judge_levels(np.empty((0, 6, 10), dtype=np.int16), []) == []
    with pytest.raises(ValueError, match=r"a day for each"):
        judge_levels(ground(2, dark=True), [1])
