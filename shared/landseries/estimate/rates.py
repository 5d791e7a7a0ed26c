"""Rates: the seconds and bytes that units of each stage take, and what has to be assumed beside them.

A unit's work is measured in megapixel-views: the pixels of its tiles, times the acquisitions that it reads where it
reads acquisitions. Units of the whole region merge small tables: their time is a constant that grows with what they
read, and with the number of units that they read from. What is drawn for the region's sample does not grow with the
area: its bytes are counted per annual series of that sample, and the training on it per series and epoch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from landseries.errors import ConfigError
from landseries.pipeline import STAGES
from landseries.rows import Bind, Stage

_MIB: Final = 1 << 20


class StageRate(BaseModel):
    """What one stage's units take.

    Attributes:
        units: units that it was measured on.
        seconds_per_unit: seconds of every unit, however small.
        seconds_per_mpx: further seconds per megapixel-view.
        written_per_unit, written_per_mpx: bytes of the outputs.
        read_per_unit, read_per_mpx: bytes of the needed units' outputs that it reads.
        read_per_input: bytes read of each needed unit, for merges.
        inputs_per_unit: needed units that each read, for merges.
        written_per_sample, read_per_sample: bytes of all units together, per annual series of the region's sample.
        seconds_per_sample: seconds of a unit that trains, per annual series of the region's sample and epoch.
        peak_rss_mib: highest memory of a worker at such a unit, MiB.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    units: int = Field(ge=1)
    seconds_per_unit: float = Field(default=0.0, ge=0)
    seconds_per_mpx: float = Field(default=0.0, ge=0)
    written_per_unit: float = Field(default=0.0, ge=0)
    written_per_mpx: float = Field(default=0.0, ge=0)
    read_per_unit: float = Field(default=0.0, ge=0)
    read_per_mpx: float = Field(default=0.0, ge=0)
    read_per_input: float = Field(default=0.0, ge=0)
    inputs_per_unit: float = Field(default=0.0, ge=0)
    written_per_sample: float = Field(default=0.0, ge=0)
    read_per_sample: float = Field(default=0.0, ge=0)
    seconds_per_sample: float = Field(default=0.0, ge=0)
    peak_rss_mib: float = Field(default=0.0, ge=0)


class Assumptions(BaseModel):
    """What no finished run tells of another area; every value may be changed in the file of rates.

    Attributes:
        found_per_year: acquisitions that a search finds for a granule and a year.
        chosen_per_tile: acquisitions that each tile takes of them; None for the configuration's `per_year`.
        taken_per_chosen: acquisitions fetched for a granule, per acquisition of a tile: tiles choose differently.
        archive_mb_per_mpx: megabytes read from the archive per megapixel-view that is fetched.
        merge_mb_per_s: megabytes a second at which merges read beyond what was measured.
        merge_input_s: seconds for each unit that a merge reads from beyond what was measured: its marker, and a file.
        overhead_s: seconds between the units of a worker: message, markers, what becomes due.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    found_per_year: int = Field(default=60, ge=1)
    chosen_per_tile: int | None = Field(default=None, ge=1)
    taken_per_chosen: float = Field(default=1.25, ge=1)
    archive_mb_per_mpx: float = Field(default=5.0, ge=0)
    merge_mb_per_s: float = Field(default=50.0, gt=0)
    merge_input_s: float = Field(default=0.005, ge=0)
    overhead_s: float = Field(default=0.05, ge=0)


class Rates(BaseModel):
    """The rates of all stages.

    Attributes:
        measured_on: which run they come from, for people.
        stages: rate by stage.
        assumptions: what is assumed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    measured_on: str = ""
    stages: dict[str, StageRate]
    assumptions: Assumptions = Assumptions()


def read_rates(path: Path) -> Rates:
    """Read a file of rates.

    Raises:
        ConfigError: it cannot be read, or lacks a stage.
    """
    try:
        rates = Rates.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error}); `landseries plan --save-rates` writes one") from error
    except ValidationError as error:
        first = error.errors()[0]
        said = ": ".join(filter(None, (".".join(map(str, first["loc"])), first["msg"])))
        raise ConfigError(f"{path}: is no file of rates: {said}; `landseries plan --save-rates` writes one") from error
    check_rates(rates, str(path))
    return rates


def check_rates(rates: Rates, where: str) -> None:
    """Raise ConfigError where a stage of the table has no rate."""
    missing = [stage for stage in STAGES if stage not in rates.stages]
    if missing:
        raise ConfigError(
            f"{where}: has no rate of {', '.join(missing)}; measure on a complete run of this version, or write them in"
        )


def is_merge(row: Stage) -> bool:
    """Whether a stage's units span the whole region."""
    return not {"tile", "granule"} & set(row.unit)


def reads_sample(row: Stage) -> bool:
    """Whether a merge reads the region's sample, which does not grow with the area."""
    return is_merge(row) and any(STAGES[need.stage].sampled for need in row.needs)


def trains(row: Stage) -> bool:
    """Whether a stage's units learn from the region's sample, epoch by epoch."""
    return row.service == "trainer"


def reads_views(row: Stage) -> bool:
    """Whether a stage's units read each acquisition that a tile chose."""
    return any(Bind.CHOSEN in need.bind.values() for need in row.needs)


def looks_for_views(row: Stage) -> bool:
    """Whether a stage's units look at each acquisition that a source holds."""
    return not row.needs and {"granule", "year"} <= set(row.unit)
