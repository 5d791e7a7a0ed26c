"""A run whose maps are made up: what the assessor reads, for several tiles and granules, without any imagery.

A landscape of patches with a few true changes; each model's maps are the truth with its own share of errors, which the
single-year model draws anew every year and the multi-year model mostly keeps.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from landseries.artifacts.documents import write_json
from landseries.artifacts.rasters import write_cog
from landseries.grid import Part, Tile, block_parts
from landseries.markers import Marker
from landseries.pipeline import Unit
from landseries.plan import RunPlan
from support.harness import Bench, Given, cube_plan

Classes = npt.NDArray[np.uint8]

#: Share of pixels that a model labels wrong: in all years alike, and in each year anew.
ERRORS: Final = {"multi-year": (0.12, 0.05), "single-year": (0.10, 0.12)}
FOREST, GRASS, SHRUBLAND = 7, 2, 9


@dataclass
class FinishedRun:
    """A plan, the landscape behind it, and the output files of every unit before the assessor.

    Attributes:
        plan: the plan; its tiles are dealt to the granules west and east.
        truth: year -> true classes of the whole area.
        maps: model -> year -> classes of the whole area.
        given: output files by unit, as `Bench` takes them; tests replace entries by a reason of refusal.
    """

    plan: RunPlan
    bench: Bench
    folder: Path
    truth: dict[int, Classes]
    maps: dict[str, dict[int, Classes]]
    reference: Classes
    given: dict[Unit, Given] = field(default_factory=dict)

    def window(self, tile: Tile) -> tuple[slice, slice]:
        """A tile's place in the arrays of the whole area."""
        row, column = tile.row * tile.height, tile.column * tile.width
        return slice(row, row + tile.height), slice(column, column + tile.width)

    def markers(self) -> list[tuple[Unit, Marker]]:
        """A marker per unit so far, with made-up times."""
        return [
            (unit, Marker(status="refused", reason=answer))
            if isinstance(answer, str)
            else (unit, Marker(status="done", seconds=1.5, peak_rss_mib=321.0, software="0.1.0"))
            for unit, answer in self.given.items()
        ]


def finished_run(
    folder: Path,
    *,
    years: tuple[int, ...] = (2018, 2019, 2020),
    models: tuple[str, ...] = ("multi-year", "single-year"),
    tile_px: int = 64,
    with_truth: bool = True,
    seed: int = 1,
    **config: Any,
) -> FinishedRun:
    """Make up a run of four tiles in two granules.

    Args:
        folder: where the files go.
        years, models: of the run.
        tile_px: side of a tile.
        with_truth: whether the configuration names true maps.
        seed: of the landscape.
        config: further fields of the configuration.
    """
    generator = np.random.default_rng(seed)
    size = 2 * tile_px
    truth = _landscape(generator, size, years)
    if with_truth:
        config["truth"] = {"path": "truth/{year}.tif"}
    config["blocks"] = {"size_px": max(tile_px // 8, 4)}
    plan = cube_plan(folder, years=years, size_px=(size, size), tile_size_px=tile_px, models=list(models), **config)
    plan = _in_two_granules(plan)
    maps = {model: _maps(generator, truth, *ERRORS.get(model, (0.1, 0.1))) for model in models}
    reference = _with_errors(generator, truth[years[0]], 0.15)
    run = FinishedRun(plan, Bench(plan, folder / "bench"), folder, truth, maps, reference)
    if with_truth:
        _write_truth(run)
    for tile in plan.tile.values():
        _write_tile(run, tile, generator)
    _write_training(run)
    _write_harmony(run, generator)
    _write_searches(run)
    return run


def _in_two_granules(plan: RunPlan) -> RunPlan:
    tiles = tuple({**tile, "granule": "east" if tile["column"] else "west"} for tile in plan.tiles)
    return plan.model_copy(update={"tiles": tiles})


def _write_harmony(run: FinishedRun, generator: np.random.Generator) -> None:
    """What the fetcher says of three acquisitions a year: one corrected, one refused, one with a warning."""
    for granule in run.plan.extent.tiles_of:
        entries = {}
        for year in run.plan.config.years:
            for number, verdict in enumerate(("used", "corrected", "refused")):
                north, east = (round(float(value), 1) for value in generator.normal(0, 6, 2))
                entries[acquisition(granule, year, number + 5)] = {
                    "datetime": f"{year}-0{number + 5}-05T10:10:21",
                    "verdict": verdict,
                    "reason": "its offset was <not> taken off" if verdict == "refused" else "",
                    "warnings": ["its shift cannot be measured: 3 windows"] if verdict == "used" else [],
                    "products": {f"P{number}": {"refining": "NOT_REFINED"}},
                    "shift": None if verdict == "refused" else {"north_m": north, "east_m": east},
                }
        path = run.folder / f"harmony-{granule}.json"
        table = {"granule": granule, "probe_tiles": ["t"], "used_within_m": 1.0, "reference": "a0"}
        write_json(path, {**table, "acquisitions": entries})
        run.given[Unit("harmony", (granule,))] = {"harmony.json": path}


def acquisition(granule: str, year: int, month: int) -> str:
    """Id of the acquisition of a granule's month: there are those of May to August."""
    return f"S2A_{year}0{month}05T101021_R022_T{granule}"


def _write_searches(run: FinishedRun) -> None:
    """Per granule and year: the acquisitions that were compared, a duplicate of the first, and one too cloudy."""
    for granule, tiles in run.plan.extent.tiles_of.items():
        for year in run.plan.config.years:
            names = [acquisition(granule, year, month) for month in (5, 6, 7, 8)]
            entries = [_verdict(name, "taken", 10.0) for name in names[:3]]
            entries.append(_verdict(names[3], "cloudy", 95.0))
            entries.append(_verdict(names[0], "unusable", None))
            content = {
                "tiles": dict.fromkeys(tiles, entries),
                "acquisitions": {name: {"platform": "S2A", "relative_orbit": 22} for name in names},
                "longest_gap_days": dict.fromkeys(tiles, 179.58),
                "fetch_bytes": dict.fromkeys(names[:3], 2**20),
            }
            path = run.folder / f"search-{granule}-{year}.json"
            write_json(path, content)
            run.given[Unit("search", (granule, str(year)))] = {"search.json": path}


def _verdict(name: str, kind: str, cloud_percent: float | None) -> dict[str, Any]:
    return {
        "acquisition": name,
        "product": f"{kind} of {name}",
        "datetime": f"{name[4:8]}-{name[8:10]}-{name[10:12]}T10:10:21",
        "kind": kind,
        "reason": "" if kind == "taken" else f"{kind} <b>here</b>",
        "cloud_percent": cloud_percent,
        "nodata_percent": None if cloud_percent is None else 0.0,
    }


def _landscape(generator: np.random.Generator, size: int, years: tuple[int, ...]) -> dict[int, Classes]:
    """Patches around random seeds, and windthrow in some forest patches."""
    seeds = generator.integers(0, size, size=(max(size // 3, 24), 2))
    classes = generator.choice([1, 2, 2, 3, 3, 4, 5, 7, 7, 7, 8, 8, 8, 9, 10, 11], size=len(seeds)).astype(np.uint8)
    rows, columns = np.mgrid[:size, :size]
    nearest = np.zeros((size, size), dtype=np.int64)
    best = np.full((size, size), np.inf)
    wobble = 4 * np.sin(rows / 7) + 4 * np.cos(columns / 5)
    for place, (row, column) in enumerate(seeds):
        distance = (rows - row + wobble) ** 2 + (columns - column - wobble) ** 2
        nearest = np.where(distance < best, place, nearest)
        best = np.minimum(best, distance)
    truth = {}
    for year in years:
        truth[year] = classes[nearest]
        forest = np.flatnonzero(np.isin(classes, (FOREST, 8)))
        classes = classes.copy()
        classes[generator.choice(forest, size=min(3, len(forest)), replace=False)] = GRASS
    return truth


def _maps(generator: np.random.Generator, truth: dict[int, Classes], kept: float, anew: float) -> dict[int, Classes]:
    shape = next(iter(truth.values())).shape
    lasting = generator.random(shape) < kept
    instead = generator.integers(1, 12, size=shape).astype(np.uint8)
    return {year: _with_errors(generator, np.where(lasting, instead, classes), anew) for year, classes in truth.items()}


def _with_errors(generator: np.random.Generator, classes: Classes, rate: float) -> Classes:
    wrong = generator.random(classes.shape) < rate
    return np.where(wrong, generator.integers(1, 12, size=classes.shape), classes).astype(np.uint8)


def _write_truth(run: FinishedRun) -> None:
    whole = next(iter(run.plan.tile.values()))
    grid = Tile(**{**whole.as_json(), "width": 2 * whole.width, "height": 2 * whole.height})
    (run.folder / "truth").mkdir(parents=True, exist_ok=True)
    for year, classes in run.truth.items():
        write_cog(run.folder / "truth" / f"{year}.tif", classes[None], grid, names=["class"], nodata=0)


def _write_tile(run: FinishedRun, tile: Tile, generator: np.random.Generator) -> None:
    folder = run.folder / "artifacts" / tile.id
    folder.mkdir(parents=True)
    place = run.window(tile)
    for model, maps in run.maps.items():
        files = {f"{year}.tif": folder / f"{model}-{year}.tif" for year in maps}
        for year, classes in maps.items():
            _write_map(files[f"{year}.tif"], tile, classes[place], run.plan.legend.names, generator)
        files["changes.tif"] = folder / f"{model}-changes.tif"
        stack = np.stack([classes[place] for classes in maps.values()])
        changes = (stack[1:] != stack[:-1]).sum(axis=0).astype(np.uint8)
        write_cog(files["changes.tif"], changes[None], tile, names=["number of changes"], nodata=255)
        run.given[Unit("map", (tile.id, model))] = files
    write_cog(folder / "classes.tif", run.reference[place][None], tile, names=["class"], nodata=0)
    run.given[Unit("reference", (tile.id,))] = {"classes.tif": folder / "classes.tif"}
    run.given[Unit("reliable", (tile.id,))] = {"verdicts.tif": _write_verdicts(run, tile, folder)}
    for year, classes in run.truth.items():
        colours = np.zeros((256, 3), dtype=np.uint8)
        for entry in run.plan.legend.classes:
            colours[entry.id] = [20 + channel // 2 for channel in entry.rgb]
        noise = generator.integers(0, 18, size=(*tile.shape, 3)).astype(np.uint8)
        composite = np.moveaxis(colours[classes[place]] + noise, -1, 0)
        path = folder / f"composite-{year}.tif"
        write_cog(path, composite, tile, names=["red", "green", "blue"], nodata=0)
        run.given[Unit("index", (tile.id, str(year)))] = {"composite.tif": path}


def _write_map(
    path: Path, tile: Tile, classes: Classes, names: tuple[str, ...], generator: np.random.Generator
) -> None:
    top = generator.integers(90, 190, size=tile.shape).astype(np.uint8)
    probabilities = np.repeat(((200 - top) // (len(names) - 1))[None], len(names), axis=0).astype(np.uint8)
    np.put_along_axis(probabilities, classes[None].astype(np.int64) - 1, top[None], axis=0)
    views = generator.integers(4, 20, size=tile.shape).astype(np.uint8)
    bands = np.concatenate([classes[None], top[None], views[None], probabilities])
    write_cog(path, bands, tile, names=["class", "confidence", "clear_views", *(f"p_{n}" for n in names)], nodata=None)


def _write_verdicts(run: FinishedRun, tile: Tile, folder: Path) -> Path:
    """Right labels are mostly reliable, wrong ones mostly not."""
    place = run.window(tile)
    right = run.reference[place] == run.truth[min(run.truth)][place]
    draw = np.random.default_rng(tile.column).random(tile.shape)
    verdicts = np.where(right, np.where(draw < 0.6, 1, 2), np.where(draw < 0.05, 1, 3)).astype(np.uint8)
    score = np.where(verdicts == 1, 180, 60).astype(np.uint8)
    path = folder / "verdicts.tif"
    bands = np.stack([run.reference[place], verdicts, score])
    write_cog(path, bands, tile, names=["class", "verdict", "score"], nodata=None)
    return path


def _write_training(run: FinishedRun) -> None:
    """The summaries of dataset and train."""
    folder = run.folder / "artifacts"
    names, years = run.plan.legend.names, [str(year) for year in run.truth]
    blocks = run.plan.config.blocks
    parts = [block_parts(tile, blocks.size_px, blocks.shares, 0) for tile in run.plan.tile.values()]
    counts = {
        split: {year: {name: 40 + 7 * place for place, name in enumerate(names)} for year in years}
        for split in ("training", "validation")
    }
    dataset = {
        "pixels": {part.name.lower(): int(sum((p == part).sum() for p in parts)) for part in Part},
        "models": {model: counts for model in run.maps},
        "left_out": {},
    }
    write_json(folder / "dataset.json", dataset)
    run.given[Unit("dataset", ("all",))] = {"summary.json": folder / "dataset.json"}
    for model in run.maps:
        networks = ["all"] if model.startswith("multi-year") else years
        summary = {"networks": {network: _curve(place) for place, network in enumerate(networks)}}
        write_json(folder / f"train-{model}.json", summary)
        run.given[Unit("train", ("all", model))] = {"summary.json": folder / f"train-{model}.json"}


def _curve(place: int) -> dict[str, Any]:
    """A network's entry in the trainer's summary."""
    epochs = [
        {
            "loss": round(1.8 * 0.8**epoch + 0.35 + 0.02 * place, 4),
            "validation_loss": round(1.7 * 0.82**epoch + 0.45 + 0.02 * place + 0.004 * max(epoch - 12, 0), 4),
            "accuracy": round(0.86 - 0.6 * 0.8**epoch - 0.01 * place, 4),
            "macro_f1": round(0.82 - 0.6 * 0.8**epoch - 0.01 * place, 4),
        }
        for epoch in range(18)
    ]
    return {"training_series": 900, "validation_series": 400, "curve": {"epochs": epochs, "best_epoch": 12}}
