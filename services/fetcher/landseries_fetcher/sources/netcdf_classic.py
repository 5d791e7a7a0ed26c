"""Variables of classic NetCDF files (the formats CDF-1, CDF-2 and CDF-5).

The layout is that of the "NetCDF Classic Format Specification" (Unidata; CDF-5: PnetCDF): a header of dimensions,
attributes and variables in big-endian numbers, then the variables one after the other, and those along the unlimited
dimension interleaved record by record.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from landseries_fetcher.sources.variables import Read, Variable, Variables

#: Type number of the format -> NumPy's.
_TYPES: Final = dict(enumerate(["i1", "S1", ">i2", ">i4", ">f4", ">f8", "u1", ">u2", ">u4", ">i8", ">u8"], start=1))
_CHARACTERS: Final = 2
_LISTS: Final = {"dimension": 10, "variable": 11, "attribute": 12}
#: A number of records that was never filled in, as the file was still being written.
_STREAMING: Final = {4: 0xFFFF_FFFF, 8: 0xFFFF_FFFF_FFFF_FFFF}


@dataclass(frozen=True)
class _Stored:
    """A variable of the header."""

    name: str
    axes: list[int]
    attributes: dict[str, Any]
    dtype: np.dtype[Any]
    begin: int


class _Header:
    """Reads the header from its start."""

    def __init__(self, content: npt.NDArray[np.uint8]) -> None:
        self._content = content
        self._place = 4
        magic = bytes(content[:4])
        if magic[:3] != b"CDF" or magic[3] not in (1, 2, 5):
            raise ValueError("it has the signature of no NetCDF format")
        self.count_bytes = 8 if magic[3] == 5 else 4
        self._offset_bytes = 4 if magic[3] == 1 else 8
        self.records = self._number(self.count_bytes)
        self.dimensions = [(self._name(), self._number(self.count_bytes)) for _ in range(self._list("dimension"))]
        self.attributes = self._attributes()
        self.variables = [self._variable() for _ in range(self._list("variable"))]

    def _take(self, count: int) -> bytes:
        if count > len(self._content) - self._place:
            raise ValueError("it ends within its header")
        self._place += count
        return bytes(self._content[self._place - count : self._place])

    def _number(self, count: int = 4) -> int:
        return int.from_bytes(self._take(count), "big")

    def _list(self, kind: str) -> int:
        """Number of items of a list that follows; an empty one may have no tag."""
        tag, items = self._number(), self._number(self.count_bytes)
        if tag != _LISTS[kind] and (tag, items) != (0, 0):
            raise ValueError(f"its header is damaged where its {kind}s begin")
        return items

    def _padded(self, count: int) -> bytes:
        found = self._take(count)
        self._take(-count % 4)
        return found

    def _name(self) -> str:
        return self._padded(self._number(self.count_bytes)).decode(errors="replace")

    def _dtype(self) -> np.dtype[Any]:
        number = self._number()
        if number not in _TYPES:
            raise ValueError(f"its header is damaged: there is no type {number}")
        return np.dtype(_TYPES[number])

    def _attributes(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for _ in range(self._list("attribute")):
            name, dtype, count = self._name(), self._dtype(), self._number(self.count_bytes)
            stored = self._padded(count * dtype.itemsize)
            if dtype == _TYPES[_CHARACTERS]:
                found[name] = stored.rstrip(b"\0").decode(errors="replace")
            else:
                values = np.frombuffer(stored, dtype).astype(dtype.newbyteorder("="))
                found[name] = values[0] if count == 1 else values
        return found

    def _variable(self) -> _Stored:
        name = self._name()
        axes = [self._number(self.count_bytes) for _ in range(self._number(self.count_bytes))]
        if any(axis >= len(self.dimensions) for axis in axes):
            raise ValueError(f"its header is damaged: the variable {name} has axes that are not there")
        attributes, dtype = self._attributes(), self._dtype()
        self._number(self.count_bytes)  # its size, which follows from its shape, and cannot hold that of large ones
        return _Stored(name, axes, attributes, dtype, self._number(self._offset_bytes))


def read_classic(path: Path) -> Variables:
    """The variables of a file, whose values are read when they are asked for.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no such file, or damaged.
    """
    if path.stat().st_size < 4:
        raise ValueError("it is empty")
    content = np.memmap(path, np.uint8, mode="r")
    header = _Header(content)
    of_records = [variable for variable in header.variables if _is_of_records(header, variable)]
    sizes = [_bytes_of_part(header, variable) for variable in of_records]
    # Each part of a record is padded, but where there is one variable alone.
    step = sizes[0] if len(sizes) == 1 else sum(size + -size % 4 for size in sizes)
    records = header.records
    if records == _STREAMING[header.count_bytes]:
        first = min((variable.begin for variable in of_records), default=len(content))
        records = max(0, len(content) - first) // max(1, step)
    variables = {each.name: _variable(content, header, each, records, step) for each in header.variables}
    return Variables(variables, header.attributes)


def _is_of_records(header: _Header, variable: _Stored) -> bool:
    return bool(variable.axes) and header.dimensions[variable.axes[0]][1] == 0


def _bytes_of_part(header: _Header, variable: _Stored) -> int:
    return math.prod(header.dimensions[axis][1] for axis in variable.axes[1:]) * variable.dtype.itemsize


def _variable(content: npt.NDArray[np.uint8], header: _Header, stored: _Stored, records: int, step: int) -> Variable:
    names = tuple(header.dimensions[axis][0] for axis in stored.axes)
    shape = tuple(header.dimensions[axis][1] for axis in stored.axes)
    strides = [stored.dtype.itemsize * math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    if _is_of_records(header, stored):
        shape, strides[0] = (records, *shape[1:]), step
    try:
        values: npt.NDArray[Any] = np.ndarray(shape, stored.dtype, content, stored.begin, strides)
    except (TypeError, ValueError) as error:
        raise ValueError(f"it ends before the last value of {stored.name}") from error
    native = stored.dtype.newbyteorder("=")
    return Variable(names, shape, native, stored.attributes, _reader(values, native))


def _reader(values: npt.NDArray[Any], native: np.dtype[Any]) -> Read:
    return lambda place: np.array(values[place], native)
