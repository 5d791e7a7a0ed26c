"""Variables of a file with named axes (NetCDF, Zarr), by the CF conventions as far as a cube needs them.

What is read here is read as xarray reads it without scaling: a test holds one against the other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from landseries.errors import SourceError

#: Reads the part of a variable that an index per axis names.
Read = Callable[[tuple[int | slice, ...]], npt.NDArray[Any]]

_SINCE: Final = re.compile(r"\s*(?P<unit>\w+)\s+since\s+(?P<start>.+?)\s*")
_START: Final = re.compile(
    r"(?P<year>\d{1,4})-(?P<month>\d{1,2})-(?P<day>\d{1,2})"
    r"(?:[T ]\s*(?P<hour>\d{1,2})(?::(?P<minute>\d{1,2})(?::(?P<second>\d{1,2})(?P<fraction>\.\d*)?)?)?)?"
    r"\s*(?P<zone>Z|UTC|GMT|(?P<sign>[+-])(?P<zone_hour>\d{1,2}):?(?P<zone_minute>\d{2})?)?",
    re.IGNORECASE,
)
_NANOSECONDS: Final = {
    "nanosecond": 1,
    "microsecond": 10**3,
    "millisecond": 10**6,
    "second": 10**9,
    "minute": 60 * 10**9,
    "hour": 3_600 * 10**9,
    "day": 86_400 * 10**9,
}
_CALENDARS: Final = ("standard", "gregorian", "proleptic_gregorian")
_LARGEST: Final = float(np.iinfo(np.int64).max)


@dataclass(frozen=True)
class Variable:
    """One variable as it is stored.

    Attributes:
        axes: names of its axes.
        shape: length of each.
        dtype: type of the stored values.
        attributes: what the file says of it.
        read: reads a part.
    """

    axes: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    attributes: Mapping[str, Any]
    read: Read

    @property
    def values(self) -> npt.NDArray[Any]:
        """All of it, without change."""
        return self.read((slice(None),) * len(self.shape))

    @property
    def is_time(self) -> bool:
        """Whether it holds dates."""
        return self.dtype.kind == "M" or _SINCE.fullmatch(self.text("units")) is not None

    def text(self, attribute: str) -> str:
        """An attribute that is a text; empty where it is missing or none."""
        value = self.attributes.get(attribute)
        return value.decode(errors="replace") if isinstance(value, bytes) else value if isinstance(value, str) else ""


@dataclass(frozen=True)
class Variables:
    """The variables of a file, and what the file says of itself."""

    variables: Mapping[str, Variable]
    attributes: Mapping[str, Any]

    @property
    def data(self) -> tuple[str, ...]:
        """Names of those that are no coordinate of others."""
        axes = {axis for variable in self.variables.values() for axis in variable.axes}
        named = [variable.text("coordinates").split() for variable in self.variables.values()]
        coordinates = axes.union(*named, str(self.attributes.get("coordinates", "")).split())
        return tuple(name for name in self.variables if name not in coordinates)

    def axis(self, name: str) -> Variable | None:
        """The coordinates along an axis; None where there are none."""
        found = self.variables.get(name)
        return found if found is not None and found.axes[:1] == (name,) else None


def dates(variable: Variable) -> tuple[datetime, ...]:
    """Dates of a variable in UTC, without a time zone, whole seconds.

    Raises:
        SourceError: its unit, calendar or numbers cannot be understood.
    """
    moments = variable.values if variable.dtype.kind == "M" else _moments(variable)
    found = moments.astype("datetime64[s]")
    if np.isnat(found).any():
        raise SourceError("one of its dates is missing")
    return tuple(found.tolist())


def labels(variable: Variable) -> tuple[str, ...]:
    """Values of an axis as texts; texts may be stored as such, or character by character along a last axis."""
    values = variable.values
    if values.dtype == "S1" and values.ndim == 2:
        return tuple(_decoded(b"".join(row)) for row in values.tolist())
    return tuple(_decoded(value) if isinstance(value, bytes) else str(value) for value in values)


def _decoded(value: bytes) -> str:
    return value.rstrip(b"\0").decode(errors="replace")


def _moments(variable: Variable) -> npt.NDArray[Any]:
    units, calendar = variable.text("units"), variable.text("calendar").lower() or "standard"
    parts = _SINCE.fullmatch(units)
    unit = parts["unit"].lower().removesuffix("s") if parts is not None else ""
    start = _start(parts["start"]) if parts is not None else None
    if unit not in _NANOSECONDS or start is None or calendar not in _CALENDARS:
        raise SourceError(
            f"its dates are in {units!r} of the calendar {calendar!r}; store them in seconds, minutes, hours or days "
            "since a date of the standard calendar"
        )
    numbers = variable.values
    numbers = numbers.astype(np.float64 if numbers.dtype.kind == "f" else np.int64)
    if numbers.size and not (np.abs(numbers.astype(np.float64)) * _NANOSECONDS[unit] < _LARGEST).all():
        raise SourceError(f"its dates, in {units!r}, are no numbers, or too large")
    return start + (numbers * _NANOSECONDS[unit]).astype("timedelta64[ns]")


def _start(text: str) -> np.datetime64 | None:
    found = _START.fullmatch(text)
    if found is None:
        return None
    zone: timezone = UTC
    if found["sign"]:
        offset = timedelta(hours=int(found["zone_hour"]), minutes=int(found["zone_minute"] or 0))
        zone = timezone(offset if found["sign"] == "+" else -offset)
    year, month, day, hour, minute, second = (
        int(found[part] or 0) for part in ("year", "month", "day", "hour", "minute", "second")
    )
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=zone).astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        return None
    nanoseconds = int((found["fraction"] or "").removeprefix(".")[:9].ljust(9, "0"))
    return np.datetime64(moment, "ns") + np.timedelta64(nanoseconds, "ns")
