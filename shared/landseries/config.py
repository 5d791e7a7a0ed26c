"""The YAML a person writes: one RunConfig, with a settings model per service, and errors that say what to do.

Paths in it are relative to the file. `${NAME}` in a text reads the environment.
"""

from __future__ import annotations

import difflib
import json
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import shapely
import yaml
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator
from shapely.geometry.base import BaseGeometry

from landseries.errors import ConfigError
from landseries.legend import Legend, load_legend
from landseries.settings.assessor import AssessorSettings
from landseries.settings.base import Settings, ours, paper, spelled
from landseries.settings.clusterer import ClustererSettings
from landseries.settings.fetcher import FetcherSettings
from landseries.settings.indexer import IndexerSettings
from landseries.settings.mapper import MapperSettings
from landseries.settings.pseudolabeler import PseudolabelerSettings
from landseries.settings.reference import ReferenceMap, Year
from landseries.settings.sampler import SamplerSettings
from landseries.settings.sources import CubeSource, Source
from landseries.settings.storage import StorageSettings
from landseries.settings.trainer import TrainerSettings
from landseries.variables import expand_variables

Model = Literal["multi-year", "single-year", "single-year-agreeing", "multi-year-equal"]
MonthDay = Annotated[str, spelled(r"\d\d-\d\d", "write MM-DD, such as 11-01")]


class Area(Settings):
    """The area of interest, in longitude and latitude (WGS 84): a bounding box or a GeoJSON file."""

    bbox: Annotated[
        tuple[float, float, float, float] | None, Field(description="west, south, east, north in degrees")
    ] = None
    geojson: Annotated[Path | None, Field(description="File with a polygon, a feature or a collection")] = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Area:
        if (self.bbox is None) == (self.geojson is None):
            raise ValueError("give either `bbox` (west, south, east, north) or `geojson` (a file)")
        if self.bbox is not None and -180 <= self.bbox[2] < 0 < self.bbox[0] <= 180:
            raise ValueError(
                "`bbox` has its west in the eastern hemisphere and its east in the western: it crosses the "
                "antimeridian (180 degrees); give the two sides as two runs, or mend the order west, south, east, north"
            )
        if self.bbox is not None and not (self.bbox[0] < self.bbox[2] and self.bbox[1] < self.bbox[3]):
            raise ValueError("`bbox` is west, south, east, north, with west < east and south < north")
        return self


class Truth(Settings):
    """True maps, where they are known (simulations, photo-interpretation): used by the assessment alone."""

    path: Annotated[str, Field(description="Raster of class ids per year, with {year} in its name")]

    @field_validator("path")
    @classmethod
    def _names_the_year(cls, path: str) -> str:
        if "{year}" not in path:
            raise ValueError("must hold {year}, for example truth/{year}.tif")
        return path


class Blocks(Settings):
    """The area is cut into square blocks; samples never come from prediction blocks, figures do."""

    size_px: int = ours(32, "Side of a block in pixels", ge=1, le=4096)
    training: float = ours(0.45, "Share of training blocks", gt=0, lt=1)
    validation: float = ours(0.2, "Share of validation blocks", gt=0, lt=1)

    @model_validator(mode="after")
    def _leave_some_to_predict(self) -> Blocks:
        if self.training + self.validation > 0.95:
            raise ValueError("training + validation must leave at least 0.05 for prediction blocks")
        return self

    @property
    def shares(self) -> tuple[float, float, float]:
        """Shares of training, validation and prediction blocks."""
        return self.training, self.validation, 1.0 - self.training - self.validation


class GridSettings(Settings):
    """The processing grid."""

    tile_size_px: int = ours(512, "Side of a processing tile in pixels; even", ge=32, le=4096, multiple_of=2)


class NumericsSettings(Settings):
    """What bytes are promised for: results of train and map are identical within one profile."""

    device: Literal["cpu", "cuda"] = ours("cpu", "Device of training and mapping; cuda for NVIDIA GPUs")
    capability: Literal["auto", "default", "avx2", "avx512", "avx512_bf16", "amx"] = ours(
        "auto", "Processor features to use; auto takes all of the machine that plans the run (for cuda at most avx2)"
    )
    precision: Literal["auto", "float32", "bfloat16"] = ours(
        "auto", "Operands of matrix products; auto takes bfloat16 where the processor multiplies it faster, or on cuda"
    )
    training_threads: int = ours(1, "Threads of one training process", ge=1, le=256)
    training_processes: int = ours(
        1,
        "Processes that train one network together; on cuda each has a GPU of its own, and fewer GPUs give the same",
        ge=1,
        le=4096,
    )


class RunConfig(Settings):
    """A whole run: what to map, from what, and every step's settings."""

    name: Annotated[
        str,
        spelled(r"[a-z0-9][a-z0-9-]{0,59}", "write at most 60 characters, of a-z, 0-9 and -, such as tyrol-2018"),
        Field(description="Name of the run: a-z, 0-9 and -"),
    ]
    area: Annotated[Area | None, Field(description="Area of interest; may be left out for a cube")] = None
    years: Annotated[list[Year], Field(min_length=1, description="Years to map, ascending")]
    period_start: MonthDay = ours(
        "01-01", "A year is the twelve months from this day (MM-DD) that hold the reference date"
    )
    reference_date: MonthDay = ours("07-01", "The day of the year that a map shows (MM-DD)")
    training_year: Annotated[Year | None, Field(description="Year of the forest; default the reference map's year")] = (
        None
    )
    source: Annotated[
        Source,
        Field(
            description="Where the imagery comes from; for products in a bucket `path: s3://BUCKET/PREFIX` and "
            "`s3_endpoint: https://HOST`"
        ),
    ]
    reference: Annotated[ReferenceMap, Field(description="The existing map")]
    truth: Annotated[Truth | None, Field(description="True maps for the assessment, where known")] = None
    models: Annotated[list[Model], Field(min_length=1, description="Models to train and compare")] = paper(
        ["multi-year", "single-year"], "Models to train, map and compare"
    )
    seed: int = ours(0, "Seed of everything random", ge=0, le=2**31)
    grid: GridSettings = GridSettings()
    blocks: Blocks = Blocks()
    numerics: NumericsSettings = NumericsSettings()
    fetcher: FetcherSettings = FetcherSettings()
    indexer: IndexerSettings = IndexerSettings()
    clusterer: ClustererSettings = ClustererSettings()
    pseudolabeler: PseudolabelerSettings = PseudolabelerSettings()
    sampler: SamplerSettings = SamplerSettings()
    trainer: TrainerSettings = TrainerSettings()
    mapper: MapperSettings = MapperSettings()
    assessor: AssessorSettings = AssessorSettings()
    storage: StorageSettings = StorageSettings()

    @field_validator("years")
    @classmethod
    def _ascending(cls, years: list[int]) -> list[int]:
        if years != sorted(set(years)):
            raise ValueError("must be ascending, each year once")
        return years

    @field_validator("models")
    @classmethod
    def _each_once(cls, models: list[str]) -> list[str]:
        if len(set(models)) != len(models):
            raise ValueError("each model once")
        return sorted(models, key=get_args(Model).index)

    @field_validator("period_start", "reference_date")
    @classmethod
    def _a_day_of_every_year(cls, month_day: str) -> str:
        try:
            date.fromisoformat(f"2019-{month_day}")
        except ValueError:
            raise ValueError(f"{month_day} is no day of every year; write MM-DD, such as 11-01") from None
        return month_day

    @model_validator(mode="after")
    def _training_year_is_mapped(self) -> RunConfig:
        if self.forest_year not in self.years:
            raise ValueError(
                f"the training year {self.forest_year} (training_year, or else reference.year) is not among years"
            )
        if self.area is None and not isinstance(self.source, CubeSource):
            raise ValueError("area is missing: give `area: {bbox: [west, south, east, north]}` or `{geojson: FILE}`")
        if self.reference.variable is not None and not isinstance(self.source, CubeSource):
            raise ValueError("reference.variable needs a source of kind cube; give reference.path")
        return self

    @property
    def forest_year(self) -> int:
        """The training year: the year of the forest."""
        return self.training_year if self.training_year is not None else self.reference.year

    def period(self, year: int) -> Period:
        """The twelve months of a year: those from `period_start` that hold the year's reference date."""
        reference = date.fromisoformat(f"{year}-{self.reference_date}")
        start = date.fromisoformat(f"{year}-{self.period_start}")
        if start > reference:
            start = date.fromisoformat(f"{year - 1}-{self.period_start}")
        return Period(start=start, end=start.replace(year=start.year + 1) - timedelta(days=1))


class Period(BaseModel, frozen=True):
    """The days of one annual series, both ends included."""

    start: date
    end: date

    def day_of(self, day: date) -> int:
        """Day of the period, 0 on its first day."""
        return (day - self.start).days

    def holds(self, day: date) -> bool:
        """Whether the period holds a day."""
        return self.start <= day <= self.end


class LoadedConfig(BaseModel, frozen=True, arbitrary_types_allowed=True):
    """A configuration with the files that it names read."""

    path: Path
    run: RunConfig
    legend: Legend
    area: BaseGeometry | None

    def resolve(self, path: Path) -> Path:
        """A path of the configuration as an absolute one."""
        return (self.path.parent / path).resolve()


def load_config(path: Path) -> LoadedConfig:
    """Read and check a configuration, and the legend and area that it names.

    Raises:
        ConfigError: naming the file, the field and the remedy.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); `landseries init` writes a template") from error
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: is not valid YAML: {error}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: must hold fields such as `name:` and `years:`; `landseries init` writes a template")
    run = parse_config(expand_variables(data, str(path)), str(path))
    return LoadedConfig(
        path=path.resolve(),
        run=run,
        legend=load_legend(run.reference.legend, path.parent),
        area=_read_area(run.area, path.parent, str(path)),
    )


def parse_config(data: Any, where: str) -> RunConfig:
    """Check the fields of a configuration.

    Raises:
        ConfigError: one line per wrong field, each with what would be right.
    """
    try:
        return RunConfig.model_validate(data)
    except ValidationError as error:
        lines = [_explain(item, data) for item in error.errors()]
        raise ConfigError("\n".join(f"{where}: {line}" for line in dict.fromkeys(lines))) from None


def _explain(item: Any, data: Any) -> str:
    steps = [step for step in item["loc"] if step not in ("safe", "cube")]
    field = ".".join(str(step) for step in steps)
    if item["type"] == "extra_forbidden":
        known = _known_fields(steps[:-1])
        near = difflib.get_close_matches(str(steps[-1]), known, n=1)
        hint = f"did you mean `{near[0]}`?" if near else f"known are {', '.join(sorted(known))}"
        return f"{field}: unknown field; {hint}"
    if item["type"] == "missing":
        return f"{field}: is missing; `landseries init` writes a template that explains it"
    said = item["msg"].removeprefix("Value error, ")
    got = "" if isinstance(item.get("input"), dict) else f" (got {_short(item.get('input'))})"
    return f"{field}: {said}{got}" if field else said


def _short(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def _known_fields(steps: list[Any]) -> list[str]:
    models: list[type[BaseModel]] = [RunConfig]
    for step in steps:
        nested: list[type[BaseModel]] = []
        for model in models:
            field = model.model_fields.get(str(step))
            nested += _models_in(field.annotation) if field is not None else []
        models = nested or models
    return [name for model in models for name in model.model_fields]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_in(part)]


def _read_area(area: Area | None, base: Path, where: str) -> BaseGeometry | None:
    if area is None:
        return None
    if area.bbox is not None:
        return shapely.box(*area.bbox)
    assert area.geojson is not None
    path = base / area.geojson
    try:
        geometry = shapely.from_geojson(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, shapely.GEOSException) as error:
        raise ConfigError(f"{where}: area.geojson: {path} cannot be read as GeoJSON: {error}") from error
    polygons = [part for part in shapely.get_parts(shapely.force_2d(geometry)) if "Polygon" in part.geom_type]
    merged = shapely.make_valid(shapely.union_all(shapely.get_parts(polygons))) if polygons else None
    if merged is None or merged.is_empty or merged.area == 0:
        raise ConfigError(f"{where}: area.geojson: {path} holds no polygon with an area")
    return merged
