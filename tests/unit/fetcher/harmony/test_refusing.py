"""Which acquisitions are refused, from what pixels say and how far offsets are trusted."""

from __future__ import annotations

import math

import pytest

from landseries.errors import Refused
from landseries_fetcher.harmony.levels import Conflict, LevelFinding, LevelVerdict
from landseries_fetcher.harmony.refusing import Making, making_of, refusals

METADATA = Making("baseline 05.00 with the offset of the products' metadata", 3)
NAME = Making("baseline 05.00 with the offset of the baseline in the products' names", 0)


def finding(verdict: LevelVerdict, conflict: Conflict | None = None) -> LevelFinding:
    return LevelFinding(verdict, (0.02,), (math.nan,), 5, 0.02, conflict)


def test_the_pixels_verdict_is_enough() -> None:
    found = refusals(
        {"a": finding(LevelVerdict.OK), "b": finding(LevelVerdict.MISSING), "c": finding(LevelVerdict.DOUBLED)},
        {"a": METADATA, "b": NAME, "c": Making("other", 1)},
    )
    assert set(found) == {"b", "c"}
    assert "0.1 reflectance too high" in found["b"]
    assert "0.1 reflectance too low" in found["c"]


@pytest.mark.parametrize(("wrong", "is_condemned"), [(1, False), (2, True)])
def test_what_cannot_be_told_shares_the_fate_of_its_group(wrong: int, is_condemned: bool) -> None:
    findings = {f"w{n}": finding(LevelVerdict.MISSING) for n in range(wrong)}
    findings |= {f"o{n}": finding(LevelVerdict.OK) for n in range(7 - wrong)}
    findings |= {"u": finding(LevelVerdict.UNKNOWN), "elsewhere": finding(LevelVerdict.UNKNOWN)}
    makings = {name: NAME if name != "elsewhere" else METADATA for name in findings}
    found = refusals(findings, makings)
    assert ("u" in found) is is_condemned
    assert "elsewhere" not in found, "another group, of which nothing is told"
    if is_condemned:
        assert "2 of 7 acquisitions of baseline 05.00" in found["u"]


def test_of_two_levels_the_more_trustworthy_offset_is_right() -> None:
    unknown = LevelVerdict.UNKNOWN
    findings = {
        "a": finding(unknown, Conflict(0, 0)),
        "b": finding(unknown, Conflict(0, 0)),
        "c": finding(unknown, Conflict(0, 1)),
        "d": finding(unknown),
    }
    found = refusals(findings, {"a": METADATA, "b": METADATA, "c": NAME, "d": NAME})
    assert set(found) == {"c", "d"}, "and what is made like the one that is wrong"
    assert "lie 0.1 reflectance above those of a, b" in found["c"]
    # The lower side may be the one that is wrong, and an untrusted offset at the right level is right.
    found = refusals(findings, {"a": NAME, "b": NAME, "c": METADATA, "d": METADATA})
    assert set(found) == {"a", "b"}
    assert "below those of c" in found["a"]


def test_two_levels_that_are_trusted_alike_refuse_the_granule() -> None:
    findings = {
        f"{side}{n}": finding(LevelVerdict.UNKNOWN, Conflict(3, step))
        for step, side in enumerate(("low", "high"))
        for n in range(4)
    }
    with pytest.raises(Refused) as refused:
        refusals(findings, dict.fromkeys(findings, METADATA))
    text = str(refused.value)
    assert "the lower: low0, low1, low2 and 1 more (baseline 05.00" in text
    assert "the higher: high0" in text
    assert "Take one collection" in text


def test_conflicts_of_different_ground_do_not_mix() -> None:
    unknown = LevelVerdict.UNKNOWN
    findings = {
        "a": finding(unknown, Conflict(0, 0)),
        "b": finding(unknown, Conflict(0, 1)),
        "c": finding(unknown, Conflict(7, 0)),
        "d": finding(unknown, Conflict(7, 1)),
    }
    assert set(refusals(findings, {"a": METADATA, "b": NAME, "c": NAME, "d": METADATA})) == {"b", "c"}


def test_how_numbers_were_made() -> None:
    one = {"baseline": "05.00", "offset_origin": "metadata"}
    other = {"baseline": "02.08", "offset_origin": "baseline"}
    assert making_of({"p": one}) == METADATA
    both = making_of({"p": one, "q": other})
    assert both.trust == 0, "of two halves the lesser counts"
    assert both == making_of({"q": one, "p": other})
    assert making_of({}) == Making("", 0)
