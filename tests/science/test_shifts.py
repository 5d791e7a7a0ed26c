"""Shifts of 0 to 12 m put into simulated products: measured to 2 m, and by default no false change is left."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from support.edges import unchanged_edges
from support.simulated_products import SIZE_PX, Fetched, as_of, write_datatake

from landseries.bands import BANDS
from landseries.simulation.difficulty import Difficulty
from landseries.simulation.geometry import Geometry
from landseries.simulation.orbits import Datatake, plan_datatakes
from landseries.simulation.sensor import Camera

pytestmark = [pytest.mark.science, pytest.mark.xdist_group("shifts")]

SEED = 911
YEARS = (2018, 2019)
LONGEST_M = 12.0
RED, INFRARED = BANDS.index("B04"), BANDS.index("B08")


@dataclass(frozen=True)
class Archives:
    """The same acquisitions all where the reference lies and shifted, each by its own distance.

    Attributes:
        together: products that all lie where the reference of the shifted ones does.
        shifted: products that are shifted.
        as_they_are: the shifted ones, used as they are.
        shifts_m: by acquisition how far it is shifted, north and east in metres, against the reference.
        edges: unchanged edges, where the reference shows them to a pixel.
    """

    together: Path
    shifted: Path
    as_they_are: Fetched
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
    rng = np.random.default_rng(3)
    angles = rng.uniform(0, 2 * np.pi, len(chosen))
    lengths_m = rng.permutation(np.linspace(0, LONGEST_M, len(chosen)))
    moved = {}
    for datatake, length_m, angle in zip(chosen, lengths_m, angles, strict=True):
        one = replace(datatake, shift_north_m=length_m * np.sin(angle), shift_east_m=length_m * np.cos(angle))
        write_datatake(folder / "shifted", one, camera.take(one))
        moved[acquisition(datatake)] = one
    as_they_are = Fetched(folder / "shifted", YEARS, folder / "warn", above_max_shift="warn")
    reference = moved[as_they_are.table["reference"]]
    north_m, east_m = reference.shift_north_m, reference.shift_east_m
    for datatake in chosen:
        still = replace(datatake, shift_north_m=north_m, shift_east_m=east_m)
        write_datatake(folder / "together", still, camera.take(still))
    shifts = {name: (one.shift_north_m - north_m, one.shift_east_m - east_m) for name, one in moved.items()}
    edges = np.roll(unchanged_edges(camera, YEARS), (round(-north_m / 10), round(east_m / 10)), (0, 1))
    return Archives(folder / "together", folder / "shifted", as_they_are, shifts, edges)


def acquisition(datatake: Datatake) -> str:
    return f"{datatake.platform}_{datatake.start:%Y%m%dT%H%M%S}_R{datatake.relative_orbit:03d}_T32TQS"


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
        "still": Fetched(archives.together, YEARS, tmp_path / "still"),
        "as they are": archives.as_they_are,
        "default": Fetched(archives.shifted, YEARS, tmp_path / "default"),
        "corrected above 5 m": Fetched(archives.shifted, YEARS, tmp_path / "five", correct_above_m=5.0),
    }
    assert len({run.table["reference"] for run in runs.values()}) == 1
    assert {entry["verdict"] for entry in runs["still"].table["acquisitions"].values()} == {"used"}
    table = runs["default"].table["acquisitions"]
    assert set(table) == set(archives.shifts_m)
    measured = {name: (entry["shift"]["north_m"], entry["shift"]["east_m"]) for name, entry in table.items()}
    assert None not in {shift[0] for shift in measured.values()}
    names = sorted(measured)
    errors = np.array([measured[name] for name in names]) - np.array([archives.shifts_m[name] for name in names])
    assert np.hypot(*errors.T).max() <= 2.0
    for name, limit_m in {"default": 1.0, "corrected above 5 m": 5.0}.items():
        entries = runs[name].table["acquisitions"]
        far = {acquisition for acquisition, entry in table.items() if entry["shift"]["length_m"] > limit_m}
        assert far == {acquisition for acquisition, entry in entries.items() if entry["verdict"] == "corrected"}, name
    clear = {name: np.logical_and.reduce([run.image(name)[-1] == 1 for run in runs.values()]) for name in names}
    change = {name: false_change(run, archives.edges, clear) for name, run in runs.items()}
    print({name: round(value, 5) for name, value in change.items()}, "largest error", np.hypot(*errors.T).max())
    assert change["as they are"] > 1.1 * change["still"], "the shifts put in are false change"
    # What measuring leaves: false change grows with the square of the distance, so that where 10 m make a fifth more,
    # an error of 0.6 m makes a thousandth.
    assert change["default"] <= 1.001 * change["still"]
    assert change["default"] < change["corrected above 5 m"] < change["as they are"]


def test_another_year_changes_no_decision_on_the_others(archives: Archives, tmp_path: Path) -> None:
    alone = Fetched(archives.shifted, YEARS[:1], tmp_path / "alone").decisions
    both = Fetched(archives.shifted, YEARS, tmp_path / "both").decisions
    assert 3 <= len(alone) < len(both)
    assert any(json.loads(decision)["shift"] for decision in alone.values())
    assert {name: both[name] for name in alone} == alone


def test_what_is_done_above_the_largest_shift_is_a_setting(archives: Archives, tmp_path: Path) -> None:
    refused = Fetched(archives.shifted, YEARS, tmp_path / "refuse", above_max_shift="refuse")
    far = {n for n, e in refused.table["acquisitions"].items() if e["shift"]["length_m"] > 5.0}
    assert set(refused.refused) == far
    assert all("more than 5 m" in reason for reason in refused.refused.values())
    off = Fetched(archives.shifted, YEARS, tmp_path / "off", levels="off", measure_shifts=False)
    assert off.table["probe_tiles"] == []
    assert not off.refused
