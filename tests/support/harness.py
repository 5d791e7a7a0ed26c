"""Runs one handler on given input files: a plan from a small configuration, a context, no store and no worker."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from shapely.geometry.base import BaseGeometry

from landseries.artifacts.documents import digest_of_file, write_json
from landseries.config import LoadedConfig, parse_config
from landseries.grid import Raster, Tile
from landseries.legend import Legend, load_legend
from landseries.markers import Marker, Output
from landseries.numerics import NumericsProfile
from landseries.pipeline import STAGES, Pipeline, Unit
from landseries.plan import RunPlan, SourceDescription, make_plan
from landseries.rows import Need
from landseries.service import Context, Input

#: Outputs of a needed unit by name; or why it was refused.
Given = Mapping[str, Path] | str


def cube_plan(
    folder: Path,
    *,
    years: Sequence[int] = (2018, 2019, 2020),
    features: Sequence[str] = ("B04", "B08"),
    size_px: tuple[int, int] = (64, 64),
    tile_size_px: int = 64,
    area: BaseGeometry | None = None,
    legend: Legend | None = None,
    numerics: NumericsProfile | None = None,
    **config: Any,
) -> RunPlan:
    """A plan over a cube of (rows, columns) pixels of 10 m in UTM zone 32, cut into tiles.

    Args:
        folder: folder of the configuration; nothing is read from it.
        years: years of the run; the first is that of the reference map and of the forest.
        features: features of every series.
        size_px: rows and columns of the whole cube.
        tile_size_px: side of a tile.
        area: area of interest in longitude and latitude.
        legend: the legend; default the shipped `corine`.
        numerics: the numerics profile.
        config: further fields of the configuration, such as `sampler={"sample": {...}}`.
    """
    fields = {
        "name": "test",
        "years": list(years),
        "source": {"kind": "cube", "paths": ["cube.nc"], "features": {name: name for name in features}},
        "reference": {"variable": "map", "year": years[0]},
        "grid": {"tile_size_px": tile_size_px},
        **config,
    }
    raster = Raster("EPSG:32632", 640_000.0, 5_130_000.0, 10.0, 10.0, size_px[1], size_px[0])
    loaded = LoadedConfig(
        path=folder / "config.yaml",
        run=parse_config(fields, "config.yaml"),
        legend=legend or load_legend("corine"),
        area=area,
    )
    grid = {name: getattr(raster, name) for name in Raster.__dataclass_fields__}
    source = SourceDescription(granules=("cube",), features=tuple(features), raster=grid)
    return make_plan(loaded, source, numerics or NumericsProfile())


def decided(
    folder: Path, acquisition: str, *, use: bool = True, reason: str = "", shift: Any = None
) -> dict[str, Path]:
    """What the harmony stage writes for the fetch of an acquisition; default: it is used as it is."""
    path = folder / f"decided-{acquisition}.json"
    write_json(path, {"use": use, "reason": reason, "shift": shift})
    return {f"{acquisition}.json": path}


class Bench:
    """Runs handlers of one plan, each with the inputs that it is given."""

    def __init__(self, plan: RunPlan, folder: Path, *, threads: int = 1) -> None:
        self.plan = plan
        self.threads = threads
        self.messages: list[str] = []
        self._folder = folder
        self._runs = itertools.count()

    def tile(self, name: str) -> Tile:
        """A tile by id."""
        return self.plan.tile[name]

    def context(
        self, unit: Unit, given: Mapping[Unit, Given] | None = None, *, checkpoints: Path | None = None
    ) -> Context:
        """A context in a fresh folder; units that the table's row needs and `given` lacks raise a KeyError.

        Args:
            unit: the unit of work.
            given: for each needed unit its output files, or the reason of its refusal. Only outputs that the
                row declares reach the handler.
            checkpoints: folder of an interrupted run of the same unit.
        """
        folder = self._folder / f"run-{next(self._runs):03d}"
        (folder / "scratch").mkdir(parents=True)
        pipeline = Pipeline(self.plan.extent, _NothingChosen())
        return Context(
            unit=unit,
            scratch=folder / "scratch",
            threads=self.threads,
            checkpoints=checkpoints or folder / "checkpoints",
            _plan=self.plan,
            _inputs={
                need.stage: [_answer(unit, need, needed, given or {}) for needed in pipeline.needs(unit, need)]
                for need in STAGES[unit.stage].needs
            },
            _open=_open,
            _run_markers=lambda: iter(()),
            _notify=self.messages.append,
        )

    def run(
        self,
        handler: Callable[[Context], None],
        unit: Unit,
        given: Mapping[Unit, Given] | None = None,
        *,
        checkpoints: Path | None = None,
    ) -> dict[str, Path]:
        """Run a handler and return what it wrote: file by output name."""
        context = self.context(unit, given, checkpoints=checkpoints)
        handler(context)
        return dict(context.outputs)


class _NothingChosen:
    """No search has answered; such stages get their acquisitions through `given` alone."""

    def chosen(self, granule: str, year: str) -> Mapping[str, Sequence[str]] | None:
        return None


def _answer(unit: Unit, need: Need, needed: Unit, given: Mapping[Unit, Given]) -> Input:
    answer = given[needed]
    if isinstance(answer, str):
        return Input(needed, Marker(status="refused", reason=answer))
    declared = answer
    if need.outputs is not None:
        wanted = {name.format(**unit.fields) for name in need.outputs}
        declared = {name: path for name, path in answer.items() if name in wanted}
    outputs = {
        name: Output(key=str(path), digest=digest_of_file(path), size_bytes=path.stat().st_size)
        for name, path in declared.items()
    }
    return Input(needed, Marker(status="done", outputs=outputs))


@contextmanager
def _open(unit: Unit, output: Output) -> Iterator[Path]:
    yield Path(output.key)
