"""The existing map: right as often as asked, generalised, in CORINE codes on a grid of EPSG:3035."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import label

from landseries.legend import load_legend
from landseries.simulation.changes import History
from landseries.simulation.difficulty import Difficulty
from landseries.simulation.geometry import Geometry
from landseries.simulation.landscape import ClassArray, build_landscape
from landseries.simulation.reference import ReferenceMap, draw_map, precision


def drawn(size_px: int, seed: int, difficulty: Difficulty) -> tuple[ReferenceMap, ClassArray]:
    history = History(build_landscape(size_px, seed), 2018, seed)
    truth = history.truth(2018)
    return draw_map(history.truth(2016), truth, Geometry(size_px), difficulty, seed), truth


@pytest.mark.parametrize(("size_px", "seed"), [(256, 4), (512, 1), (512, 5), (512, 6)])
def test_precision_is_as_asked_and_lower_for_the_hard_classes(size_px: int, seed: int) -> None:
    reference, truth = drawn(size_px, seed, Difficulty())
    found = precision(reference.classes, truth)
    assert 0.78 <= found["overall"] <= 0.84
    assert 0.75 <= found["macro"] <= 0.88
    per_class = found["per_class"]
    assert len(per_class) == 11
    assert min(per_class.values()) > 0.5
    hard = np.mean([per_class[name] for name in ("Sand", "Mineral", "Shrubland")])
    assert hard < found["macro"]


def test_another_precision_can_be_asked_for() -> None:
    reference, truth = drawn(512, 1, replace(Difficulty(), map_precision=0.76))
    assert abs(precision(reference.classes, truth)["overall"] - 0.76) < 0.02


def test_the_map_is_generalised() -> None:
    reference, truth = drawn(512, 1, Difficulty())

    def polygons(classes: ClassArray) -> int:
        return sum(int(label(classes == cover)[1]) for cover in range(1, 12))

    assert polygons(reference.classes) < 0.6 * polygons(truth)


def test_codes_read_through_the_legend_are_the_classes() -> None:
    reference, _ = drawn(256, 4, Difficulty())
    legend = load_legend("corine")
    inside = reference.codes[reference.codes != 255]
    assert inside.min() >= 1
    assert inside.max() <= 44
    assert set(np.unique(legend.classify(inside))) >= set(range(1, 12))
    assert (reference.codes[0] == 255).all()
    assert reference.transform.c % reference.pixel_m == 0
    assert reference.transform.f % reference.pixel_m == 0


def test_precision_of_a_known_table() -> None:
    mapped = np.array([1, 1, 2, 2, 2, 2, 0], np.uint8)
    truth = np.array([1, 2, 2, 2, 2, 1, 1], np.uint8)
    found = precision(mapped, truth)
    assert found["overall"] == pytest.approx(4 / 6)
    assert found["per_class"] == {"Artificial": 0.5, "Grass": 0.75}
    assert found["macro"] == pytest.approx(0.625)
