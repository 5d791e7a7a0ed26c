"""Repairs: what is found missing or corrupt in the store is written again by the unit that wrote it.

The bytes come out the same, because a unit is deterministic; so nothing that was made from them has to be made again.
"""

from __future__ import annotations

import json
from pathlib import PurePosixPath
from typing import Final

from landseries.artifacts.documents import canonical_json
from landseries.errors import ArtifactError
from landseries.markers import MISSING, Damaged
from landseries.openrun import OpenRun
from landseries.stores.base import Store

#: A unit whose results are damaged more often has a store that loses data.
MOST_REPAIRS: Final = 3


def repair(store: Store, run: OpenRun, damage: Damaged) -> None:
    """Remove what is damaged with its manifest and marker, so that the unit is due again.

    Intermediates that a garbage collection may have removed are written again without a count. The unit's message must
    be published afterwards; whoever waits for the unit is published when it has answered.

    Raises:
        ArtifactError: it was repaired too often.
    """
    key = f"runs/{run.plan.run_id}/repairs/{'/'.join((damage.unit.stage, *damage.unit.key))}.json"
    if damage.what != MISSING or run.plan.config.storage.keeps(damage.unit.stage):
        times = _times(store, key) + 1
        if times > MOST_REPAIRS:
            raise ArtifactError(
                f"{damage}, for the {times}th time: check the store's disks, then run `landseries sweep`"
            )
        store.put(key, canonical_json({"times": times, "what": str(damage)}))
    if damage.key.startswith("artifacts/"):
        store.delete(str(PurePosixPath(damage.key).with_name("manifest.json")))
        store.delete(damage.key)
    run.markers.remove(damage.unit)


def _times(store: Store, key: str) -> int:
    try:
        return int(json.loads(store.get(key) or b'{"times": 0}')["times"])
    except (ArtifactError, ValueError, KeyError, TypeError):
        return 0  # the record itself is damaged: what it is about must be repaired all the same
