"""Shifts of the simulated archive are measured to 2 m, and undone leave no more false change along edges than none."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import numpy.typing as npt
from support.edges import unchanged_edges

from landseries.simulation.difficulty import Difficulty
from landseries.simulation.geometry import Geometry
from landseries.simulation.orbits import Datatake, plan_datatakes
from landseries.simulation.sensor import Camera, Image
from landseries_fetcher.harmony.correcting import correct_classes, correct_numbers
from landseries_fetcher.harmony.shifts import Shift, measure_shift
from landseries_fetcher.masking import clear_mask
from landseries_fetcher.reading import replicate

SIZE_PX = 256
SEED = 911
YEARS = (2018, 2019)
MASKED = (0, 1, 3, 8, 9, 10)
ADDED = 1000
Bands = npt.NDArray[np.int16]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Views:
    """Greenness (NDVI) of one date as it is, shifted, and corrected, where all three are clear."""

    datatake: Datatake
    clear: Mask
    as_is: npt.NDArray[np.float64]
    shifted: npt.NDArray[np.float64]
    corrected: npt.NDArray[np.float64]
    error_m: float


def seen(image: Image) -> tuple[Bands, Mask]:
    return np.stack([image.bands["B04"], image.bands["B08"]]), clear_of(image.scene)


def clear_of(scene: npt.NDArray[np.uint8]) -> Mask:
    return replicate(clear_mask(scene, MASKED, 60.0, (20.0, 20.0)), 2)


def greenness(bands: Bands) -> npt.NDArray[np.float64]:
    red, infrared = bands.astype(float)
    return np.asarray((infrared - red) / np.maximum(infrared + red, 200))


def views(camera: Camera, datatake: Datatake, length_m: float, angle: float, reference: tuple[Bands, Mask]) -> Views:
    true = Shift(length_m * np.sin(angle), length_m * np.cos(angle))
    plain = camera.take(replace(datatake, shift_north_m=0.0, shift_east_m=0.0))
    moved = camera.take(replace(datatake, shift_north_m=true.north_m, shift_east_m=true.east_m))
    bands, clear = seen(moved)
    found = measure_shift(bands, clear, *reference).shift
    assert found is not None, f"{datatake.name} cannot be measured"
    numbers = (bands + ADDED).astype(np.uint16)
    corrected = np.stack([correct_numbers(band, found, 10.0) for band in numbers]).astype(np.int16) - ADDED
    all_clear = seen(plain)[1] & clear & clear_of(correct_classes(moved.scene, found, 20.0))
    error_m = float(np.hypot(found.north_m - true.north_m, found.east_m - true.east_m))
    return Views(datatake, all_clear, *(greenness(b) for b in (seen(plain)[0], bands, corrected)), error_m)


def test_measured_to_2_m_and_no_false_change_left() -> None:
    geometry, difficulty = Geometry(SIZE_PX), Difficulty()
    camera = Camera(geometry, YEARS[-1], difficulty, SEED)
    planned = plan_datatakes(list(YEARS), 20, geometry, difficulty, SEED)
    summer = [
        datatake
        for datatake in planned
        if datatake.cloud_share < 0.3 and datatake.swath.edge_m is None and 5 <= datatake.day.month <= 9
    ]
    clearest = min(summer, key=lambda datatake: datatake.cloud_share)
    reference = seen(camera.take(replace(clearest, shift_north_m=0.0, shift_east_m=0.0)))
    angles = np.random.default_rng(1).uniform(0, 2 * np.pi, len(summer))
    dates = [
        views(camera, datatake, length_m, angle, reference)
        for datatake, length_m, angle in zip(summer, np.linspace(0, 12, len(summer)), angles, strict=True)
    ]
    assert max(date.error_m for date in dates) <= 2.0
    edges = unchanged_edges(camera, YEARS)
    changes: dict[str, list[float]] = {name: [] for name in ("as_is", "shifted", "corrected")}
    for one, other in combinations(dates, 2):
        days = [date.datatake.day.timetuple().tm_yday for date in (one, other)]
        where = edges & one.clear & other.clear
        if one.datatake.day.year != other.datatake.day.year and abs(days[0] - days[1]) <= 25 and where.sum() > 500:
            for name, found in changes.items():
                difference = (getattr(one, name) - getattr(other, name))[where]
                found.append(float(np.sqrt((difference**2).mean())))
    assert len(changes["as_is"]) >= 3
    left = {name: float(np.mean(found)) for name, found in changes.items()}
    assert left["shifted"] > 1.03 * left["as_is"], "the shifts put in are false change"
    assert left["corrected"] <= 1.005 * left["as_is"]
