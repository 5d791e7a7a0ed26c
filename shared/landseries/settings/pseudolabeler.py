"""Settings of the pseudo-labeler: the Random Forest of the training year."""

from __future__ import annotations

from typing import Literal

from landseries.settings.base import Settings, ours


class ForestSettings(Settings):
    """The Random Forest that labels every year."""

    trees: int = ours(100, "Trees", ge=1, le=2000)
    max_depth: int | None = ours(None, "Depth of a tree at most; null for no limit", ge=1, le=64)
    min_samples_leaf: int = ours(2, "Samples in a leaf at least", ge=1)
    samples_per_class: int = ours(2_000, "Reliable samples per class at most, over all tiles", ge=10)
    class_balance: Literal["balanced", "none"] = ours(
        "balanced", "`balanced` weights classes alike, so that a rare one is not drowned; `none` by their samples"
    )
    hidden_copies: int = ours(
        1, "Copies of each sample with a run of dates hidden, so that years with other gaps can be read", ge=0, le=10
    )


class PseudolabelSettings(Settings):
    """Labelling with the forest."""

    min_clear_views: int = ours(5, "A pixel-year with fewer clear views gets no pseudo-label", ge=1)


class PseudolabelerSettings(Settings):
    """The forest and the labels it gives."""

    forest: ForestSettings = ForestSettings()
    pseudolabel: PseudolabelSettings = PseudolabelSettings()
