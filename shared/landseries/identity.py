"""A unit's identity: the fingerprint of all that decides the bytes which it will write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from landseries.artifacts.documents import digest_of
from landseries.artifacts.fingerprint import fingerprint
from landseries.grid import area_mask
from landseries.markers import Marker
from landseries.pipeline import STAGES, Unit
from landseries.plan import RunPlan
from landseries.rows import Need
from landseries.service import Input, stage_settings


def identity_of(plan: RunPlan, unit: Unit, inputs: Mapping[str, list[Input]], outside: Mapping[str, str]) -> str:
    """The fingerprint of a unit of a run.

    Args:
        plan, unit: the unit.
        inputs: what its needs answered, with the declared outputs only.
        outside: identifier -> checksum of what it uses from outside the store.
    """
    row = STAGES[unit.stage]
    digests = [
        f"{item.unit.name} {name}={item.marker.outputs[name].digest}"
        for items in inputs.values()
        for item in items
        for name in sorted(item.marker.outputs)
    ]
    return fingerprint(
        stage=row.name,
        version=row.version,
        key=unit.fields,
        settings=stage_settings(plan, row.name).model_dump(mode="json", exclude_defaults=True),
        shared=_shared_values(plan, unit),
        inputs=digests,
        outside=dict(outside),
        numerics=plan.numerics.model_dump(mode="json") if row.numerics else None,
    )


def declared_outputs(marker: Marker, need: Need, unit: Unit) -> Marker:
    """The marker with those outputs only that the need declares, so that a handler sees no others."""
    if need.outputs is None:
        return marker
    wanted = {name.format(**unit.fields) for name in need.outputs}
    return marker.model_copy(update={"outputs": {k: v for k, v in marker.outputs.items() if k in wanted}})


def _shared_values(plan: RunPlan, unit: Unit) -> dict[str, Any]:
    """The run's fields that the unit's row declares, in the form in which they decide bytes."""
    fields = unit.fields
    values: dict[str, Any] = {}
    for name in STAGES[unit.stage].shared:
        if name == "periods":
            years = [int(fields["year"])] if "year" in fields else plan.config.years
            values[name] = {str(year): plan.periods[year].model_dump(mode="json") for year in years}
        elif name == "area":
            # Only the tiles' own part of the area counts: a larger area changes nothing inside.
            own = [fields["tile"]] if "tile" in fields else plan.extent.tiles_of[fields["granule"]]
            parts = {tile: area_mask(plan.tile[tile], plan.area) for tile in own}
            digests = {k: "whole" if v.all() else digest_of(np.packbits(v).tobytes()) for k, v in parts.items()}
            values[name] = digests[fields["tile"]] if "tile" in fields else digests
        elif name == "masking":
            values[name] = plan.config.fetcher.fetch.model_dump(mode="json", exclude_defaults=True)
        elif name == "legend":
            values[name] = plan.legend.model_dump(mode="json")
        elif name == "features":
            values[name] = list(plan.features)
        elif name == "training_year":
            # Of a unit of one year it only counts whether it is that one.
            year = plan.config.forest_year
            values[name] = str(year) == fields["year"] if "year" in fields else year
        elif name == "reference_year":
            values[name] = plan.config.reference.year
        else:
            found = getattr(plan.config, name)
            values[name] = found.model_dump(mode="json") if hasattr(found, "model_dump") else found
    if "tile" in fields:
        values["tile"] = plan.tile[fields["tile"]].geometry()
    elif "granule" in fields and "acquisition" not in fields:  # a fetch names the tiles that chose it itself
        tiles = (plan.tile[tile] for tile in plan.extent.tiles_of[fields["granule"]])
        values["tiles"] = {tile.id: tile.geometry() for tile in tiles}
    return values
