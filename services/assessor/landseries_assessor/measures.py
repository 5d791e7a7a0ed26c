"""Figures from counts: agreement, accuracy, change, reliability. A figure that is not defined is None, never NaN."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

#: Classes that one of the paper's two class lists lacks; overall agreement is also given without them.
NOT_IN_BOTH_LISTS: Final = ("snow", "shrubland")
_DIGITS: Final = 6

Table = npt.NDArray[np.int64]


def share(part: float, whole: float) -> float | None:
    """part / whole, rounded to six digits; None where the whole is nothing."""
    return None if whole == 0 else round(float(part) / float(whole), _DIGITS)


def mean(values: Sequence[float | None]) -> float | None:
    """Mean of the figures that are defined; None where none is."""
    known = [value for value in values if value is not None]
    return round(sum(known) / len(known), _DIGITS) if known else None


def f_score(users: float | None, producers: float | None) -> float | None:
    """Harmonic mean of user's and producer's accuracy.

    Where only one of them is defined the other found nothing of what there was, which is a score of 0.
    """
    if users is None and producers is None:
        return None
    if not users or not producers:
        return 0.0
    return round(2 * users * producers / (users + producers), _DIGITS)


def agreement(joint: Sequence[Sequence[int]], names: Sequence[str]) -> dict[str, Any]:
    """How far two consecutive maps agree.

    Args:
        joint: pixels [class in the first map][class in the second].
        names: class names along both axes.

    Returns:
        `overall`, the share of equal labels; the same over pixels that neither map calls Snow or Shrubland; and
        `per_class` with `iou` = |a and b| / |a or b|, `dice` = 2 |a and b| / (|a| + |b|), `kept` = |a and b| / |a|
        and `arrived` = |a and b| / |b|, where a and b are the pixels of the class in the first and second map. The
        paper does not define its per-class figure, so all are given.
    """
    table = np.asarray(joint, dtype=np.int64)
    common = [place for place, name in enumerate(names) if name.casefold() not in NOT_IN_BOTH_LISTS]
    without = table[np.ix_(common, common)]
    per_class = {}
    for place, name in enumerate(names):
        both, first, second = int(table[place, place]), int(table[place].sum()), int(table[:, place].sum())
        per_class[name] = {
            "iou": share(both, first + second - both),
            "dice": share(2 * both, first + second),
            "kept": share(both, first),
            "arrived": share(both, second),
        }
    return {
        "overall": share(np.trace(table), table.sum()),
        "overall_without_snow_and_shrubland": share(np.trace(without), without.sum()),
        "pixels": int(table.sum()),
        "per_class": per_class,
    }


def accuracy(confusion: Sequence[Sequence[int]], names: Sequence[str]) -> dict[str, Any]:
    """How right a map is: overall, and per class user's and producer's accuracy and their harmonic mean.

    Args:
        confusion: pixels [true class][class in the map].
        names: class names along both axes.
    """
    table = np.asarray(confusion, dtype=np.int64)
    per_class = {}
    for place, name in enumerate(names):
        right = int(table[place, place])
        users, producers = share(right, int(table[:, place].sum())), share(right, int(table[place].sum()))
        per_class[name] = {"users": users, "producers": producers, "f1": f_score(users, producers)}
    return {"overall": share(np.trace(table), table.sum()), "pixels": int(table.sum()), "per_class": per_class}


def change(counts: Mapping[str, int]) -> dict[str, Any]:
    """How right a pair's mapped changes are.

    Args:
        counts: `pixels`, `true` and `mapped` changes, `both`, and `right_classes`: changes that are true and mapped
            with the right class in both years.

    Returns:
        `users`, `producers`, `f1` of change against no change; the same under `from_to`, where a change is right only
        with both classes; and the shares of pixels that truly changed and that the maps change.
    """

    def scores(right: int) -> dict[str, float | None]:
        users, producers = share(right, counts["mapped"]), share(right, counts["true"])
        return {"users": users, "producers": producers, "f1": f_score(users, producers)}

    return {
        **scores(counts["both"]),
        "from_to": scores(counts["right_classes"]),
        "true_share": share(counts["true"], counts["pixels"]),
        "mapped_share": share(counts["mapped"], counts["pixels"]),
        "pixels": counts["pixels"],
    }


def reliability(confusion: Sequence[Sequence[Sequence[int]]], names: Sequence[str], reliable: int) -> dict[str, Any]:
    """What the reliable samples are worth against the truth of the existing map's year.

    Args:
        confusion: pixels [verdict][class in the existing map][true class], where both are known.
        names: class names.
        reliable: index of the verdict `reliable`.

    Returns:
        `label_precision` (share of the reliable pixels whose label is right), `map_precision` (the same of all pixels
        of the existing map), `kept_share` (reliable pixels among all of the map) and `recall` (reliable pixels among
        those of the map whose label is right); `macro`: their means over classes; `per_class`: the same per class of
        the existing map.
    """
    table = np.asarray(confusion, dtype=np.int64)
    kept, everything = table[reliable], table.sum(axis=0)
    per_class = {name: _reliability(kept[c : c + 1], everything[c : c + 1], c) for c, name in enumerate(names)}
    total = _reliability(kept, everything, 0)
    macro = {figure: mean([entry[figure] for entry in per_class.values()]) for figure in total}
    return {**total, "macro": macro, "per_class": per_class, "pixels": int(everything.sum())}


def _reliability(kept: Table, everything: Table, first: int) -> dict[str, float | None]:
    right_kept, right = np.trace(kept, offset=first), np.trace(everything, offset=first)
    return {
        "label_precision": share(right_kept, kept.sum()),
        "map_precision": share(right, everything.sum()),
        "kept_share": share(kept.sum(), everything.sum()),
        "recall": share(right_kept, right),
    }
