"""Files with named axes are read as xarray reads them, whatever wrote them; damaged ones are refused."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from landseries.errors import SourceError
from landseries_fetcher.sources.netcdf import open_netcdf
from landseries_fetcher.sources.variables import Variable, Variables, dates, labels
from landseries_fetcher.sources.zarr_folder import open_zarr

FORMATS = ["NETCDF4", "NETCDF3_CLASSIC", "NETCDF3_64BIT", "zarr 2", "zarr 3"]


def _dataset() -> xr.Dataset:
    rng = np.random.default_rng(6)
    dataset = xr.Dataset(
        {
            "red": (("time", "y", "x"), rng.integers(-9, 9, (3, 5, 7)).astype(np.int16)),
            "flag": (("time", "y", "x"), rng.integers(0, 9, (3, 5, 7)).astype(np.int8)),
            "stack": (("time", "band", "y", "x"), rng.normal(size=(3, 2, 5, 7)).astype(np.float32)),
            "lc": (("y", "x"), rng.normal(size=(5, 7))),
            "crs": ((), np.int32(0), {"crs_wkt": "a projection"}),
        },
        {
            "time": np.array(["2018-02-01T10:00:07", "2018-07-01T10:00:00", "2019-01-05T23:59:59"], "datetime64[ns]"),
            "band": ["red", "näher"],
            "y": np.arange(5.0)[::-1],
            "x": np.arange(7.0),
            "orbit": ("time", np.array([1, 2, 3], np.int32)),
        },
        {"epsg": "32631", "number": np.int32(7), "list": np.array([1.5, 2.5])},
    )
    dataset["red"].encoding["_FillValue"] = np.int16(-9)
    dataset["stack"].encoding["_FillValue"] = np.float32(-1.5)
    dataset["lc"].attrs.update(missing_value=-1.0, grid_mapping="crs")
    return dataset


def _written(path: Path, kind: str, dataset: xr.Dataset, **how: Any) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if kind.startswith("zarr"):
            dataset.to_zarr(path, zarr_format=int(kind[-1]), **how)  # type: ignore[arg-type]
        else:
            engine: Any = "h5netcdf" if kind == "NETCDF4" else "scipy"
            dataset.to_netcdf(path, format=kind, engine=engine, **how)  # type: ignore[arg-type]
    return path


def _opened(path: Path) -> tuple[Variables, xr.Dataset]:
    if path.is_dir():
        return open_zarr(path), xr.open_zarr(path, mask_and_scale=False, chunks=None)
    engine: Any = "h5netcdf" if path.read_bytes()[1:4] == b"HDF" else "scipy"
    return open_netcdf(path), xr.open_dataset(path, mask_and_scale=False, engine=engine)


@pytest.mark.parametrize("unlimited", [False, True])
@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_holds_what_xarray_finds_in_it(tmp_path: Path, kind: str, unlimited: bool) -> None:
    how = {"unlimited_dims": ["time"]} if unlimited and "zarr" not in kind else {}
    found, expected = _opened(_written(tmp_path / "file", kind, _dataset(), **how))
    assert sorted(found.data) == sorted(map(str, expected.data_vars))
    assert set(found.variables) == set(map(str, expected.variables))
    assert {name: np.asarray(value).tolist() for name, value in found.attributes.items() if name != "coordinates"} == {
        name: np.asarray(value).tolist() for name, value in expected.attrs.items()
    }
    for name in expected.data_vars:
        ours, theirs = found.variables[str(name)], expected[name]
        assert (ours.axes, ours.shape) == (theirs.dims, theirs.shape)
        assert np.array_equal(ours.values, theirs.values)
        assert ours.values.dtype.newbyteorder("=") == theirs.dtype.newbyteorder("=")
        for key in ("_FillValue", "missing_value", "grid_mapping"):
            stated = (ours.attributes.get(key), theirs.attrs.get(key))
            assert stated[0] == stated[1] or all(value != value for value in stated), key
        place = (1, slice(2, 4), slice(0, 5))[-len(theirs.dims) :] if theirs.ndim in (2, 3) else ()
        assert np.array_equal(ours.read(place), theirs.values[place])
    time, band = found.axis("time"), found.axis("band")
    assert time is not None
    assert band is not None
    assert time.is_time
    assert not band.is_time
    assert np.array_equal(np.array(dates(time), "datetime64[ns]"), expected["time"].values)
    assert labels(band) == ("red", "näher")


@pytest.mark.parametrize("records", [1, 2, 3])
@pytest.mark.parametrize("kind", ["NETCDF3_CLASSIC", "NETCDF3_64BIT"])
def test_records_of_any_length_lie_where_they_should(tmp_path: Path, kind: str, records: int) -> None:
    """One variable of records is packed, several are padded; odd lengths show both."""
    names = ["a", "b", "c"][:records]
    values = {name: np.arange(15).reshape(5, 3).astype(np.int8) + 20 * i for i, name in enumerate(names)}
    dataset = xr.Dataset({name: (("time", "x"), array) for name, array in values.items()})
    found = open_netcdf(_written(tmp_path / "file", kind, dataset, unlimited_dims=["time"]))
    for name, array in values.items():
        assert np.array_equal(found.variables[name].values, array)


@settings(max_examples=300, deadline=None)
@given(
    unit=st.sampled_from(["nanoseconds", "milliseconds", "seconds", "second", "minutes", "Hours", "days"]),
    start=st.sampled_from(
        [
            "1970-01-01",
            "2015-6-27",
            "2000-01-01 12:30",
            "1950-01-01T00:00:00Z",
            "2018-03-04 05:06:07.25",
            "1999-12-31 23:59:59 UTC",
            "2018-01-01 00:00:00 +02:00",
            "2018-01-01T00:00:00-0530",
        ]
    ),
    numbers=st.lists(st.integers(-20_000, 20_000) | st.floats(-20_000, 20_000), min_size=1, max_size=5),
    calendar=st.sampled_from([None, "standard", "gregorian", "proleptic_gregorian"]),
)
def test_dates_are_those_of_xarray(unit: str, start: str, numbers: list[float], calendar: str | None) -> None:
    values = np.array(numbers)
    attributes = {"units": f"{unit} since {start}"} | ({} if calendar is None else {"calendar": calendar})
    found = dates(Variable(("t",), values.shape, values.dtype, attributes, lambda place: values))
    expected = xr.conventions.decode_cf_variable("t", xr.Variable("t", values, attributes)).values
    assert np.array_equal(np.array(found, "datetime64[s]"), expected.astype("datetime64[s]"))


@pytest.mark.parametrize(
    ("numbers", "units", "calendar"),
    [
        ([1.0], "days since the flood", "standard"),
        ([1.0], "months since 2018-01-01", "standard"),
        ([1.0], "days since 2018-02-30", "standard"),
        ([1.0], "days since 2018-01-01", "360_day"),
        ([np.nan], "days since 2018-01-01", "standard"),
        ([1e12], "days since 2018-01-01", "standard"),
    ],
)
def test_dates_that_cannot_be_understood(numbers: list[float], units: str, calendar: str) -> None:
    values = np.array(numbers)
    attributes = {"units": units, "calendar": calendar}
    with pytest.raises(SourceError, match="dates"):
        dates(Variable(("t",), values.shape, values.dtype, attributes, lambda place: values))


@pytest.fixture(scope="module")
def classic(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("classic") / "file.nc"
    return _written(path, "NETCDF3_64BIT", _dataset(), unlimited_dims=["time"]).read_bytes()


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_file_is_refused_or_read(tmp_path: Path, classic: bytes, data: st.DataObject) -> None:
    """Whatever is cut or changed: an error that says so, or values, and never more memory than the file has."""
    damaged = bytearray(classic[: data.draw(st.integers(0, len(classic)))])
    for place in data.draw(st.lists(st.integers(0, min(1_500, max(0, len(damaged) - 1))), max_size=3)):
        if damaged:
            damaged[place] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged.nc"
    path.write_bytes(damaged)
    try:
        found = open_netcdf(path)
    except ValueError:
        return
    for variable in found.variables.values():
        assert variable.values.nbytes <= 64 * len(classic)
