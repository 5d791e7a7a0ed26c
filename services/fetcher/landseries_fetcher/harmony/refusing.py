"""Which acquisitions must not be used because of their levels: the pixels' verdicts, and how far numbers are trusted.

What the pixels do not tell of one acquisition they may tell of others whose numbers were made alike; and where only the
levels of two groups are known to differ, the group is believed whose offset was told by the more trustworthy: the
product's own metadata before the catalogue, and that before the product's name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from landseries.errors import Refused
from landseries_fetcher.harmony.levels import LevelFinding, LevelVerdict
from landseries_fetcher.harmony.pairs import STEP

#: How far an offset is trusted, by where it was found.
_TRUST: Final = {"metadata": 3, "pixels": 2, "asset": 1, "baseline": 0}
_SAID: Final = {
    "metadata": "the products' metadata",
    "pixels": "the products' dark pixels",
    "asset": "the catalogue",
    "baseline": "the baseline in the products' names",
}
#: A larger share of wrong ones among those of a group that can be told condemns those that cannot.
_WRONG_MAX: Final = 0.2
_NAMED: Final = 3
_WRONG: Final = (LevelVerdict.MISSING, LevelVerdict.DOUBLED)


@dataclass(frozen=True)
class Making:
    """How the numbers of an acquisition were made.

    Attributes:
        group: acquisitions of one group were made alike: the baselines and the origins of the offsets.
        trust: how far the offset is trusted; higher is further.
    """

    group: str
    trust: int


def making_of(products: Mapping[str, Mapping[str, Any]]) -> Making:
    """How the numbers of an acquisition were made, from the tags of its products; of two halves the lesser counts."""
    ways = sorted({(product["baseline"], product["offset_origin"]) for product in products.values()})
    parts = [f"baseline {baseline} with the offset of {_SAID.get(origin, origin)}" for baseline, origin in ways]
    return Making(" and ".join(parts), min((_TRUST.get(origin, 0) for _, origin in ways), default=0))


def refusals(findings: Mapping[str, LevelFinding], makings: Mapping[str, Making]) -> dict[str, str]:
    """The acquisitions that must not be used, each with the reason.

    Args:
        findings: acquisition -> what its pixels say.
        makings: acquisition -> how its numbers were made; the same acquisitions.

    Raises:
        Refused: two groups differ by a step, nothing tells which is right, and both are trusted alike.
    """
    refused = {name: _accusation(finding) for name, finding in findings.items() if finding.verdict in _WRONG}
    refused |= _lost_conflicts(findings, makings)
    for group in sorted({making.group for making in makings.values()}):
        members = [name for name in sorted(findings) if makings[name].group == group]
        told = [name for name in members if findings[name].verdict != LevelVerdict.UNKNOWN or findings[name].conflict]
        wrong = [name for name in told if name in refused]
        if told and len(wrong) > _WRONG_MAX * len(told):
            for name in members:
                if name not in told:
                    refused[name] = (
                        f"its pixels do not tell whether its offset is right, and {len(wrong)} of {len(told)} "
                        f"acquisitions of {group} that do tell are wrong"
                    )
    return refused


def _accusation(finding: LevelFinding) -> str:
    if finding.verdict == LevelVerdict.MISSING:
        return f"its offset was not taken off: its dark pixels lie {STEP} reflectance too high in all bands"
    return (
        "its offset was taken off twice, or from numbers without one: its dark pixels lie "
        f"{STEP} reflectance too low in all bands"
    )


def _lost_conflicts(findings: Mapping[str, LevelFinding], makings: Mapping[str, Making]) -> dict[str, str]:
    """Of groups that differ by a step while nothing tells which is right, those that are trusted less."""
    lost: dict[str, str] = {}
    sides: dict[int, dict[int, list[str]]] = {}
    for name, finding in sorted(findings.items()):
        if finding.conflict is not None:
            sides.setdefault(finding.conflict.group, {}).setdefault(finding.conflict.step, []).append(name)
    for by_step in sides.values():
        trust = {step: max(makings[name].trust for name in names) for step, names in by_step.items()}
        best = [step for step in by_step if trust[step] == max(trust.values())]
        if len(best) > 1:
            raise Refused(_stalemate([by_step[step] for step in sorted(best)], makings))
        kept = by_step[best[0]]
        for step, names in by_step.items():
            if step != best[0]:
                where = "above" if step > best[0] else "below"
                reason = (
                    f"its levels lie {abs(step - best[0]) * STEP:g} reflectance {where} those of {_some(kept)}, no "
                    f"dark ground tells which are right, and their offset ({makings[kept[0]].group}) is trusted more "
                    "than its own"
                )
                lost |= {name: f"{reason} ({makings[name].group})" for name in names}
    return lost


def _stalemate(sides: Sequence[Sequence[str]], makings: Mapping[str, Making]) -> str:
    lines = [f"{_some(names)} ({'; '.join(sorted({makings[n].group for n in names}))})" for names in sides]
    return (
        f"the levels of its acquisitions lie {STEP} reflectance apart, so that the offset of one side is wrong, and "
        f"nothing dark on the ground tells which; the lower: {lines[0]}; the higher: {lines[-1]}. Take one collection "
        "and one baseline for all years, or set fetcher.harmony.levels to `warn` to use them as they are"
    )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}"
