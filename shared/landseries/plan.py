"""The plan of a run: everything that is settled before the first unit, frozen under the run's name in the store."""

from __future__ import annotations

import json
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal

import shapely
from pydantic import BaseModel, ConfigDict, ValidationError
from shapely.geometry.base import BaseGeometry

from landseries.artifacts.documents import canonical_json
from landseries.config import LoadedConfig, Period, RunConfig
from landseries.errors import ArtifactError, RunConflict
from landseries.extent import Extent
from landseries.grid import Raster, Tile, tiles_of_area, tiles_of_raster
from landseries.legend import Legend
from landseries.numerics import NumericsProfile
from landseries.pipeline import STAGES
from landseries.stores.base import Store

PLAN_VERSION: Final = 1

#: Size of a stored plan, and when it was written.
Stamp = tuple[int, datetime]


class SourceDescription(BaseModel, frozen=True):
    """What the fetcher finds out about a source before a run is planned.

    Attributes:
        granules: MGRS names that the source holds, or the name of the one cube.
        features: the features of every acquisition, in the order of stored arrays.
        raster: a cube's own grid as a JSON object; None where tiles follow the UTM lattice.
        acquisitions: number of acquisitions that the source holds for each year of the run, as a hint for people.
    """

    granules: tuple[str, ...]
    features: tuple[str, ...]
    raster: dict[str, Any] | None = None
    acquisitions: dict[int, int] = {}


class RunPlan(BaseModel):
    """A frozen run."""

    model_config = ConfigDict(frozen=True)

    plan_version: Literal[1] = PLAN_VERSION
    run_id: str
    config: RunConfig
    config_folder: Path
    legend: Legend
    area_wkt: str | None
    features: tuple[str, ...]
    tiles: tuple[dict[str, Any], ...]
    stage_versions: dict[str, int]
    numerics: NumericsProfile

    @cached_property
    def tile(self) -> dict[str, Tile]:
        """Tiles by id."""
        return {entry["id"]: Tile(**entry) for entry in self.tiles}

    @cached_property
    def area(self) -> BaseGeometry | None:
        """Area of interest in longitude and latitude; None where the whole cube is meant."""
        return None if self.area_wkt is None else shapely.from_wkt(self.area_wkt)

    @cached_property
    def extent(self) -> Extent:
        """What the pipeline table needs to know of the run."""
        return Extent(
            granule_of={tile.id: tile.granule for tile in self.tile.values()},
            years=tuple(str(year) for year in self.config.years),
            training_year=str(self.config.forest_year),
            models=tuple(self.config.models),
        )

    @cached_property
    def periods(self) -> dict[int, Period]:
        """The days of each year's series."""
        return {year: self.config.period(year) for year in self.config.years}

    def resolve(self, path: Path) -> Path:
        """A path of the configuration as an absolute one."""
        return (self.config_folder / path).resolve()


def make_plan(loaded: LoadedConfig, source: SourceDescription, numerics: NumericsProfile) -> RunPlan:
    """Settle a run.

    Raises:
        ConfigError: the area lies outside the source.
    """
    config = loaded.run
    if source.raster is not None:
        raster = Raster(**source.raster)
        tiles = tiles_of_raster(raster, source.granules[0], config.grid.tile_size_px, loaded.area)
    else:
        assert loaded.area is not None, "the configuration requires an area where the source has no grid of its own"
        tiles = tiles_of_area(loaded.area, config.grid.tile_size_px, source.granules)
    return RunPlan(
        run_id=config.name,
        config=config,
        config_folder=loaded.path.parent,
        legend=loaded.legend,
        area_wkt=None if loaded.area is None else shapely.to_wkt(loaded.area, rounding_precision=9),
        features=source.features,
        tiles=tuple(tile.as_json() for tile in tiles),
        stage_versions={name: row.version for name, row in STAGES.items()},
        numerics=numerics,
    )


def freeze_plan(store: Store, plan: RunPlan) -> None:
    """Write a run's plan, or find that the same plan is there already.

    Raises:
        RunConflict: the name is taken by a run with another configuration, or by other stage versions.
    """
    content = plan.model_dump(mode="json")
    if store.put_new(_key(plan.run_id), canonical_json(content)):
        return
    known = json.loads(store.get(_key(plan.run_id)) or b"{}")
    known["config_folder"] = content["config_folder"]  # a run may move; its sources are known by their digests
    # How long intermediates stay decides no result: the new rule holds from now on.
    stored_otherwise = known.setdefault("config", {}).get("storage") != content["config"]["storage"]
    known["config"]["storage"] = content["config"]["storage"]
    changed = sorted(_differences(known, content))
    if changed:
        raise RunConflict(
            f"a run named {plan.run_id!r} is here already, and differs in {', '.join(changed[:8])}; "
            "give this one another `name:` (everything that fits is reused), or use another workdir"
        )
    if stored_otherwise:
        store.put(_key(plan.run_id), canonical_json(content))


def read_plan(store: Store, run_id: str) -> RunPlan | None:
    """The plan of a run; None where the store has no such run.

    Raises:
        ArtifactError: the stored plan cannot be read by this version.
    """
    content = store.get(_key(run_id))
    if content is None:
        return None
    try:
        return RunPlan.model_validate_json(content)
    except ValidationError as error:
        raise ArtifactError(f"the stored plan of run {run_id!r} cannot be read: {error}") from error


def plan_stamp(store: Store, run_id: str) -> Stamp | None:
    """What tells a run's stored plan from one that takes its place; None where the store has no such run."""
    key = _key(run_id)
    return next(((item.size_bytes, item.modified) for item in store.list("plans/") if item.key == key), None)


def forget_plan(store: Store, run_id: str) -> None:
    """Remove a run's plan; its markers and artifacts stay."""
    store.delete(_key(run_id))


def list_runs(store: Store) -> list[str]:
    """Names of the runs in a store."""
    return [Path(item.key).stem for item in store.list("plans/")]


def _key(run_id: str) -> str:
    return f"plans/{run_id}.json"


def _differences(known: Any, wanted: Any, path: str = "") -> list[str]:
    if isinstance(known, dict) and isinstance(wanted, dict):
        found: list[str] = []
        for name in sorted(known.keys() | wanted.keys()):
            found += _differences(known.get(name), wanted.get(name), f"{path}.{name}".lstrip("."))
        return found
    return [] if known == wanted else [path.removeprefix("config.")]
