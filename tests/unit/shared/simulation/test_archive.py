"""The whole archive: what lies where, the same bytes however it is made, and years that do not touch each other."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.features import rasterize
from rasterio.warp import transform_geom

from landseries.errors import ConfigError
from landseries.simulation import SimulatedArchive, simulate

MakeArchive = Callable[..., SimulatedArchive]


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def truth(archive: SimulatedArchive, year: int) -> np.ndarray[Any, np.dtype[Any]]:
    with rasterio.open(archive.truth[year]) as source:
        return np.asarray(source.read(1))


def test_everything_lies_where_it_is_said_to(archive: SimulatedArchive) -> None:
    assert {path.name for path in archive.folder.iterdir()} == {
        "products", "reference", "truth", "area.geojson", "simulation.json",
    }  # fmt: skip
    with rasterio.open(archive.reference) as source:
        assert source.crs.to_epsg() == 3035
        assert source.nodata == 255
        assert source.dtypes == ("uint8",)
    for path in archive.truth.values():
        with rasterio.open(path) as source:
            assert (source.crs.to_epsg(), source.res, source.shape) == (32632, (10.0, 10.0), (256, 256))
            assert (source.bounds.left, source.bounds.top) == (700_160, 5_160_960)


def test_the_summary_tells_what_was_made(archive: SimulatedArchive) -> None:
    summary = json.loads(archive.summary.read_text())
    assert summary["seed"] == 5
    assert summary["years"] == [2018, 2019]
    assert summary["products"] == sorted(path.stem for path in archive.products.iterdir())
    assert 0.75 <= summary["reference"]["precision"]["overall"] <= 0.88
    assert summary["changed_share"]["2018-2019"] == pytest.approx((truth(archive, 2018) != truth(archive, 2019)).mean())


def test_the_same_bytes_from_one_process_or_two(
    archive: SimulatedArchive, make_archive: MakeArchive, tmp_path: Path
) -> None:
    parallel = make_archive(tmp_path / "parallel", jobs=2)
    assert digests(parallel.folder) == digests(archive.folder)


def test_another_year_leaves_the_first_as_it_was(
    archive: SimulatedArchive, make_archive: MakeArchive, tmp_path: Path
) -> None:
    alone = make_archive(tmp_path / "alone", years=(2018,))
    whole = digests(archive.folder)
    for name, digest in digests(alone.folder).items():
        if name.startswith("products") or name.endswith(("2018.tif", "area.geojson")):
            assert whole[name] == digest


def test_another_seed_is_another_land(archive: SimulatedArchive, make_archive: MakeArchive, tmp_path: Path) -> None:
    other = make_archive(tmp_path / "other", seed=6, years=(2018,), acquisitions_per_year=1)
    assert (truth(other, 2018) != truth(archive, 2018)).mean() > 0.3


def test_truth_differs_exactly_in_the_listed_polygons(archive: SimulatedArchive) -> None:
    expected = truth(archive, 2018).copy()
    with rasterio.open(archive.truth[2018]) as source:
        transform = source.transform
    features = json.loads(archive.changes.read_text())["features"]
    assert {feature["properties"]["years"] for feature in features} == {"2018-2019"}
    for feature in features:
        geometry = transform_geom("EPSG:4326", "EPSG:32632", feature["geometry"])
        mask = rasterize([(geometry, 1)], out_shape=expected.shape, transform=transform).astype(bool)
        assert mask.sum() == feature["properties"]["pixels"]
        assert (expected[mask] == feature["properties"]["from_id"]).all()
        expected[mask] = feature["properties"]["to_id"]
    assert (expected == truth(archive, 2019)).all()


def test_progress_counts_to_the_end(make_archive: MakeArchive, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    make_archive(
        tmp_path / "a", years=(2018,), acquisitions_per_year=2, progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(1, 2), (2, 2)]


def test_the_map_is_of_2018_where_that_is_asked_for(
    archive: SimulatedArchive, make_archive: MakeArchive, tmp_path: Path
) -> None:
    assert archive.reference_year == 2018
    assert make_archive(tmp_path / "b", years=(2021, 2020), acquisitions_per_year=1).reference_year == 2020


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"years": ()}, "at least one year"),
        ({"years": (2018, 2018)}, "only once"),
        ({"years": (2014,)}, "2016 to 2034"),
        ({"seed": -1}, "0 or more"),
        ({"acquisitions_per_year": 0}, "1 to 146"),
        ({"size_px": 300}, "multiple of 256"),
        ({"jobs": 0}, "1 or more"),
    ],
)
def test_what_cannot_be_made_is_refused_before_anything_is_written(
    make_archive: MakeArchive, tmp_path: Path, changed: dict[str, object], text: str
) -> None:
    with pytest.raises(ConfigError, match=text):
        make_archive(tmp_path / "new", **changed)
    assert not (tmp_path / "new").exists()


def test_the_same_archive_is_not_written_twice_and_another_not_over_it(
    archive: SimulatedArchive, make_archive: MakeArchive
) -> None:
    before = {path: path.stat().st_mtime_ns for path in archive.folder.rglob("*")}
    assert make_archive(archive.folder) == archive
    assert {path: path.stat().st_mtime_ns for path in archive.folder.rglob("*")} == before
    with pytest.raises(ConfigError, match="holds something else"):
        make_archive(archive.folder, seed=77)


def test_an_interrupted_archive_is_written_again(
    archive: SimulatedArchive, make_archive: MakeArchive, tmp_path: Path
) -> None:
    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_archive(tmp_path / "a", progress=interrupt)
    assert not (tmp_path / "a" / "simulation.json").exists()
    next((tmp_path / "a" / "products").rglob("*_B02_10m.jp2")).write_bytes(b"half")
    assert digests(make_archive(tmp_path / "a").folder) == digests(archive.folder)


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("keep")
    with pytest.raises(ConfigError, match="empty"):
        simulate(tmp_path, seed=1)
    assert (tmp_path / "precious.txt").read_text() == "keep"
