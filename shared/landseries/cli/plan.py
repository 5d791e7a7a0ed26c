"""`landseries plan`: what a run would take with so many workers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from landseries.cli.console import ConfigPath, chosen_store, known_plan, out, say
from landseries.errors import ConfigError

if TYPE_CHECKING:
    from landseries.config import LoadedConfig
    from landseries.estimate.rates import Rates
    from landseries.estimate.schedule import Estimate
    from landseries.estimate.world import World

#: Largest area whose tiles are laid out; of a larger one they are reckoned from its size.
_LAID_OUT_KM2 = 50_000.0
#: Share of the time below which a step of the critical path is not told.
_SHORT = 0.005


def plan(
    config: ConfigPath,
    workers: Annotated[
        str | None,
        typer.Option(help="Workers by service, such as fetcher=8,indexer=16,sampler+assessor=2", show_default="--jobs"),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Without --workers: processes that do everything")] = 1,
    rates: Annotated[Path | None, typer.Option(help="File of rates that --save-rates wrote")] = None,
    measured_from: Annotated[
        str | None, typer.Option(metavar="RUN", help="Name of a finished run to measure rates on")
    ] = None,
    workdir: Annotated[
        Path | None, typer.Option(help="Where that run lies", show_default="the store of the environment, or ./work")
    ] = None,
    save_rates: Annotated[Path | None, typer.Option(help="Write the measured rates there")] = None,
    km2: Annotated[
        float | None, typer.Option(min=0.1, max=5.2e8, help="Another area than the configuration's: its size")
    ] = None,
    granules: Annotated[
        int | None, typer.Option(min=1, help="Granules it lies in", show_default="as many as it fills")
    ] = None,
) -> None:
    """Estimate what a run would take: units, worker-hours, time, bytes and what limits it, from measured rates.

    Per stage: units; worker-hours; time from the first unit's begin to the last one's end; bytes read (the archive's
    among them) and written; and how long a unit that is due waits for a worker on average.

    Nothing is fetched and no source is touched. How many acquisitions there are is an assumption of the file of rates,
    which can be changed there.
    """
    from landseries.config import load_config
    from landseries.estimate.schedule import simulate

    loaded, groups = load_config(config), _workers(workers, jobs)
    known = _rates(rates, measured_from, workdir)
    if save_rates is not None:
        save_rates.write_text(known.model_dump_json(indent=2) + "\n", encoding="utf-8")
    world = _world(loaded, known, km2, granules)
    estimate = simulate(world, known, groups)  # may refuse the workers: nothing is said before
    say(
        f"{loaded.run.name}: {world.tiles:,} tiles of {loaded.run.grid.tile_size_px} px in "
        f"{len(world.extent.tiles_of):,} granules, {len(loaded.run.years)} years; assumed are {world.found} "
        f"acquisitions found, {world.taken} fetched and {world.views} used a tile and year; rates of "
        f"{known.measured_on or rates}"
    )
    out.print(_table(estimate))
    for line in _lines(estimate):
        say(line)


def _rates(path: Path | None, run: str | None, workdir: Path | None) -> Rates:
    from landseries.estimate.measuring import measure_rates
    from landseries.estimate.rates import check_rates, read_rates

    if (path is None) == (run is None):
        raise ConfigError("give either --rates FILE or --measured-from RUN (with --workdir where it lies)")
    if run is not None:
        store = chosen_store(workdir)
        found = measure_rates(store, known_plan(store, run))
        check_rates(found, run)
        return found
    assert path is not None
    return read_rates(path)


def _world(loaded: LoadedConfig, rates: Rates, km2: float | None, granules: int | None) -> World:
    from landseries.estimate.world import make_world, sampled_series, tile_km2

    run = loaded.run
    size_px = run.grid.tile_size_px
    if km2 is not None:
        tiles = max(1, round(km2 / tile_km2(size_px)))
    else:
        tiles, granules = _tiles_of(loaded, granules)
    return make_world(
        tiles,
        tile_size_px=size_px,
        years=run.years,
        training_year=run.forest_year,
        models=run.models,
        chosen_per_tile=run.fetcher.search.per_year,
        samples=sampled_series(run),
        epochs=run.trainer.train.epochs,
        assumptions=rates.assumptions,
        granules=granules,
    )


def _tiles_of(loaded: LoadedConfig, granules: int | None) -> tuple[int, int | None]:
    """Tiles and granules of the configuration's area."""
    from pyproj import Geod

    from landseries.estimate.world import tile_km2
    from landseries.grid import tiles_of_area

    if loaded.area is None:
        raise ConfigError(f"{loaded.path}: names no area; give its size with --km2")
    area_km2 = abs(Geod(ellps="WGS84").geometry_area_perimeter(loaded.area)[0]) / 1e6
    size_px = loaded.run.grid.tile_size_px
    if area_km2 > _LAID_OUT_KM2:
        return round(area_km2 / tile_km2(size_px)), granules
    tiles = tiles_of_area(loaded.area, size_px, None)
    return len(tiles), granules or len({tile.granule for tile in tiles})


def _workers(text: str | None, jobs: int) -> dict[tuple[str, ...], int]:
    from landseries.pipeline import SERVICES

    if text is None:
        return {SERVICES: jobs}
    groups: dict[tuple[str, ...], int] = {}
    for part in text.split(","):
        names, _, count = part.partition("=")
        if not count.strip().isdecimal():
            raise ConfigError(f"--workers: {part!r} is no SERVICE=NUMBER, such as fetcher=8 or sampler+assessor=2")
        services = tuple(name.strip() for name in names.split("+"))
        groups[services] = groups.get(services, 0) + int(count)
    return groups


def _table(estimate: Estimate) -> Table:
    table = Table(box=None)
    for heading in ("stage", "units", "worker-hours", "wall time", "reads", "writes", "waits"):
        table.add_column(heading, justify="left" if heading == "stage" else "right", no_wrap=True)
    for stage, found in estimate.stages.items():
        table.add_row(
            stage,
            f"{found.units:,}",
            f"{found.worker_s / 3600:,.2f}",
            _duration(found.last_s - found.first_s),
            _size(found.read_bytes + found.archive_bytes),
            _size(found.written_bytes),
            _duration(found.waited_s / found.units),
        )
    return table


def _lines(estimate: Estimate) -> list[str]:
    from landseries.pipeline import STAGES

    found = estimate.stages
    kept = sum(stage.written_bytes for name, stage in found.items() if STAGES[name].keep == "always")
    total = sum(stage.written_bytes for stage in found.values())
    work_s = sum(stage.worker_s for stage in found.values())
    drivers = sorted(found, key=lambda name: -found[name].worker_s)[:3]
    path = [
        f"{step.stage} {_duration(step.work_s + step.waiting_s)} ({step.waiting_s / estimate.wall_s:.0%} waiting)"
        for step in estimate.critical_path
        if step.work_s + step.waiting_s > _SHORT * estimate.wall_s
    ]
    return [
        f"time {_duration(estimate.wall_s)}, {work_s / 3600:,.2f} worker-hours, "
        f"{_size(sum(stage.archive_bytes for stage in found.values()))} from the archive, {_size(total)} written, of "
        f"which {_size(kept)} stay",
        "most work: " + ", ".join(f"{name} {found[name].worker_s / work_s:.0%}" for name in drivers),
        "critical path, and the share of the time in which its units waited for workers: " + ", ".join(path),
    ]


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:,.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:,.1f} d"


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1000:
            return f"{count:,.1f} {unit}" if count else "–"
        count /= 1000
    return f"{count:,.1f} PB"
