"""Where acquisitions lie: references by orbit, sums, and the datum."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, shift

from landseries_fetcher.harmony.probing import EdgeImage
from landseries_fetcher.harmony.referencing import Placing, Standing, place

SIZE_PX = 200


def image(north_m: float, east_m: float, seen: slice = slice(None)) -> list[EdgeImage]:
    """One ground, moved; only some of its columns are clear."""
    noise = np.random.default_rng(4).standard_normal((2, SIZE_PX, SIZE_PX))
    ground = [2500 + 500 * layer / layer.std() for layer in gaussian_filter(noise, (0, 1.6, 1.6), mode="wrap")]
    moved = np.stack([shift(layer, (-north_m / 10, east_m / 10), order=3, mode="grid-wrap") for layer in ground])
    clear = np.zeros((SIZE_PX, SIZE_PX), dtype=bool)
    clear[:, seen] = True
    return [(moved.astype(np.int16), clear)]


def standing(
    name: str,
    orbit: int,
    shift_m: tuple[float, float],
    *,
    refined: bool | None = False,
    training: bool = True,
    clear: float = 1.0,
    snow: float = 0.0,
    seen: slice = slice(None),
) -> Standing:
    return Standing(name, orbit, refined, training, clear, snow, lambda: image(*shift_m, seen))


def placed(standings: Iterable[Standing], threads: int = 1) -> Placing:
    return place(list(standings), threads, lambda text: None)


def metres(found: Placing, name: str) -> tuple[float, float]:
    measured = found.found[name].shift
    assert measured is not None, found.found[name].reason
    return measured.north_m, measured.east_m


def test_sums_over_orbits_against_a_refined_reference() -> None:
    found = placed(
        [
            standing("a", 22, (6.0, -3.0), clear=0.9),
            standing("b", 22, (-4.0, 8.0), clear=0.8),
            standing("c", 65, (2.0, 2.0), refined=True, clear=0.7),
            standing("d", 65, (-7.0, 1.0)),
        ]
    )
    assert (found.reference, found.references) == ("c", {22: "a", 65: "c"})
    for name, expected in {"a": (4, -5), "b": (-6, 6), "c": (0, 0), "d": (-9, -1)}.items():
        assert metres(found, name) == pytest.approx(expected, abs=1.0), name
    assert all(value == round(value, 1) for name in "abcd" for value in metres(found, name))


def test_other_years_move_nothing_of_what_is_there() -> None:
    shifts = [(0.0, 0.0), (10.0, 2.0), (11.0, 3.0), (9.0, 2.0)]
    there = [standing(f"b{n}", 22 + n % 2, shift_m, clear=0.7) for n, shift_m in enumerate(shifts)]
    more = [standing(f"a{n}", 22 + n, (-8.0, -8.0), training=False) for n in range(3)]
    alone, together = placed(there), placed([*more, *there])
    assert alone.reference == together.reference == "b0"
    assert metres(alone, "b2") == pytest.approx((11, 3), abs=1.0)
    assert {name: together.found[name] for name in alone.found} == alone.found
    assert metres(together, "a2") == pytest.approx((-8, -8), abs=1.0)


def test_what_cannot_be_measured_says_why() -> None:
    found = placed(
        [
            standing("a", 22, (0.0, 0.0), seen=slice(0, 100)),
            standing("b", 22, (3.0, 0.0), seen=slice(0, 100)),
            standing("c", 65, (0.0, 0.0), seen=slice(110, 200), clear=0.6),
            standing("d", 65, (5.0, 0.0), seen=slice(110, 200), clear=0.6),
        ]
    )
    assert found.found["b"].shift is not None
    for name in ("c", "d"):
        assert found.found[name].shift is None
    assert "its orbit's reference c cannot be measured" in found.found["d"].reason


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({"snow": 0.04, "refined": False}, {"snow": 0.06, "refined": True}),
        ({"clear": 0.5, "refined": False}, {"clear": 0.49, "refined": True}),
        ({"refined": True, "clear": 0.6}, {"refined": None, "clear": 0.9}),
        ({"refined": None, "clear": 0.6}, {"refined": False, "clear": 0.9}),
        ({"refined": True, "training": False}, {"refined": None}),
        ({"clear": 0.6}, {"clear": 0.9, "training": False}),
        ({"clear": 0.9}, {"clear": 0.8}),
        ({}, {"clear": 0.97}),
        ({}, {}),
    ],
)
def test_which_is_the_reference(better: dict[str, float], worse: dict[str, float]) -> None:
    names = ("a", "b") if not better else ("z", "b")
    first, second = standing(names[0], 1, (0, 0), **better), standing(names[1], 1, (0, 0), **worse)  # type: ignore[arg-type]
    assert first.rank < second.rank


def test_threads_and_order_change_nothing() -> None:
    members = [standing(f"a{n}", 22 + n % 2, (n * 1.7, -n * 0.9), clear=0.6 + n / 100) for n in range(5)]
    assert placed(members) == placed(reversed(members), threads=4)


def test_nothing_to_place() -> None:
    assert placed([]) == Placing(None, {}, {})
