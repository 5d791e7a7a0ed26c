"""Spectral indices: one table of formulas over the ten bands, for vegetation, water, snow, soil and built-up land.

Reflectance comes and indices leave as stored integers (x 10,000, -32768 for no-data), so that a series of indices is
stored like a series of bands. Three rules hold for every index:

- Reflectance below 0.0001 (one stored unit) is read as 0.0001. Atmospheric correction yields zero and negative values
  over water and in shadow; ratios of those are noise of any size and sign, and would be no-data or spikes.
- No-data where a band that the formula reads has none, or where the denominator is below 0.0001.
- Results are clipped to the index's range, which is inside what 16 bits can hold (-3.2767..3.2767).

Three indices are another one under the name of another field (snow against water, built-up land against moisture,
greenness against water): they say so in `same_as`, because a clustering that gets both counts one thing twice.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from landseries.bands import BANDS, NODATA, REFLECTANCE_SCALE
from landseries.errors import ConfigError

Reflectance = Mapping[str, NDArray[np.float32]]
#: Numerator and denominator of an index, as float32 in units of reflectance.
Fraction = tuple[NDArray[np.float32], NDArray[np.float32]]
Domain = Literal["vegetation", "moisture", "burn", "water", "snow", "soil", "built-up"]

#: Smallest denominator, and the reflectance that smaller ones are read as: one stored unit.
SMALLEST: Final = np.float32(1 / REFLECTANCE_SCALE)
#: Values that are computed together: a block of a few bands in float32 fits in the second-level cache.
_BLOCK: Final = 1 << 14


@dataclass(frozen=True)
class SpectralIndex:
    """One index.

    Attributes:
        name: As written in configurations and on feature axes.
        title: What the name stands for.
        formula: For people, with the bands' names.
        bands: The bands that it reads.
        domain: What it tells apart.
        source: Where the formula was published.
        fraction: Numerator and denominator from reflectance by band.
        limits: Smallest and largest value; results beyond are clipped.
        same_as: An index that carries the same information (equal, or equal but for the sign).
    """

    name: str
    title: str
    formula: str
    bands: tuple[str, ...]
    domain: Domain
    source: str
    fraction: Callable[[Reflectance], Fraction]
    limits: tuple[float, float] = (-1.0, 1.0)
    same_as: str | None = None


def computable(bands: Collection[str], *, distinct: bool = False) -> list[str]:
    """Names of the indices that can be computed from these bands, in the table's order.

    Args:
        bands: Names of available bands; other names are ignored.
        distinct: Leave out an index whose information another one of the answer carries.
    """
    names = [name for name, index in INDICES.items() if set(index.bands) <= set(bands)]
    return [name for name in names if not (distinct and INDICES[name].same_as in names)]


def bands_of(names: Collection[str]) -> tuple[str, ...]:
    """The bands that these indices read, in the order of `BANDS`.

    Raises:
        ConfigError: There is no such index.
    """
    needed = {band for name in names for band in find(name).bands}
    return tuple(band for band in BANDS if band in needed)


def find(name: str) -> SpectralIndex:
    """The index of that name.

    Raises:
        ConfigError: There is no such index.
    """
    if name not in INDICES:
        raise ConfigError(f"indices: there is no index {name!r}; known are {', '.join(INDICES)}")
    return INDICES[name]


def compute(name: str, bands: Mapping[str, NDArray[np.int16]]) -> NDArray[np.int16]:
    """One index of arrays of any shape.

    Args:
        name: The index.
        bands: int16 reflectance x 10,000 by band, no-data -32768, all of one shape. Bands that the index does not read
            are ignored.

    Returns:
        int16 index x 10,000 of the same shape, rounded half to even, no-data -32768.

    Raises:
        ConfigError: There is no such index, or a band is missing.
        ValueError: Bands differ in shape, or are not int16.
    """
    flat = _flat([name], bands)
    shape = bands[find(name).bands[0]].shape
    out = np.empty(shape, np.int16)
    _fill([name], flat, out.reshape(1, out.size))
    return out


def compute_series(names: Sequence[str], series: NDArray[np.int16], features: Sequence[str]) -> NDArray[np.int16]:
    """Indices of a series.

    Args:
        names: The indices.
        series: (date, feature, y, x) int16, with reflectance x 10,000 where a feature is a band, no-data -32768.
        features: Names along the feature axis.

    Returns:
        (date, index, y, x) int16 index x 10,000 in the order of `names`, rounded half to even, no-data -32768.

    Raises:
        ConfigError: There is no such index, or the series misses a band.
        ValueError: The series has another dtype or other axes.
    """
    if series.ndim != 4 or series.dtype != np.int16 or series.shape[1] != len(features):
        raise ValueError(
            f"series is {series.dtype} {series.shape}; expected int16 (date, feature, y, x), {len(features)} features"
        )
    out = np.empty((series.shape[0], len(names), *series.shape[2:]), np.int16)
    pixels = series.shape[2] * series.shape[3]
    for date in range(series.shape[0]):
        flat = _flat(names, dict(zip(features, series[date], strict=True)))
        _fill(names, flat, out[date].reshape(len(names), pixels))
    return out


def _flat(names: Sequence[str], bands: Mapping[str, NDArray[np.int16]]) -> dict[str, NDArray[np.int16]]:
    """The bands that are read, checked, along one axis."""
    needed = bands_of(names)
    for name in names:
        absent = [band for band in find(name).bands if band not in bands]
        if absent:
            raise ConfigError(
                f"indices: {name} reads {', '.join(find(name).bands)}, but the imagery has no {', '.join(absent)}; "
                f"computable are {', '.join(computable(bands)) or 'none'}"
            )
    kinds = {(bands[band].dtype.name, bands[band].shape) for band in needed}
    if len(kinds) > 1 or any(dtype != "int16" for dtype, _ in kinds):
        raise ValueError(f"bands are {sorted(kinds)}; expected int16 of one shape")
    return {band: bands[band].reshape(-1) for band in needed}


def _fill(names: Sequence[str], bands: Mapping[str, NDArray[np.int16]], out: NDArray[np.int16]) -> None:
    """Write the indices (index, pixel) of flat bands, a block at a time."""
    for start in range(0, out.shape[1], _BLOCK):
        part = slice(start, start + _BLOCK)
        stored = {band: values[part] for band, values in bands.items()}
        # Divided, not multiplied by 0.0001: the nearest float32 of each stored reflectance.
        reflectance = {
            band: np.maximum(values, 1).astype(np.float32) / np.float32(REFLECTANCE_SCALE)
            for band, values in stored.items()
        }
        absent = {band: values == NODATA for band, values in stored.items()}
        for position, name in enumerate(names):
            index = INDICES[name]
            values, undefined = _evaluate(index, reflectance)
            for band in index.bands:
                undefined |= absent[band]
            values[undefined] = NODATA
            out[position, part] = values


def _evaluate(index: SpectralIndex, reflectance: Reflectance) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Stored values as float32, and where the denominator is too small (the value there means nothing)."""
    numerator, denominator = index.fraction(reflectance)
    # Half a unit below the smallest: a denominator of one stored unit is still good, whatever its last bit.
    undefined = np.asarray(denominator < np.float32(0.5) * SMALLEST)
    ratio = numerator / np.where(undefined, np.float32(1), denominator)
    low, high = (np.float32(limit * REFLECTANCE_SCALE) for limit in index.limits)
    values: NDArray[np.float32] = np.clip(np.rint(ratio * np.float32(REFLECTANCE_SCALE)), low, high)
    return values, undefined


def _normalised_difference(more: str, less: str) -> Callable[[Reflectance], Fraction]:
    def fraction(r: Reflectance) -> Fraction:
        return r[more] - r[less], r[more] + r[less]

    return fraction


def _evi(r: Reflectance) -> Fraction:
    return _f(2.5) * (r["B08"] - r["B04"]), r["B08"] + _f(6) * r["B04"] - _f(7.5) * r["B02"] + _f(1)


def _savi(r: Reflectance) -> Fraction:
    return _f(1.5) * (r["B08"] - r["B04"]), r["B08"] + r["B04"] + _f(0.5)


def _ireci(r: Reflectance) -> Fraction:
    return (r["B07"] - r["B04"]) * r["B06"], r["B05"]


def _psri(r: Reflectance) -> Fraction:
    return r["B04"] - r["B02"], r["B06"]


def _awei_sh(r: Reflectance) -> Fraction:
    sum_of_bands = r["B02"] + _f(2.5) * r["B03"] - _f(1.5) * (r["B08"] + r["B11"]) - _f(0.25) * r["B12"]
    return sum_of_bands, np.ones_like(sum_of_bands)


def _s3(r: Reflectance) -> Fraction:
    return r["B08"] * ((r["B04"] - r["B11"]) / (r["B08"] + r["B11"])), r["B08"] + r["B04"]


def _bsi(r: Reflectance) -> Fraction:
    bright, green = r["B11"] + r["B04"], r["B08"] + r["B02"]
    return bright - green, bright + green


def _f(value: float) -> np.float32:
    return np.float32(value)


def _difference(
    name: str, title: str, more: str, less: str, domain: Domain, source: str, same_as: str | None = None
) -> SpectralIndex:
    formula = f"({more} - {less}) / ({more} + {less})"
    fraction = _normalised_difference(more, less)
    return SpectralIndex(name, title, formula, (more, less), domain, source, fraction, same_as=same_as)


_TABLE: Final = (
    _difference(
        "NDVI", "Normalised Difference Vegetation Index", "B08", "B04", "vegetation",
        "Rouse et al. 1974, NASA SP-351",
    ),
    SpectralIndex(
        "EVI", "Enhanced Vegetation Index", "2.5 (B08 - B04) / (B08 + 6 B04 - 7.5 B02 + 1)",
        ("B08", "B04", "B02"), "vegetation", "Huete et al. 2002, doi:10.1016/S0034-4257(02)00096-2", _evi, (-3.0, 3.0),
    ),
    SpectralIndex(
        "SAVI", "Soil-Adjusted Vegetation Index", "1.5 (B08 - B04) / (B08 + B04 + 0.5)",
        ("B08", "B04"), "vegetation", "Huete 1988, doi:10.1016/0034-4257(88)90106-X", _savi, (-1.5, 1.5),
    ),
    _difference(
        "GNDVI", "Green Normalised Difference Vegetation Index", "B08", "B03", "vegetation",
        "Gitelson et al. 1996, doi:10.1016/S0034-4257(96)00072-7", same_as="NDWI",
    ),
    _difference(
        "NDRE", "Normalised Difference Red-Edge Index", "B08", "B05", "vegetation",
        "Gitelson & Merzlyak 1994, doi:10.1016/1011-1344(93)06963-4",
    ),
    SpectralIndex(
        "IRECI", "Inverted Red-Edge Chlorophyll Index", "(B07 - B04) B06 / B05",
        ("B07", "B04", "B06", "B05"), "vegetation", "Frampton et al. 2013, doi:10.1016/j.isprsjprs.2013.04.007",
        _ireci, (-3.0, 3.0),
    ),
    SpectralIndex(
        "PSRI", "Plant Senescence Reflectance Index", "(B04 - B02) / B06",
        ("B04", "B02", "B06"), "vegetation", "Merzlyak et al. 1999, doi:10.1034/j.1399-3054.1999.106119.x",
        _psri, (-3.0, 3.0),
    ),
    _difference(
        "NDMI", "Normalised Difference Moisture Index", "B08", "B11", "moisture",
        "Wilson & Sader 2002, doi:10.1016/S0034-4257(01)00318-2",
    ),
    _difference(
        "NBR", "Normalised Burn Ratio", "B08", "B12", "burn", "Key & Benson 2006, USDA RMRS-GTR-164-CD",
    ),
    _difference(
        "NBR2", "Normalised Burn Ratio 2 (of tillage: crop residue)", "B11", "B12", "burn",
        "Van Deventer et al. 1997, Photogramm. Eng. Remote Sens. 63(1):87-93",
    ),
    _difference(
        "NDWI", "Normalised Difference Water Index", "B03", "B08", "water",
        "McFeeters 1996, doi:10.1080/01431169608948714",
    ),
    _difference(
        "MNDWI", "Modified Normalised Difference Water Index", "B03", "B11", "water",
        "Xu 2006, doi:10.1080/01431160600589179",
    ),
    SpectralIndex(
        "AWEIsh", "Automated Water Extraction Index, with shadow", "B02 + 2.5 B03 - 1.5 (B08 + B11) - 0.25 B12",
        ("B02", "B03", "B08", "B11", "B12"), "water", "Feyisa et al. 2014, doi:10.1016/j.rse.2013.08.029",
        _awei_sh, (-3.0, 3.0),
    ),
    _difference(
        "NDSI", "Normalised Difference Snow Index", "B03", "B11", "snow",
        "Hall et al. 1995, doi:10.1016/0034-4257(95)00137-P", same_as="MNDWI",
    ),
    SpectralIndex(
        "S3", "Snow index S3, also under trees", "B08 (B04 - B11) / ((B08 + B04) (B08 + B11))",
        ("B08", "B04", "B11"), "snow", "Saito & Yamazaki 1999, doi:10.3178/jjshwr.12.28", _s3,
    ),
    SpectralIndex(
        "BSI", "Bare Soil Index", "((B11 + B04) - (B08 + B02)) / ((B11 + B04) + (B08 + B02))",
        ("B11", "B04", "B08", "B02"), "soil", "Rikimaru et al. 2002, Tropical Ecology 43(1):39-47", _bsi,
    ),
    _difference(
        "NDSoI", "Normalised Difference Soil Index", "B12", "B03", "soil",
        "Deng et al. 2015, doi:10.1016/j.jag.2015.02.010",
    ),
    _difference(
        "NDBI", "Normalised Difference Built-up Index", "B11", "B08", "built-up",
        "Zha et al. 2003, doi:10.1080/01431160304987", same_as="NDMI",
    ),
)  # fmt: skip

#: Every index by name, in the order of the table.
INDICES: Final[dict[str, SpectralIndex]] = {index.name: index for index in _TABLE}
