"""Reads whatever the fetcher can read and prints digests: runs in the fetcher's image, and beside it to compare.

Called with a folder that `test_images.py` filled; it imports nothing that a fetcher does not have.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter

from landseries.config import Period
from landseries.grid import Raster, tiles_of_raster
from landseries.settings.fetcher import FetchSettings
from landseries.settings.sources import CubeSource
from landseries_fetcher.existing_map import warp_codes
from landseries_fetcher.harmony.correcting import correct_numbers
from landseries_fetcher.harmony.shifts import Shift, measure_shift
from landseries_fetcher.masking import clear_mask
from landseries_fetcher.sources.cube import Cube
from landseries_fetcher.vector_map import SUFFIXES, open_vector_map

RASTER = Raster("EPSG:32631", 501_360.0, 5_629_680.0, 10.0, 10.0, 48, 64)


def main(folder: Path) -> dict[str, str]:
    """What was read -> its digest."""
    found = {path.name: _digest(*_cube(path)) for path in sorted((folder / "cubes").iterdir())}
    for path in sorted((folder / "maps").iterdir()):
        if path.suffix in SUFFIXES:
            found[path.name] = _digest(open_vector_map(path).codes(RASTER))
        elif path.suffix == ".tif":
            found[path.name] = _digest(warp_codes(path, RASTER))
    rng = np.random.default_rng(1)
    image = rng.integers(1, 9_000, (2, 192, 192)).astype(np.int16)
    clear = np.ones(image.shape[1:], bool)
    moved = np.stack([correct_numbers(band.astype(np.uint16), Shift(4.0, -3.0), 10.0) for band in image])
    found["shift"] = repr(measure_shift(moved.astype(np.int16), clear, image, clear))
    found["mask"] = _digest(clear_mask(rng.integers(0, 12, (99, 77)).astype(np.uint8), {3, 8, 9}, 50.0, (20.0, 20.0)))
    found |= _clients()
    return found


def _cube(path: Path) -> Iterator[np.ndarray]:
    settings = CubeSource(kind="cube", paths=[path], features={"B04": "red", "B08": "stack[nir]"})
    cube = Cube(settings, lambda each: each)
    assert cube.raster is not None
    tiles = tiles_of_raster(cube.raster, "cube", 32, None)
    for acquisition in cube.catalogue("cube", Period(start=date(2018, 1, 1), end=date(2018, 12, 31)), {}).acquisitions:
        for _, image in cube.images(acquisition, tiles, FetchSettings(), 1):
            yield np.frombuffer(acquisition.id.encode(), np.uint8)
            yield image.features
    yield cube.codes("lc", cube.raster)


def _clients() -> dict[str, str]:
    """The clients of remote sources load and know what they are asked for, without a network."""
    import boto3
    import pystac_client
    import sentinelsat
    from botocore.session import Session

    for service in ("s3", "sts", "sso", "sso-oidc"):
        client = boto3.client(service, region_name="eu-central-1", aws_access_key_id="a", aws_secret_access_key="b")
        assert client.meta.service_model.operation_names
    known = Session().get_available_services()
    assert {"s3", "sts"} <= set(known)
    hub = sentinelsat.SentinelAPI("user", "password", "https://hub.example/dhus", show_progressbars=False)
    query = hub.format_query(date=("20180101", "20180201"), platformname="Sentinel-2")
    return {"dhus": query, "stac": pystac_client.__name__, "json": str(TypeAdapter(int).validate_python("3"))}


def _digest(*arrays: np.ndarray) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
