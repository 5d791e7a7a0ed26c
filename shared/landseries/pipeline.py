"""THE table: the stages of a run, their units of work, and what each needs; and what follows from it.

The rows are data. Everything else derives from them and from the run's extent (tiles, years, models) and, for fetch
and index, from what the searches chose: the units of a stage, what a unit needs, and who waits for it. The embedded
run, the workers behind a broker, `status` and `check` all use these functions; there is no orchestrator.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from landseries.extent import Extent
from landseries.rows import Bind, Keep, Need, Stage

#: Output of the harmony stage: what was found of every acquisition; for each there is one more, for its fetch.
HARMONY: Final = "harmony.json"
#: Outputs of the index stage: the regular series, its indices (training year only), clear-view counts, a quick-look.
SERIES: Final = "series.zarr.zip"
INDICES: Final = "indices.zarr.zip"
COUNTS: Final = "clear_views.tif"
COMPOSITE: Final = "composite.tif"
#: Output of the train stage: the networks of one model.
WEIGHTS: Final = "weights.safetensors"

_CONSUMED: Final[Keep] = "until consumed"


def _need(stage: str, *outputs: str, tolerant: bool = False, **bind: Bind) -> Need:
    return Need(stage, bind, tolerant, outputs or None)


def _search(**bind: Bind) -> Need:
    # What a search chose enters through the acquisitions themselves: their digests, or the products' checksums.
    return Need("search", bind, outputs=())


_S, _E, _T, _H, _C, _I = Bind.SAME, Bind.EVERY, Bind.TRAINING_YEAR, Bind.HOME, Bind.CHOSEN, Bind.INSIDE

_ROWS: Final[tuple[Stage, ...]] = (
    Stage("search", "fetcher", ("granule", "year"), (), "fetcher.search", ("periods", "masking", "area"), version=2),
    Stage("reference", "fetcher", ("tile",), (), "fetcher.reference", ("legend", "area")),
    Stage(
        *("harmony", "fetcher", ("granule",)),
        # All years at once: whether acquisitions agree shows only where they are compared.
        (_need("search", granule=_S, year=_E, tolerant=True),),
        *("fetcher.harmony", ("masking", "training_year")),
        long=True,
    ),
    Stage(
        *("fetch", "fetcher", ("granule", "year", "acquisition")),
        # The documents about the acquisition alone: its products and the tiles that chose it, and what is to be
        # corrected. Another year's or acquisition's choice changes nothing.
        (
            _need("search", "{acquisition}.json", granule=_S, year=_S),
            _need("harmony", "{acquisition}.json", granule=_S),
        ),
        *("fetcher.fetch", ("features",)),
        version=2,
        keep=_CONSUMED,
    ),
    Stage(
        *("index", "indexer", ("tile", "year")),
        (
            _search(granule=_H, year=_S),
            _need("fetch", "{tile}.tif", granule=_H, year=_S, acquisition=_C, tolerant=True),
        ),
        *("indexer.index", ("periods", "features", "training_year")),
        keep=_CONSUMED,
    ),
    Stage(
        *("cluster", "clusterer", ("tile",)),
        (_need("index", INDICES, COUNTS, tile=_S, year=_T), _need("reference", tile=_S)),
        *("clusterer.cluster", ("legend", "seed", "features")),
        keep=_CONSUMED,
    ),
    Stage(
        *("classes", "clusterer", ("region",)),
        (_need("cluster", tile=_E, tolerant=True),),
        *("clusterer.classes", ("legend",)),
    ),
    Stage(
        *("reliable", "clusterer", ("tile",)),
        (
            _need("cluster", tile=_S),
            _need("classes", region=_E),
            _need("index", SERIES, INDICES, tile=_S, year=_T),
            _need("reference", tile=_S),
        ),
        *("clusterer.reliable", ("legend", "seed", "blocks", "features")),
    ),
    Stage(
        *("forest", "pseudolabeler", ("region",)),
        (_need("reliable", tile=_E, tolerant=True),),
        *("pseudolabeler.forest", ("legend", "seed", "features")),
        long=True,
    ),
    Stage(
        *("pseudolabel", "pseudolabeler", ("tile", "year")),
        (_need("forest", region=_E), _need("index", SERIES, COUNTS, tile=_S, year=_S)),
        *("pseudolabeler.pseudolabel", ("legend", "features")),
        keep=_CONSUMED,
    ),
    Stage(
        *("strata", "sampler", ("tile",)),
        (_need("pseudolabel", tile=_S, year=_E, tolerant=True),),
        *("sampler.sample", ("seed", "blocks", "area", "years")),
        keep=_CONSUMED,
    ),
    Stage(
        *("quotas", "sampler", ("region",)),
        (_need("strata", tile=_E, tolerant=True),),
        "sampler.dataset",
    ),
    Stage(
        *("sample", "sampler", ("tile",)),
        # The region's quotas first, so that only what the region takes is read and written with its series.
        (
            _need("quotas", region=_E),
            _need("strata", tile=_S),
            _need("pseudolabel", tile=_S, year=_E, tolerant=True),
            _need("index", SERIES, tile=_S, year=_E, tolerant=True),
        ),
        *("sampler.sample", ("seed", "blocks", "area", "features", "years")),
        version=2,
        sampled=True,
        keep=_CONSUMED,
    ),
    Stage(
        *("dataset", "sampler", ("region",)),
        (_need("quotas", region=_S), _need("sample", tile=_E, tolerant=True)),
        *("sampler.dataset", ("legend", "years", "models")),
        version=2,
    ),
    Stage(
        *("train", "trainer", ("region", "model")),
        (_need("dataset", "{model}.parquet", region=_S),),
        *("trainer.train", ("legend", "seed", "features", "years")),
        long=True,
        numerics=True,
    ),
    Stage(
        *("map", "mapper", ("tile", "model")),
        (_need("train", WEIGHTS, region=_E, model=_S), _need("index", SERIES, COUNTS, tile=_S, year=_E, tolerant=True)),
        *("mapper.map", ("legend", "features", "years", "area")),
        long=True,
        numerics=True,
        keep=_CONSUMED,
    ),
    Stage(
        *("compare", "assessor", ("tile",)),
        (
            _need("map", tile=_S, model=_E, tolerant=True),
            _need("reference", tile=_S, tolerant=True),
            _need("reliable", tile=_S, tolerant=True),
        ),
        *("assessor.compare", ("legend", "seed", "blocks", "years", "models", "area", "reference_year")),
    ),
    Stage(
        *("mosaic", "assessor", ("granule", "model")),
        (_need("map", tile=_I, model=_S, tolerant=True), _need("index", COMPOSITE, tile=_I, year=_E, tolerant=True)),
        *("assessor.mosaic", ("legend", "years", "models")),
        version=2,
    ),
    Stage(
        *("report", "assessor", ()),
        (
            _need("search", "search.json", granule=_E, year=_E, tolerant=True),
            _need("compare", tile=_E, tolerant=True),
            _need("reference", tile=_E, tolerant=True),
            _need("mosaic", granule=_E, model=_E, tolerant=True),
            _need("harmony", HARMONY, granule=_E, tolerant=True),
            _need("dataset", "summary.json", region=_E, tolerant=True),
            _need("train", "summary.json", region=_E, model=_E, tolerant=True),
        ),
        *("assessor.report", ("legend", "years", "models", "periods", "reference_year")),
        rendering=True,
    ),
)

#: The table, by stage name, in the order in which data walks through it.
STAGES: Final[dict[str, Stage]] = {row.name: row for row in _ROWS}
SERVICES: Final[tuple[str, ...]] = tuple(dict.fromkeys(row.service for row in _ROWS))


@dataclass(frozen=True, order=True)
class Unit:
    """One unit of work: a stage and the values of its key fields, in the row's order."""

    stage: str
    key: tuple[str, ...]

    def __getitem__(self, field: str) -> str:
        return self.key[STAGES[self.stage].unit.index(field)]

    @property
    def name(self) -> str:
        """The unit as a person reads it, for example `index 32N-c0273-r2016 2018`."""
        return " ".join((self.stage, *self.key))

    @property
    def fields(self) -> dict[str, str]:
        """Key fields by name."""
        return dict(zip(STAGES[self.stage].unit, self.key, strict=True))


class Choices(Protocol):
    """What the searches answered."""

    def chosen(self, granule: str, year: str) -> Mapping[str, Sequence[str]] | None:
        """Acquisitions that each tile chose; None while the search has not answered (or was refused)."""


class Pipeline:
    """The table applied to one run."""

    def __init__(self, extent: Extent, choices: Choices) -> None:
        self.extent = extent
        self._choices = choices

    def units(self, stage: str) -> Iterator[Unit]:
        """All units of a stage; of fetch, those known so far."""
        yield from self._product(stage, {})

    def needs(self, unit: Unit, need: Need) -> Iterator[Unit]:
        """The units that one need of a unit asks for.

        For a need on fetch, nothing while the search has not answered: the need on search itself then holds it back.
        """
        domain: dict[str, Sequence[str]] = {}
        for field in STAGES[need.stage].unit:
            domain[field] = self._forward(unit, field, need.bind[field])
        yield from (Unit(need.stage, key) for key in itertools.product(*(domain[f] for f in STAGES[need.stage].unit)))

    def dependents(self, unit: Unit) -> Iterator[tuple[Unit, Need]]:
        """The units that wait for a unit, each with the need by which it does."""
        for row in _ROWS:
            for need in row.needs:
                if need.stage == unit.stage:
                    narrowed = self._backward(unit, need)
                    if narrowed is not None:
                        for waiting in self._product(row.name, narrowed):
                            yield waiting, need

    def _forward(self, unit: Unit, field: str, bind: Bind) -> Sequence[str]:
        extent = self.extent
        if bind is Bind.SAME:
            return (unit[field],)
        if bind is Bind.EVERY:
            return extent.values[field]
        if bind is Bind.TRAINING_YEAR:
            return (extent.training_year,)
        if bind is Bind.HOME:
            return (extent.granule_of[unit["tile"]],)
        if bind is Bind.INSIDE:
            return extent.tiles_of[unit["granule"]]
        chosen = self._choices.chosen(extent.granule_of[unit["tile"]], unit["year"])
        return () if chosen is None else chosen.get(unit["tile"], ())

    def _backward(self, unit: Unit, need: Need) -> dict[str, Sequence[str]] | None:
        """Which values the key fields of a waiting unit can have; None where none waits."""
        extent = self.extent
        domain: dict[str, Sequence[str]] = {}
        for field, bind in need.bind.items():
            value = unit[field]
            if bind is Bind.SAME:
                domain[field] = (value,)
            elif bind is Bind.TRAINING_YEAR and value != extent.training_year:
                return None
            elif bind is Bind.HOME:
                domain["tile"] = extent.tiles_of.get(value, ())
            elif bind is Bind.INSIDE:
                domain["granule"] = (extent.granule_of[value],)
            elif bind is Bind.CHOSEN:
                chosen = self._choices.chosen(unit["granule"], unit["year"]) or {}
                domain["tile"] = [tile for tile, taken in chosen.items() if value in taken]
        return domain

    def _product(self, stage: str, narrowed: Mapping[str, Sequence[str]]) -> Iterator[Unit]:
        fields = STAGES[stage].unit
        known = [field for field in fields if field != "acquisition"]
        domains = [narrowed.get(field, self.extent.values[field]) for field in known]
        for key in itertools.product(*domains):
            if "acquisition" not in fields:
                yield Unit(stage, key)
                continue
            chosen = self._choices.chosen(key[0], key[1]) or {}
            for acquisition in sorted({name for taken in chosen.values() for name in taken}):
                yield Unit(stage, (*key, acquisition))


def stages_of(service: str) -> tuple[str, ...]:
    """Names of the stages that a service does, in the table's order."""
    return tuple(row.name for row in _ROWS if row.service == service)


def in_order(units: Iterable[Unit]) -> list[Unit]:
    """Units sorted by the table's order, then by key: the order in which a person expects them."""
    order = {name: position for position, name in enumerate(STAGES)}
    return sorted(units, key=lambda unit: (order[unit.stage], unit.key))
