"""Writes a whole simulated archive: products, the existing map, the truth, and what they are worth."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import rasterio
from affine import Affine
from rasterio.features import shapes
from rasterio.warp import transform_geom

from landseries.errors import ConfigError
from landseries.simulation.changes import FIRST_YEAR, LAST_YEAR, Change, History
from landseries.simulation.classes import LandCover
from landseries.simulation.difficulty import Difficulty
from landseries.simulation.geometry import EPSG, PIXEL_M, Geometry
from landseries.simulation.landscape import build_landscape
from landseries.simulation.orbits import Datatake, plan_datatakes
from landseries.simulation.reference import MAP_EPSG, NODATA_CODE, draw_map, precision
from landseries.simulation.safe import products_of, write_product
from landseries.simulation.sensor import Camera

DEFAULT_YEARS: Final = (2018, 2019, 2020)
DEFAULT_ACQUISITIONS_PER_YEAR: Final = 26
_MAP_YEAR: Final = 2018
_ACQUISITIONS_MAX: Final = 146
_UNFINISHED: Final = "unfinished.json"


@dataclass(frozen=True)
class SimulatedArchive:
    """Where everything lies.

    Attributes:
        folder: The folder that was written.
        products: Folder of the SAFE products.
        reference: The CORINE-coded raster, uint8, EPSG:3035, no-data 255.
        reference_year: Year that the map is meant for.
        truth: By year, the true classes on 1 July: uint8 ids of the eleven-class legend, 10 m, UTM 32N.
        changes: Every true change between consecutive years (GeoJSON).
        area: The scene's extent (GeoJSON, longitude and latitude).
        summary: Seed, settings and figures (JSON), written last.
        years: The years, ascending.
    """

    folder: Path
    products: Path
    reference: Path
    reference_year: int
    truth: dict[int, Path]
    changes: Path
    area: Path
    summary: Path
    years: tuple[int, ...]


@dataclass(frozen=True)
class _Job:
    """What a process needs to write products."""

    products: Path
    geometry: Geometry
    last_year: int
    difficulty: Difficulty
    seed: int


@dataclass
class _Worker:
    """One process's camera; made once, because the land takes a second to build."""

    cameras: dict[_Job, Camera] = field(default_factory=dict)

    def write(self, job: _Job, datatake: Datatake) -> list[str]:
        """Take the image of a datatake and write its products; returns their names."""
        if job not in self.cameras:
            self.cameras = {job: Camera(job.geometry, job.last_year, job.difficulty, job.seed)}
        image = self.cameras[job].take(datatake)
        products = products_of(datatake, job.geometry)
        with rasterio.Env(GDAL_NUM_THREADS="1"):
            for product in products:
                write_product(job.products, product, image, job.geometry)
        return [product.name for product in products]


_WORKER: Final = _Worker()


def simulate(
    folder: Path,
    *,
    seed: int,
    size_px: int = 512,
    years: Sequence[int] = DEFAULT_YEARS,
    acquisitions_per_year: int = DEFAULT_ACQUISITIONS_PER_YEAR,
    jobs: int = 1,
    progress: Callable[[int, int], None] | None = None,
    difficulty: Difficulty | None = None,
) -> SimulatedArchive:
    """Write an artificial Sentinel-2 archive with known truth.

    The same arguments give the same bytes, whatever `jobs`; the products and the truth of a year do not depend on
    which other years are asked for.

    Args:
        folder: Where to write: a folder that is empty or does not exist yet. One that holds this very archive is left
            as it is, and one where writing it was interrupted is written again.
        seed: At least 0; another seed is another landscape under other weather.
        size_px: Side of the scene in pixels of 10 m, a multiple of 256.
        years: One or more different years.
        acquisitions_per_year: Datatakes kept of each year, 1 to 146, partial and cloudy ones included.
        jobs: Number of processes. With more than one, the main module must be importable without side effects.
        progress: Called with the datatakes written so far and in all.
        difficulty: How hard everything is; the calibrated defaults if left out.

    Raises:
        ConfigError: An argument is out of range, or the folder holds something else.
    """
    years = tuple(sorted(years))
    _check(seed, years, acquisitions_per_year, jobs)
    geometry = Geometry(size_px)
    difficulty = difficulty or Difficulty()
    archive = _layout(folder, years)
    settings: dict[str, Any] = {
        "seed": seed,
        "size_px": size_px,
        "years": list(years),
        "acquisitions_per_year": acquisitions_per_year,
        "difficulty": asdict(difficulty),
    }
    if _begin(archive, settings):
        return archive
    for path in (archive.products, archive.reference.parent, archive.changes.parent):
        path.mkdir(parents=True, exist_ok=True)
    history = History(build_landscape(size_px, seed), years[-1], seed)
    figures = _write_truth(archive, geometry, history)
    figures["reference"] = _write_reference(archive, geometry, history, difficulty, seed)
    _write_json(archive.area, geometry.area())
    plan = plan_datatakes(years, acquisitions_per_year, geometry, difficulty, seed)
    job = _Job(archive.products, geometry, years[-1], difficulty, seed)
    products = _write_products(job, plan, jobs, progress)
    _write_json(archive.summary, {**settings, "geometry": _described(geometry), **figures, "products": products})
    (folder / _UNFINISHED).unlink()
    return archive


def _described(geometry: Geometry) -> dict[str, Any]:
    return {
        "epsg": EPSG,
        "pixel_m": PIXEL_M,
        "bounds_m": list(geometry.bounds_m),
        "granules": [window.granule for window in geometry.windows()],
    }


def _begin(archive: SimulatedArchive, settings: dict[str, Any]) -> bool:
    """Whether the folder holds this archive already; otherwise mark it as begun, if it is free to be written to."""
    folder, mark = archive.folder, archive.folder / _UNFINISHED
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file; give a folder that is empty or does not exist yet")
    for path in (archive.summary, mark):
        if path.is_file() and settings.items() <= json.loads(path.read_text(encoding="utf-8")).items():
            return path == archive.summary
    if folder.exists() and any(folder.iterdir()):
        raise ConfigError(
            f"{folder} holds something else than the archive of seed {settings['seed']}, {settings['size_px']} px and "
            f"years {settings['years']}; give a folder that is empty or does not exist yet"
        )
    folder.mkdir(parents=True, exist_ok=True)
    _write_json(mark, settings)
    return False


def _check(seed: int, years: tuple[int, ...], acquisitions_per_year: int, jobs: int) -> None:
    if seed < 0:
        raise ConfigError(f"seed is {seed}; it must be 0 or more")
    if not years or len(set(years)) != len(years):
        raise ConfigError(f"years is {list(years)}; give at least one year, and each only once")
    outside = [year for year in years if not FIRST_YEAR < year < LAST_YEAR]
    if outside:
        raise ConfigError(f"years {outside} cannot be simulated; possible are {FIRST_YEAR + 1} to {LAST_YEAR - 1}")
    if not 1 <= acquisitions_per_year <= _ACQUISITIONS_MAX:
        raise ConfigError(f"acquisitions_per_year is {acquisitions_per_year}; it must be 1 to {_ACQUISITIONS_MAX}")
    if jobs < 1:
        raise ConfigError(f"jobs is {jobs}; it must be 1 or more")


def _layout(folder: Path, years: tuple[int, ...]) -> SimulatedArchive:
    reference_year = _MAP_YEAR if _MAP_YEAR in years else years[0]
    return SimulatedArchive(
        folder=folder,
        products=folder / "products",
        reference=folder / "reference" / "clc2018.tif",
        reference_year=reference_year,
        truth={year: folder / "truth" / f"{year}.tif" for year in years},
        changes=folder / "truth" / "changes.geojson",
        area=folder / "area.geojson",
        summary=folder / "simulation.json",
        years=years,
    )


def _write_products(
    job: _Job, plan: list[Datatake], jobs: int, progress: Callable[[int, int], None] | None
) -> list[str]:
    names: list[str] = []
    for done, written in enumerate(_written(job, plan, jobs), start=1):
        names += written
        if progress is not None:
            progress(done, len(plan))
    return sorted(names)


def _written(job: _Job, plan: list[Datatake], jobs: int) -> Iterator[list[str]]:
    if jobs == 1:
        yield from (_write_datatake(job, datatake) for datatake in plan)
        _WORKER.cameras.clear()
        return
    # A fresh interpreter each: forking a process that runs threads of numeric libraries can hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=min(jobs, len(plan)), mp_context=context) as pool:
        futures = [pool.submit(_write_datatake, job, datatake) for datatake in plan]
        for future in as_completed(futures):
            yield future.result()


def _write_datatake(job: _Job, datatake: Datatake) -> list[str]:
    return _WORKER.write(job, datatake)


def _write_truth(archive: SimulatedArchive, geometry: Geometry, history: History) -> dict[str, Any]:
    """Write truth rasters and changes; returns the shares of classes and of change."""
    shares: dict[str, dict[str, float]] = {}
    for year, path in archive.truth.items():
        truth = history.truth(year)
        _write_raster(path, truth, EPSG, geometry.transform(), 0)
        shares[str(year)] = {cover.name.capitalize(): float((truth == cover).mean()) for cover in LandCover}
    features, changed = [], {}
    for first, second in zip(archive.years, archive.years[1:], strict=False):
        pair = f"{first}-{second}"
        changed[pair] = float((history.truth(first) != history.truth(second)).mean())
        features += [_feature(pair, change, geometry) for change in history.between(first, second)]
    _write_json(archive.changes, {"type": "FeatureCollection", "features": features})
    return {"class_shares": shares, "changed_share": changed}


def _feature(pair: str, change: Change, geometry: Geometry) -> dict[str, Any]:
    mask = change.mask.astype(np.uint8)
    polygons = [
        transform_geom(f"EPSG:{EPSG}", "EPSG:4326", polygon, precision=8)["coordinates"]
        for polygon, _ in shapes(mask, mask=change.mask, transform=geometry.transform())
    ]
    properties = {
        "years": pair,
        "kind": change.kind,
        "from": change.before.name.capitalize(),
        "to": change.after.name.capitalize(),
        "from_id": int(change.before),
        "to_id": int(change.after),
        "date": change.day.isoformat(),
        "pixels": int(change.mask.sum()),
    }
    return {"type": "Feature", "properties": properties, "geometry": {"type": "MultiPolygon", "coordinates": polygons}}


def _write_reference(
    archive: SimulatedArchive, geometry: Geometry, history: History, difficulty: Difficulty, seed: int
) -> dict[str, Any]:
    """Write the existing map; returns its year and its precision against the truth of that year."""
    year = archive.reference_year
    seen = history.truth(max(FIRST_YEAR, year - difficulty.map_age_years))
    drawn = draw_map(seen, history.truth(year), geometry, difficulty, seed)
    _write_raster(archive.reference, drawn.codes, MAP_EPSG, drawn.transform, NODATA_CODE)
    return {"year": year, "pixel_m": drawn.pixel_m, "precision": precision(drawn.classes, history.truth(year))}


def _write_raster(path: Path, values: npt.NDArray[np.uint8], epsg: int, transform: Affine, nodata: int) -> None:
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        width=values.shape[1],
        height=values.shape[0],
        count=1,
        dtype="uint8",
        crs=f"EPSG:{epsg}",
        transform=transform,
        nodata=nodata,
        compress="deflate",
        tiled=True,
        blockxsize=256,
        blockysize=256,
    ) as target:
        target.write(values, 1)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
