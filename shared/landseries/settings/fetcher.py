"""Settings of the fetcher: which acquisitions are chosen, how they are made alike, and how they are masked."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from landseries.settings.base import Settings, ours, paper


class SearchSettings(Settings):
    """Which acquisitions of a year are used, decided per processing tile."""

    per_year: int = paper(20, "Acquisitions a year at most, spread evenly over the period", ge=1, le=365)
    max_cloud_percent: float = ours(
        80.0, "Leave out an acquisition with more masked pixels over the tile than this", ge=0, le=100
    )
    max_nodata_percent: float = ours(
        40.0, "Leave out an acquisition with more no-data over the tile (a partial orbit) than this", ge=0, le=100
    )


class ReferenceSettings(Settings):
    """How the existing map is put onto the processing grid: by nearest neighbour, which needs no setting."""


class HarmonySettings(Settings):
    """How acquisitions of all years are made alike in level and place, decided per granule."""

    levels: Literal["refuse", "warn", "off"] = ours(
        "refuse",
        "Acquisitions whose dark pixels show an offset that is missing or was taken off twice: refuse them, only warn "
        "in the report, or off (do not look)",
    )
    measure_shifts: bool = ours(True, "Measure how far each acquisition lies from the others")
    max_shift_m: float = ours(
        5.0, "Largest shift (metres) against the reference of an acquisition that is used as it is", ge=0, le=40
    )
    above_max_shift: Literal["correct", "refuse", "warn"] = ours(
        "correct", "What is done with an acquisition that is shifted further: correct it, refuse it, or only warn"
    )
    correct_above_m: float = ours(
        1.0,
        "Where shifts are corrected, those longer than this (metres) already are; never more than max_shift_m counts",
        ge=0,
        le=40,
    )
    unmeasured: Literal["use", "refuse"] = ours(
        "use", "An acquisition whose shift cannot be measured: use it with a warning in the report, or refuse it"
    )
    probe_tiles: int = ours(4, "Tiles of a granule on which acquisitions are compared, at most", ge=1, le=64)

    @property
    def used_within_m(self) -> float:
        """Largest shift in metres of an acquisition that is used as it is, nothing corrected and nothing said."""
        is_corrected = self.above_max_shift == "correct"
        return min(self.correct_above_m, self.max_shift_m) if is_corrected else self.max_shift_m

    @model_validator(mode="after")
    def _what_is_not_measured_is_not_refused(self) -> HarmonySettings:
        if self.unmeasured == "refuse" and not self.measure_shifts:
            raise ValueError("unmeasured: refuse would refuse everything where measure_shifts is false; set it to use")
        return self


class FetchSettings(Settings):
    """How reflectance is read and clouds are masked."""

    masked_scene_classes: tuple[int, ...] = ours(
        (0, 1, 3, 8, 9, 10), "Values of the scene classification (SCL) that are no clear view"
    )
    cloud_buffer_m: float = ours(60.0, "Grow masked shadows and clouds by this distance (metres)", ge=0, le=2000)


class FetcherSettings(Settings):
    """Search, the reference map, harmonisation, and fetching."""

    search: SearchSettings = SearchSettings()
    reference: ReferenceSettings = ReferenceSettings()
    harmony: HarmonySettings = HarmonySettings()
    fetch: FetchSettings = FetchSettings()
