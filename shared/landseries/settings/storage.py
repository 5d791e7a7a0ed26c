"""Settings of the store: what stays in it, and how full it may be. No result depends on them."""

from __future__ import annotations

from typing import Final

from pydantic import field_validator

from landseries.pipeline import STAGES
from landseries.rows import Keep
from landseries.settings.base import Settings, ours

#: Stages whose artifacts cannot go when their readers are done, and why.
_STAY: Final = {
    "search": "the run itself reads them until its end",
    "mosaic": "they are the results",
    "report": "they are the results",
}


class StorageSettings(Settings):
    """What stays in the store, and how full it may be; no result depends on it."""

    keep: dict[str, Keep] = ours(
        {},
        "Stage -> `always` or `until consumed`, where the default does not fit: with `until consumed`, "
        "`landseries gc` removes what every reader of the run is done with",
    )
    budget_gib: float | None = ours(
        None, "Size of the store in GiB beyond which nothing more is fetched; null for none", gt=0
    )

    @field_validator("keep")
    @classmethod
    def _of_the_table(cls, keep: dict[str, Keep]) -> dict[str, Keep]:
        for stage, how in keep.items():
            if stage not in STAGES:
                raise ValueError(f"there is no stage {stage!r}; known are {', '.join(STAGES)}")
            if how == "until consumed" and stage in _STAY:
                raise ValueError(f"artifacts of {stage} always stay: {_STAY[stage]}")
        return dict(sorted(keep.items()))

    def keeps(self, stage: str) -> bool:
        """Whether a stage's artifacts stay for good."""
        return self.keep.get(stage, STAGES[stage].keep) == "always"

    @property
    def budget_bytes(self) -> int | None:
        """The budget in bytes."""
        return None if self.budget_gib is None else int(self.budget_gib * 2**30)
