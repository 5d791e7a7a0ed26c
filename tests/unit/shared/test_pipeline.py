"""The table and what follows from it: units, needs, and who waits, which must be each other's mirror."""

from collections.abc import Mapping, Sequence

from hypothesis import given
from hypothesis import strategies as st

from landseries.extent import Extent
from landseries.pipeline import SERVICES, STAGES, Pipeline, Unit, in_order, stages_of


class Chosen:
    """Searches that chose, per granule and year, what a dictionary says."""

    def __init__(self, answers: Mapping[tuple[str, str], Mapping[str, Sequence[str]]]) -> None:
        self._answers = answers

    def chosen(self, granule: str, year: str) -> Mapping[str, Sequence[str]] | None:
        return self._answers.get((granule, year))


@st.composite
def pipelines(draw: st.DrawFn) -> Pipeline:
    granules = draw(st.lists(st.sampled_from("GHI"), min_size=1, max_size=3, unique=True))
    tiles = {f"t{i}": draw(st.sampled_from(granules)) for i in range(draw(st.integers(1, 6)))}
    years = tuple(str(2017 + i) for i in range(draw(st.integers(1, 4))))
    models = draw(st.sampled_from([("multi-year",), ("multi-year", "single-year")]))
    extent = Extent(tiles, years, draw(st.sampled_from(years)), models)
    answers = {}
    for granule in extent.tiles_of:
        for year in years:
            if draw(st.booleans()):
                names = st.lists(st.sampled_from(["a", "b", "c"]), unique=True)
                answers[(granule, year)] = {tile: draw(names) for tile in extent.tiles_of[granule]}
    return Pipeline(extent, Chosen(answers))


@given(pipelines())
def test_whoever_needs_a_unit_waits_for_it_and_nobody_else(pipeline: Pipeline) -> None:
    needed: set[tuple[Unit, Unit]] = set()
    for stage, row in STAGES.items():
        for unit in pipeline.units(stage):
            for need in row.needs:
                needed |= {(other, unit) for other in pipeline.needs(unit, need)}
    waiting = {
        (unit, other) for stage in STAGES for unit in pipeline.units(stage) for other, _ in pipeline.dependents(unit)
    }
    assert waiting == needed


@given(pipelines())
def test_needs_are_units_of_the_run(pipeline: Pipeline) -> None:
    known = {unit for stage in STAGES for unit in pipeline.units(stage)}
    for unit in known:
        for need in STAGES[unit.stage].needs:
            # A search of this granule and year is a unit even before it has answered.
            assert set(pipeline.needs(unit, need)) <= known


@given(pipelines())
def test_no_unit_comes_twice(pipeline: Pipeline) -> None:
    for stage in STAGES:
        units = list(pipeline.units(stage))
        assert len(units) == len(set(units))
        assert in_order(reversed(units)) == sorted(units)


def test_rows_name_stages_above_them_and_bind_all_their_key_fields() -> None:
    seen: set[str] = set()
    for name, row in STAGES.items():
        for need in row.needs:
            assert need.stage in seen, f"{name} needs {need.stage}, which comes later"
            assert set(need.bind) == set(STAGES[need.stage].unit), f"{name} -> {need.stage}"
        seen.add(name)


def test_every_stage_has_one_service() -> None:
    assert [stage for service in SERVICES for stage in stages_of(service)] == list(STAGES)


def test_declared_settings_exist_in_the_configuration() -> None:
    from landseries.config import RunConfig

    for row in STAGES.values():
        model = RunConfig
        for step in row.settings.split("."):
            model = model.model_fields[step].annotation  # type: ignore[assignment]
        assert model.__name__.endswith("Settings")
