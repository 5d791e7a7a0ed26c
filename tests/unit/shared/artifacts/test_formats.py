"""Every stored format: what is written is read back, the field's own tools read it, and bytes are stable."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import rasterio
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from rio_cogeo import cog_validate

from landseries.artifacts.documents import canonical_json, digest_of_file, write_json
from landseries.artifacts.rasters import read_raster, write_cog
from landseries.artifacts.series import reading_series, writing_series
from landseries.artifacts.tables import read_columns, write_points, write_table
from landseries.errors import ArtifactError
from landseries.grid import Raster

GRID = Raster("EPSG:32632", 698_880.0, 5_160_960.0, 10.0, 10.0, 96, 70)


def write_all(folder: Path) -> list[Path]:
    """One file of every format, of content that compresses like the real one."""
    rng = np.random.default_rng(3)
    values = rng.normal(2000, 300, (6, 2, *GRID.shape)).astype(np.int16)
    with writing_series(folder / "s.zarr.zip", GRID, features=("B04", "B08"), days=range(0, 60, 10)) as writer:
        for first in range(0, GRID.height, 32):
            writer.write_rows(first, values[:, :, first : first + 32])
    write_cog(folder / "r.tif", values[:, 0], GRID, names=[f"d{i}" for i in range(6)], nodata=-32768, tags={"A": "1"})
    classes = rng.integers(0, 5, (1, *GRID.shape)).astype(np.uint8)
    colours = {1: (255, 0, 0), 2: (0, 255, 0)}
    write_cog(folder / "c.tif", classes, GRID, names=["class"], nodata=0, colours=colours, overviews="nearest")
    columns = {"class": np.arange(50, dtype=np.uint8), "series": values.reshape(-1)[:200].reshape(50, 4)}
    write_points(folder / "p.parquet", columns, crs=GRID.crs, x=np.arange(50.0), y=np.arange(50.0) * 2)
    write_table(folder / "t.parquet", columns)
    write_json(folder / "d.json", {"b": [1, 2.5, None], "a": "é"})
    return sorted(folder.iterdir())


def test_two_processes_write_the_same_bytes(tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    digests = {path.name: digest_of_file(path) for path in write_all(here)}
    there = tmp_path / "there"
    there.mkdir()
    script = (
        "import sys; from pathlib import Path; from tests.unit.shared.artifacts.test_formats import write_all\n"
        "write_all(Path(sys.argv[1]))"
    )
    root = Path(__file__).parents[4]
    subprocess.run([sys.executable, "-c", script, str(there)], check=True, cwd=root)
    assert {path.name: digest_of_file(path) for path in there.iterdir()} == digests


def test_a_series_is_read_back_in_blocks_and_by_zarr_itself(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(-32768, 32767, (5, 3, *GRID.shape)).astype(np.int16)
    path = tmp_path / "s.zarr.zip"
    with writing_series(path, GRID, features=("a", "b", "c"), days=(1, 2, 3, 4, 5)) as writer:
        for first in (64, 0, 32):
            writer.write_rows(first, values[:, :, first : first + 32])
    with reading_series(path) as series:
        assert series.features == ("a", "b", "c")
        assert series.days == (1, 2, 3, 4, 5)
        for first, block in series.blocks():
            np.testing.assert_array_equal(block, values[:, :, first : first + 32])
        np.testing.assert_array_equal(series.rows(10, 45), values[:, :, 10:45])
    array = zarr.open_array(zarr.storage.ZipStore(path, mode="r"), path="series", mode="r")
    np.testing.assert_array_equal(np.asarray(array[:]), values)


def test_rows_start_at_a_chunk(tmp_path: Path) -> None:
    with (
        writing_series(tmp_path / "s", GRID, features=("a",), days=(1,)) as writer,
        pytest.raises(ValueError, match="multiple of 32"),
    ):
        writer.write_rows(5, np.zeros((1, 1, 4, GRID.width), np.int16))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no zip", b"x" * 1000])
def test_what_is_no_artifact_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken"
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match="broken"), reading_series(path):
        pass
    with pytest.raises(ArtifactError, match="broken"):
        read_raster(path)
    with pytest.raises(ArtifactError, match="broken"):
        read_columns(path)


def test_a_cog_is_valid_and_carries_names_colours_and_georeference(tmp_path: Path) -> None:
    write_all(tmp_path)
    for name in ("r.tif", "c.tif"):
        valid, errors, _ = cog_validate(tmp_path / name)
        assert valid, errors
    with rasterio.open(tmp_path / "c.tif") as source:
        assert source.colormap(1)[1] == (255, 0, 0, 255)
        assert source.nodata == 0
        assert source.transform == GRID.transform
        assert source.crs.to_epsg() == 32632
        assert source.descriptions == ("class",)
    with pytest.raises(ArtifactError, match=r"\(70, 96\)"):
        read_raster(tmp_path / "c.tif", Raster("EPSG:32632", 0, 0, 10, 10, 50, 50))


def test_bands_must_fit_the_grid(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        write_cog(tmp_path / "x.tif", np.zeros((1, 5, 5), np.uint8), GRID, names=["a"], nodata=0)


def test_points_are_geoparquet(tmp_path: Path) -> None:
    write_all(tmp_path)
    metadata = pq.read_schema(tmp_path / "p.parquet").metadata
    assert b"geo" in metadata
    table = pq.read_table(tmp_path / "p.parquet", columns=["geometry"])
    wkb = table.column("geometry")[7].as_py()
    assert wkb[:5] == b"\x01\x01\x00\x00\x00"
    np.testing.assert_array_equal(np.frombuffer(wkb[5:]), [7.0, 14.0])
    with pytest.raises(ArtifactError, match="nothing"):
        read_columns(tmp_path / "p.parquet", "nothing")


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 40), st.integers(1, 9), st.sampled_from(["int16", "uint8", "float32", "uint64"]))
def test_columns_come_back_as_they_went(n: int, width: int, dtype: str) -> None:
    import tempfile

    rng = np.random.default_rng(n)
    columns = {"one": rng.integers(0, 100, n).astype(dtype), "list": rng.integers(0, 100, (n, width)).astype(dtype)}
    with tempfile.TemporaryDirectory() as folder:
        write_table(Path(folder) / "t.parquet", columns)
        found = read_columns(Path(folder) / "t.parquet")
    for name, values in columns.items():
        np.testing.assert_array_equal(found[name], values)
        assert found[name].dtype == values.dtype


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
)


@given(st.dictionaries(st.text(max_size=5), json_values, max_size=6))
def test_canonical_json_does_not_depend_on_order(content: dict[str, object]) -> None:
    turned = dict(reversed(list(content.items())))
    assert canonical_json(content) == canonical_json(turned)
    assert hashlib.sha256(canonical_json(content)).hexdigest() == hashlib.sha256(canonical_json(turned)).hexdigest()
