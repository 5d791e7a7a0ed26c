"""The gate: whether a multi-year model is better than the single-year one, and not merely more alike.

Agreement alone proves nothing: one map given for every year agrees perfectly. So a gain counts only with no loss of
accuracy and with changes found better than before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from landseries_assessor.measures import mean

#: By how much multi-year agreement must exceed single-year agreement on every year pair.
MIN_AGREEMENT_GAIN: Final = 0.03


@dataclass(frozen=True)
class GateResult:
    """The outcome.

    Attributes:
        passed: whether all conditions hold.
        agreement_gain: per year pair, candidate's overall agreement minus the baseline's.
        accuracy_gain: mean overall accuracy over the years, candidate minus baseline; None where undefined.
        change_f1_gain: mean F1 of change over the year pairs, candidate minus baseline; None where undefined.
        failures: what does not hold, as sentences.
    """

    passed: bool
    agreement_gain: dict[str, float]
    accuracy_gain: float | None
    change_f1_gain: float | None
    failures: tuple[str, ...]


def gate(
    assessment: Mapping[str, Any],
    *,
    candidate: str = "multi-year",
    baseline: str = "single-year",
    min_agreement_gain: float = MIN_AGREEMENT_GAIN,
) -> GateResult:
    """Judge one model against another.

    Agreement must gain on every year pair; accuracy (mean over the years) must not fall, and the F1 of change (mean
    over the pairs) must rise. Without truth nothing can pass.

    Args:
        assessment: an assessment, or its `whole_area`.
        candidate: the model to judge.
        baseline: the model that it must beat.
        min_agreement_gain: least gain of overall agreement on each pair.
    """
    failures: list[str] = []
    gains = _agreement_gains(assessment, candidate, baseline)
    if not gains:
        failures.append(f"agreement: {candidate} and {baseline} have no year pair in common")
    for pair, gain in gains.items():
        if gain < min_agreement_gain:
            failures.append(f"agreement {pair}: gains {gain:+.4f}, not {min_agreement_gain:+.2f}")
    accuracy_gain = _gain(assessment.get("accuracy"), candidate, baseline, "overall")
    if accuracy_gain is None:
        failures.append("accuracy: is unknown without truth")
    elif accuracy_gain < 0:
        failures.append(f"accuracy: falls by {-accuracy_gain:.4f}")
    change_gain = _gain(assessment.get("change"), candidate, baseline, "f1")
    if change_gain is None:
        failures.append("change: its F1 is unknown without truth or without any change")
    elif change_gain <= 0:
        failures.append(f"change: F1 does not rise ({change_gain:+.4f})")
    return GateResult(not failures, gains, accuracy_gain, change_gain, tuple(failures))


def _agreement_gains(assessment: Mapping[str, Any], candidate: str, baseline: str) -> dict[str, float]:
    found: Mapping[str, Any] = assessment.get("agreement") or {}
    ours, theirs = found.get(candidate, {}), found.get(baseline, {})
    return {
        pair: round(ours[pair]["overall"] - theirs[pair]["overall"], 6)
        for pair in ours
        if pair in theirs and ours[pair]["overall"] is not None and theirs[pair]["overall"] is not None
    }


def _gain(tree: Mapping[str, Any] | None, candidate: str, baseline: str, figure: str) -> float | None:
    if not tree or candidate not in tree or baseline not in tree:
        return None
    common = [key for key in tree[candidate] if key in tree[baseline]]
    ours = mean([tree[candidate][key][figure] for key in common])
    theirs = mean([tree[baseline][key][figure] for key in common])
    return None if ours is None or theirs is None else round(ours - theirs, 6)
