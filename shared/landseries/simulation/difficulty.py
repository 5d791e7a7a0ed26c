"""How hard the simulated archive is: every number that decides it, in one place.

The defaults are calibrated so that a model trained on one year's own pseudo-labels agrees with its neighbour year's
model on about 0.74 of the pixels, as in the published table (Sedona et al., IGARSS 2022). Nothing else in the
simulation is meant to be turned to make a task easier or harder.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Difficulty:
    """Strength of everything that makes land cover hard to map; zero switches an effect off.

    Attributes:
        year_shift_days: Typical shift of a year's phenology over the whole scene; early and late years alternate.
        class_year_shift_days: The same per class and year, on top.
        class_year_brightness: Standard deviation of the log brightness of a class in a year and season, per group of
            bands (visible, red edge and near infrared, shortwave infrared).
        class_year_greenness: Standard deviation of the relative greenness of a class in a year and season.
        parcel_brightness: Standard deviation of a parcel's persistent log brightness, per group of bands.
        parcel_greenness: Standard deviation of a parcel's persistent relative greenness.
        parcel_shift_days: Standard deviation of a parcel's persistent phenology shift.
        parcel_year_greenness: Standard deviation of a parcel's relative greenness in one year (management, drought).
        parcel_year_brightness: Standard deviation of a parcel's log brightness in one year, per group of bands.
        parcel_year_shift_days: Standard deviation of a parcel's phenology shift in one year.
        pixel_brightness: Standard deviation of persistent texture within a parcel (log, per group of bands).
        mixture: Multiplier of the share of a second material within each pixel and of its spread.
        look_alike_share: Share of parcels that look like another class, being partly made of what that one is.
        boundary_blur_px: Standard deviation of the point spread at 10 m, in pixels of 10 m.
        atmosphere_gain: Standard deviation of an acquisition's residual gain, per band.
        atmosphere_offset: Standard deviation of an acquisition's residual path reflectance in the blue band.
        sensor_noise: Standard deviation of independent noise per pixel and band, in reflectance.
        relief: Share of the topographic illumination that remains after correction, 0 to 1.
        snow_line_year_m: Standard deviation of a winter's snow line, in metres of altitude.
        snow_line_day_m: Standard deviation of the snow line from one acquisition to the next.
        missed_cloud_opacity: Clouds below this opacity are never in the scene classification.
        missed_shadow_share: Share of shadowed area that the scene classification misses.
        false_cloud_share: Share of bright ground that the scene classification calls cloud, on average per date.
        registration_shift_max_m: Largest shift of an acquisition of before 2021.
        refined_shift_max_m: Largest shift of a geometrically refined acquisition.
        map_precision: Share of the reference map's labelled pixels whose class is true in the reference year.
        map_age_years: Age of the reference map's content at the reference year.
    """

    year_shift_days: float = 7.0
    class_year_shift_days: float = 6.0
    class_year_brightness: float = 0.10
    class_year_greenness: float = 0.12
    parcel_brightness: float = 0.12
    parcel_greenness: float = 0.10
    parcel_shift_days: float = 7.0
    parcel_year_greenness: float = 0.24
    parcel_year_brightness: float = 0.12
    parcel_year_shift_days: float = 12.0
    pixel_brightness: float = 0.07
    mixture: float = 1.35
    look_alike_share: float = 0.40
    boundary_blur_px: float = 0.8
    atmosphere_gain: float = 0.03
    atmosphere_offset: float = 0.006
    sensor_noise: float = 0.002
    relief: float = 0.45
    snow_line_year_m: float = 70.0
    snow_line_day_m: float = 120.0
    missed_cloud_opacity: float = 0.20
    missed_shadow_share: float = 0.5
    false_cloud_share: float = 0.08
    registration_shift_max_m: float = 12.0
    refined_shift_max_m: float = 2.5
    map_precision: float = 0.81
    map_age_years: int = 2
