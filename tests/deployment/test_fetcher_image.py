"""The fetcher's image holds all that a fetcher needs, however little else: what it reads is what is read beside it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyogrio  # type: ignore[import-untyped]
import pytest
import rasterio
import shapely
import xarray as xr
from support.containers import ROOT, image, need_images, podman
from support.fetcher_probe import RASTER
from support.small_run import configuration, simulate_archive, write_config

pytestmark = [pytest.mark.deployment, pytest.mark.xdist_group("images"), pytest.mark.timeout(600)]

_PROBE: Final = ROOT / "tests" / "support" / "fetcher_probe.py"
_STRICT: Final = (
    *("--network", "none", "--user", "123456:123456", "--cap-drop", "all", "--no-healthcheck"),
    *("--read-only", "--read-only-tmpfs=false", "--tmpfs", "/tmp:rw,mode=1777"),
)
#: Ending of a file -> GDAL's driver.
_DRIVERS: Final = {
    ".gpkg": "GPKG",
    ".shp": "ESRI Shapefile",
    ".fgb": "FlatGeobuf",
    ".geojson": "GeoJSON",
    ".gdb": "OpenFileGDB",
}


@pytest.fixture(scope="module", autouse=True)
def images() -> None:
    need_images(["fetcher"])


def test_it_reads_all_that_a_fetcher_reads(tmp_path: Path) -> None:
    _write_cubes(tmp_path / "cubes")
    _write_maps(tmp_path / "maps")
    beside = subprocess.run([sys.executable, _PROBE, tmp_path], capture_output=True, text=True, check=True).stdout
    inside = _inside("python", tmp_path, _PROBE, tmp_path)
    expected, found = json.loads(beside), json.loads(inside)
    assert found == expected
    assert len(found) == 4 + len(_DRIVERS) + 1 + 5
    assert len({found[f"map{suffix}"] for suffix in _DRIVERS}) == 1, "one map, whatever the file"
    assert len({found[path.name] for path in (tmp_path / "cubes").iterdir()}) == 1, "one cube, whatever the file"


def test_it_checks_and_searches_a_run(tmp_path: Path) -> None:
    archive = simulate_archive(tmp_path / "archive")
    config = write_config(archive, configuration(archive, "small"))
    landseries = Path(sys.executable).with_name("landseries")
    for command in (["check", config], ["search", config]):
        beside = subprocess.run([landseries, *command], capture_output=True, text=True, check=True, cwd=tmp_path)
        assert _said(_inside("landseries", archive, *command)) == _said(beside.stdout)


def _said(output: str) -> list[str]:
    """Lines without those that say where the calendar lies, and how fast the searches come along."""
    changing = re.compile(r"calendar:|search \d+/\d+")
    return [line.rstrip() for line in output.strip().splitlines() if not changing.match(line)]


def _inside(program: str, folder: Path, *arguments: object) -> str:
    """Run a program of the image that sees a folder of this machine; what it prints."""
    folder.chmod(0o755)
    volumes = ("-v", f"{folder}:{folder}:ro", "-v", f"{_PROBE}:{_PROBE}:ro")
    strict = ("run", "--rm", "--pull=never", *_STRICT, *volumes, "--entrypoint", program)
    return podman(*strict, image("fetcher"), *arguments)


def _write_cubes(folder: Path) -> None:
    folder.mkdir()
    rng = np.random.default_rng(2)
    shape = (3, RASTER.height, RASTER.width)
    x = RASTER.left + RASTER.pixel_width * (np.arange(RASTER.width) + 0.5)
    y = RASTER.top - RASTER.pixel_height * (np.arange(RASTER.height) + 0.5)
    days = np.array(["2018-02-01T10:00:00", "2018-07-01T10:00:00", "2019-01-05T10:00:00"], "datetime64[ns]")
    dataset = xr.Dataset(
        {
            "red": (("time", "y", "x"), rng.integers(0, 9_000, shape).astype(np.int16)),
            "stack": (("time", "band", "y", "x"), rng.integers(0, 9_000, (3, 2, *shape[1:])).astype(np.int16)),
            "lc": (("y", "x"), rng.integers(1, 9, shape[1:]).astype(np.int16)),
        },
        {"time": days, "band": ["swir", "nir"], "y": y, "x": x},
        {"epsg": "32631"},
    )
    packed: dict[str, Any] = {"red": {"zlib": True, "chunksizes": (1, 32, 32)}}
    dataset.to_netcdf(folder / "cube4.nc", engine="h5netcdf", encoding=packed)
    dataset.to_netcdf(folder / "cube3.nc", engine="scipy", format="NETCDF3_64BIT")
    for version in (2, 3):
        dataset.to_zarr(folder / f"cube{version}.zarr", zarr_format=version)  # type: ignore[call-overload]


def _write_maps(folder: Path) -> None:
    folder.mkdir()
    left, bottom, right, top = RASTER.bounds
    middle = (left + right) / 2
    shapes = [
        shapely.box(left - 99, bottom - 99, middle, top + 99),
        shapely.Polygon([(middle, bottom), (right, bottom), (middle + 33, top)]),
    ]
    for suffix, driver in _DRIVERS.items():
        pyogrio.raw.write(
            folder / f"map{suffix}",
            shapely.to_wkb(np.array(shapes, dtype=object)),
            field_data=[np.array(["111", "312"], dtype=object)],
            fields=["CODE_18"],
            geometry_type="Polygon",
            crs=RASTER.crs,
            driver=driver,
        )
    codes = np.random.default_rng(3).integers(1, 44, (1, RASTER.height, RASTER.width)).astype(np.uint8)
    plain = {"driver": "COG", "dtype": "uint8", "count": 1, "crs": RASTER.crs, "transform": RASTER.transform}
    with rasterio.open(folder / "map.tif", "w", **plain, width=RASTER.width, height=RASTER.height) as target:
        target.write(codes)
