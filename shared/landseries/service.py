"""What a service offers: handlers for its stages, and what a handler sees of the run while it works.

A service package names a `Service` in the entry point group `landseries.services`. A handler is a plain function
from artifacts to artifacts: it reads the context's inputs and settings, and nothing else of the run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Final, TypeVar

from shapely.geometry.base import BaseGeometry

from landseries.config import Blocks, LoadedConfig, Period
from landseries.errors import ConfigError, LandseriesError
from landseries.grid import Tile
from landseries.legend import Legend
from landseries.markers import Marker, Output
from landseries.numerics import NumericsProfile
from landseries.pipeline import STAGES, Unit
from landseries.plan import RunPlan, SourceDescription
from landseries.settings.base import Settings
from landseries.settings.sources import Source

ENTRY_POINTS: Final = "landseries.services"
SettingsT = TypeVar("SettingsT", bound=Settings)


class Empty(Exception):
    """Raised by a handler for a unit that has, rightly, nothing in it; the text becomes the marker's reason."""


class Assisted(Exception):
    """Raised by a handler in a process that only helped another one, which writes the outputs and answers."""


@dataclass(frozen=True)
class Input:
    """What a needed unit answered: its status and reason, and its outputs by name."""

    unit: Unit
    marker: Marker

    @property
    def done(self) -> bool:
        """Whether the unit has outputs."""
        return self.marker.status == "done"


@dataclass(frozen=True)
class Outside:
    """What lies outside the store. Only handlers that name its checksums as external inputs may use it."""

    source: Source
    reference_path: Path | None
    reference_variable: str | None
    truth_path: str | None
    folder: Path
    reference_field: str | None = None
    reference_layer: str | None = None

    def resolve(self, path: Path | str) -> Path:
        """A path of the configuration as an absolute one."""
        return (self.folder / path).resolve()


@dataclass
class Context:
    """All that a handler sees.

    Attributes:
        unit: the unit of work; `context.unit["tile"]` gives a key field.
        scratch: an empty folder of the unit's own, removed afterwards.
        threads: threads that this process should use; must not change any byte.
        profile: the numerics profile, for stages whose row says `numerics`.
        checkpoints: a folder that outlives the process, for stages whose row says `long`.
    """

    unit: Unit
    scratch: Path
    threads: int
    checkpoints: Path
    _plan: RunPlan
    _inputs: Mapping[str, list[Input]]
    _open: Callable[[Unit, Output], AbstractContextManager[Path]]
    _run_markers: Callable[[], Iterator[tuple[Unit, Marker]]]
    _notify: Callable[[str], None]
    outputs: dict[str, Path] = field(default_factory=dict)

    def settings(self, model: type[SettingsT]) -> SettingsT:
        """The stage's settings, checked to be of the model that the handler expects."""
        found = stage_settings(self._plan, self.unit.stage)
        if not isinstance(found, model):
            raise TypeError(f"stage {self.unit.stage} has {type(found).__name__}, not {model.__name__}")
        return found

    def inputs(self, stage: str) -> list[Input]:
        """What the needed units of a stage answered, in the table's order."""
        return self._inputs[stage]

    def input(self, stage: str) -> Input:
        """The one needed unit of a stage."""
        (only,) = self._inputs[stage]
        return only

    def local(self, item: Input, output: str) -> AbstractContextManager[Path]:
        """An output of a needed unit as a file; its checksum has been verified.

        Raises:
            Damaged: the stored artifact is missing or corrupt; let it through, so that it is written again.
            KeyError: the unit wrote no such output, or the table's row does not declare it.
        """
        return self._open(item.unit, item.marker.outputs[output])

    def output(self, name: str) -> Path:
        """A path to write an output to; all outputs are stored when the handler returns."""
        path = self.scratch / "outputs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        self.outputs[name] = path
        return path

    def log(self, text: str) -> None:
        """Tell the person who watches the run how a long unit comes along."""
        self._notify(text)

    @property
    def tile(self) -> Tile:
        """The tile of a unit that has one."""
        return self._plan.tile[self.unit["tile"]]

    @property
    def year(self) -> int:
        """The year of a unit that has one."""
        return int(self.unit["year"])

    def tiles_of(self, granule: str) -> list[Tile]:
        """Tiles whose home is a granule."""
        return [self._plan.tile[tile] for tile in self._plan.extent.tiles_of.get(granule, ())]

    @property
    def tiles(self) -> dict[str, Tile]:
        """All tiles by id: for merges over the region and for the report."""
        return self._plan.tile

    @property
    def profile(self) -> NumericsProfile:
        """The numerics profile."""
        if not STAGES[self.unit.stage].numerics:
            raise _undeclared(self.unit.stage, "numerics")
        return self._plan.numerics

    @property
    def legend(self) -> Legend:
        """The legend."""
        self._declared("legend")
        return self._plan.legend

    @property
    def area(self) -> BaseGeometry | None:
        """Area of interest (longitude, latitude); None for all of a cube."""
        self._declared("area")
        return self._plan.area

    @property
    def features(self) -> tuple[str, ...]:
        """Features of every series, in stored order."""
        self._declared("features")
        return self._plan.features

    @property
    def seed(self) -> int:
        """The run's seed."""
        self._declared("seed")
        return self._plan.config.seed

    @property
    def blocks(self) -> Blocks:
        """How blocks are dealt to training, validation and prediction."""
        self._declared("blocks")
        return self._plan.config.blocks

    @property
    def years(self) -> tuple[int, ...]:
        """The years of the run."""
        self._declared("years")
        return tuple(self._plan.config.years)

    @property
    def models(self) -> tuple[str, ...]:
        """The models of the run."""
        self._declared("models")
        return tuple(self._plan.config.models)

    @property
    def training_year(self) -> int:
        """The year of the forest."""
        self._declared("training_year")
        return self._plan.config.forest_year

    @property
    def reference_year(self) -> int:
        """The year that the existing map shows."""
        self._declared("reference_year")
        return self._plan.config.reference.year

    def period(self, year: int) -> Period:
        """The days of a year's series."""
        self._declared("periods")
        return self._plan.periods[year]

    @property
    def masking(self) -> Settings:
        """The fetch settings, for a search that counts masked pixels as the fetch will mask them."""
        self._declared("masking")
        return self._plan.config.fetcher.fetch

    @property
    def outside(self) -> Outside:
        """Sources and files outside the store; name their checksums as external inputs."""
        return outside_of(self._plan)

    @property
    def plan(self) -> RunPlan:
        """The whole plan: for renderings only, which are outside the identity promise."""
        if not STAGES[self.unit.stage].rendering:
            raise _undeclared(self.unit.stage, "rendering")
        return self._plan

    def run_markers(self) -> Iterator[tuple[Unit, Marker]]:
        """Every marker of the run: for renderings only."""
        if not STAGES[self.unit.stage].rendering:
            raise _undeclared(self.unit.stage, "rendering")
        return self._run_markers()

    def _declared(self, name: str) -> None:
        if name not in STAGES[self.unit.stage].shared:
            raise _undeclared(self.unit.stage, name)


@dataclass(frozen=True)
class Handler:
    """What does a stage's units.

    Attributes:
        run: writes the outputs. Raises `Refused` or `Empty` where there is nothing to write, `Assisted` where another
            process writes.
        outside: identifier -> checksum of what `run` will use from outside the store; None where it uses nothing.
    """

    run: Callable[[Context], None]
    outside: Callable[[Context], Mapping[str, str]] | None = None


@dataclass(frozen=True)
class Service:
    """A service: its handlers, and (the fetcher) how it describes a source before a run is planned."""

    name: str
    handlers: Mapping[str, Handler]
    describe: Callable[[LoadedConfig], SourceDescription] | None = None


def load_service(name: str) -> Service:
    """Load an installed service.

    Raises:
        ConfigError: it is not installed here.
    """
    found = {entry.name: entry for entry in entry_points(group=ENTRY_POINTS)}
    if name not in found:
        raise ConfigError(f"the service {name!r} is not installed here: pip install landseries-{name}")
    service = found[name].load()
    if not isinstance(service, Service):
        raise LandseriesError(f"the entry point {name!r} of {ENTRY_POINTS} is no Service")
    return service


def stage_settings(plan: RunPlan, stage: str) -> Settings:
    """The settings model of a stage in a run."""
    found: Any = plan.config
    for step in STAGES[stage].settings.split("."):
        found = getattr(found, step)
    assert isinstance(found, Settings)
    return found


def outside_of(plan: RunPlan) -> Outside:
    """What lies outside the store for a run."""
    reference, truth = plan.config.reference, plan.config.truth
    return Outside(
        source=plan.config.source,
        reference_path=None if reference.path is None else plan.resolve(reference.path),
        reference_variable=reference.variable,
        truth_path=None if truth is None else str(plan.config_folder / truth.path),
        folder=plan.config_folder,
        reference_field=reference.field,
        reference_layer=reference.layer,
    )


def _undeclared(stage: str, name: str) -> LandseriesError:
    return LandseriesError(f"stage {stage} reads {name!r}, which its row of the pipeline table does not declare")
