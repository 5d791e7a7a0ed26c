"""Shifts of 0 to 12 m put into simulated products: measured to 2 m, and corrected, no false change is left."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from scipy.ndimage import binary_dilation
from support.simulated_products import SIZE_PX, Fetched, as_of, write_datatake

from landseries.bands import BANDS
from landseries.simulation.difficulty import Difficulty
from landseries.simulation.geometry import Geometry
from landseries.simulation.orbits import Datatake, plan_datatakes
from landseries.simulation.sensor import Camera

pytestmark = [pytest.mark.science, pytest.mark.xdist_group("science")]

SEED = 911
YEARS = (2018, 2019)
LONGEST_M = 12.0
RED, INFRARED = BANDS.index("B04"), BANDS.index("B08")


@dataclass(frozen=True)
class Archives:
    """The same acquisitions as they should lie and shifted; and by acquisition the shift, north and east in metres."""

    as_it_should: Path
    shifted: Path
    shifts_m: dict[str, tuple[float, float]]
    edges: npt.NDArray[np.bool_]


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Archives:
    folder = tmp_path_factory.mktemp("shifts")
    geometry, difficulty = Geometry(SIZE_PX), Difficulty()
    camera = Camera(geometry, YEARS[-1], difficulty, SEED)
    chosen = [
        as_of(datatake, 0, "02.13")
        for datatake in plan_datatakes(list(YEARS), 20, geometry, difficulty, SEED)
        if datatake.cloud_share < 0.3 and datatake.swath.edge_m is None and 5 <= datatake.day.month <= 9
    ]
    angles = np.random.default_rng(1).uniform(0, 2 * np.pi, len(chosen))
    shifts: dict[str, tuple[float, float]] = {}
    for datatake, length_m, angle in zip(chosen, np.linspace(0, LONGEST_M, len(chosen)), angles, strict=True):
        moved = replace(datatake, shift_north_m=length_m * np.sin(angle), shift_east_m=length_m * np.cos(angle))
        still = replace(datatake, shift_north_m=0.0, shift_east_m=0.0)
        write_datatake(folder / "still", still, camera.take(still))
        write_datatake(folder / "shifted", moved, camera.take(moved))
        shifts[acquisition(datatake)] = (float(moved.shift_north_m), float(moved.shift_east_m))
    return Archives(folder / "still", folder / "shifted", shifts, unchanged_edges(camera))


def acquisition(datatake: Datatake) -> str:
    return f"{datatake.platform}_{datatake.start:%Y%m%dT%H%M%S}_R{datatake.relative_orbit:03d}_T32TQS"


def unchanged_edges(camera: Camera) -> npt.NDArray[np.bool_]:
    """Pixels beside another class, of the same true class in both years, away from the scene's rim."""
    first, last = (camera.history.truth(year) for year in YEARS)
    edge = np.zeros(first.shape, dtype=bool)
    edge[:-1] |= first[:-1] != first[1:]
    edge[:, :-1] |= first[:, :-1] != first[:, 1:]
    inside = np.zeros_like(edge)
    inside[8:-8, 8:-8] = True
    return np.asarray(binary_dilation(edge) & (first == last) & inside)


def false_change(found: Fetched, edges: npt.NDArray[np.bool_], clear: dict[str, npt.NDArray[np.bool_]]) -> float:
    """Mean over pairs of dates of different years and one season of the NDVI's RMS difference along unchanged edges."""
    greenness = {}
    for name, image in found.images():
        red, infrared = image[RED].astype(float), image[INFRARED].astype(float)
        greenness[name] = (infrared - red) / np.maximum(infrared + red, 200)
    differences = []
    for one, other in combinations(sorted(greenness), 2):
        days = [datetime.strptime(name.split("_")[1], "%Y%m%dT%H%M%S").timetuple() for name in (one, other)]
        where = edges & clear[one] & clear[other]
        if days[0].tm_year != days[1].tm_year and abs(days[0].tm_yday - days[1].tm_yday) <= 25 and where.sum() > 500:
            differences.append(float(np.sqrt(((greenness[one] - greenness[other])[where] ** 2).mean())))
    assert len(differences) >= 3
    return float(np.mean(differences))


def test_measured_to_2_m_and_no_false_change_left(archives: Archives, tmp_path: Path) -> None:
    runs = {
        "still": Fetched(archives.as_it_should, YEARS, tmp_path / "still"),
        "as they are": Fetched(archives.shifted, YEARS, tmp_path / "warn", above_max_shift="warn"),
        "corrected above 5 m": Fetched(archives.shifted, YEARS, tmp_path / "five"),
        "all corrected": Fetched(archives.shifted, YEARS, tmp_path / "all", max_shift_m=0.0),
    }
    assert {entry["verdict"] for entry in runs["still"].table["acquisitions"].values()} == {"used"}
    table = runs["all corrected"].table["acquisitions"]
    assert set(table) == set(archives.shifts_m)
    measured = {name: (entry["shift"]["north_m"], entry["shift"]["east_m"]) for name, entry in table.items()}
    assert None not in {shift[0] for shift in measured.values()}
    # No product is refined: what counts is where the acquisitions lie among each other.
    names = sorted(measured)
    errors = np.array([measured[name] for name in names]) - np.array([archives.shifts_m[name] for name in names])
    errors -= np.median(errors, axis=0)
    assert np.hypot(*errors.T).max() <= 2.0
    far = {name for name, entry in table.items() if entry["shift"]["length_m"] > 5.0}
    corrected = {n for n, e in runs["corrected above 5 m"].table["acquisitions"].items() if e["verdict"] == "corrected"}
    assert far == corrected
    clear = {name: np.logical_and.reduce([run.image(name)[-1] == 1 for run in runs.values()]) for name in names}
    change = {name: false_change(run, archives.edges, clear) for name, run in runs.items()}
    print({name: round(value, 5) for name, value in change.items()}, "largest error", np.hypot(*errors.T).max())
    assert change["as they are"] > 1.03 * change["still"], "the shifts put in are false change"
    assert change["all corrected"] <= 1.005 * change["still"]
    assert change["corrected above 5 m"] < change["as they are"]


def test_what_is_done_above_the_largest_shift_is_a_setting(archives: Archives, tmp_path: Path) -> None:
    refused = Fetched(archives.shifted, YEARS, tmp_path / "refuse", above_max_shift="refuse")
    far = {n for n, e in refused.table["acquisitions"].items() if e["shift"]["length_m"] > 5.0}
    assert set(refused.refused) == far
    assert all("more than 5 m" in reason for reason in refused.refused.values())
    off = Fetched(archives.shifted, YEARS, tmp_path / "off", levels="off", measure_shifts=False)
    assert off.table["probe_tiles"] == []
    assert not off.refused
