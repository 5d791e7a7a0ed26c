"""Runs whose units are trivial, so that delivery is all that is left of them: plans, handlers and seeded markers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from landseries.artifacts.documents import canonical_json, digest_of, write_json
from landseries.config import parse_config
from landseries.grid import Tile
from landseries.legend import load_legend
from landseries.markers import Marker, Output
from landseries.numerics import NumericsProfile
from landseries.openrun import OpenRun
from landseries.pipeline import SERVICES, STAGES, Unit, stages_of
from landseries.plan import RunPlan
from landseries.service import Context, Handler, Service
from landseries.stores.base import Store

#: Outputs of the stages whose readers name them; every other toy writes `out.json`.
OUTPUTS: Final[dict[str, tuple[str, ...]]] = {
    "index": ("series.zarr.zip", "clear_views.tif", "composite.tif", "indices.zarr.zip"),
    "dataset": ("multi-year.parquet", "single-year.parquet", "summary.json"),
    "train": ("weights.safetensors", "summary.json"),
}
_SEEDING_THREADS: Final = 4


def make_plan(run_id: str = "demo", tiles: int = 3, **changes: Any) -> RunPlan:
    """A run over `tiles` tiles of one granule, two years, two models."""
    config = {
        "name": run_id,
        "years": [2018, 2019],
        "source": {"kind": "cube", "paths": ["x.nc"], "features": {"NDVI": "ndvi"}},
        "reference": {"path": "clc.tif", "year": 2018},
    }
    grid = [Tile("EPSG:32632", 640.0 * i, 640.0, 10.0, 10.0, 64, 64, f"t{i:05d}", "cube", i, 0) for i in range(tiles)]
    return RunPlan(
        run_id=run_id,
        config=parse_config(config | changes, "test"),
        config_folder=Path("/nowhere"),
        legend=load_legend("corine"),
        area_wkt=None,
        features=("NDVI",),
        tiles=tuple(tile.as_json() for tile in grid),
        stage_versions={name: row.version for name, row in STAGES.items()},
        numerics=NumericsProfile(),
    )


def trivial(context: Context) -> None:
    """Write a few bytes to each output."""
    for name in OUTPUTS.get(context.unit.stage, ("out.json",)):
        write_json(context.output(name), {"unit": context.unit.name})


def toy_services(run: Callable[[Context], None] = trivial) -> dict[str, Service]:
    """All services, every stage done by one handler."""
    return {name: Service(name, {stage: Handler(run) for stage in stages_of(name)}) for name in SERVICES}


def seed(store: Store, run: OpenRun, units: Iterable[Unit], *, whole: bool = False) -> None:
    """Mark units as done without doing them; what they are said to have written is there only where it is `whole`."""

    def mark(unit: Unit) -> None:
        content = canonical_json({"unit": unit.name})
        digest = digest_of(content)
        outputs = {
            name: Output(key=f"artifacts/{unit.stage}/{digest}/{name}", digest=digest, size_bytes=len(content))
            for name in OUTPUTS.get(unit.stage, ("out.json",))
        }
        for output in outputs.values() if whole else ():
            store.put_new(output.key, content)
        store.put_new(
            run.markers.key(unit), canonical_json(Marker(status="done", outputs=outputs).model_dump(mode="json"))
        )

    with ThreadPoolExecutor(_SEEDING_THREADS) as pool:
        list(pool.map(mark, units))
