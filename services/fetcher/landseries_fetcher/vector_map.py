"""An existing map of polygons (GeoPackage, Shapefile, FlatGeobuf, GeoJSON, file geodatabase) on a pixel grid.

Features are read through the file's spatial index and only where a grid needs them, so that memory grows with the
tile and not with the map.
"""

from __future__ import annotations

import glob
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyogrio  # type: ignore[import-untyped]
import rasterio
import shapely
from pyogrio.errors import (  # type: ignore[import-untyped]
    CRSError,
    DataLayerError,
    DataSourceError,
    FeatureError,
    FieldError,
    GeometryError,
)
from pyproj import CRS, Transformer

from landseries.errors import ConfigError, SourceError
from landseries.grid import Raster
from landseries_fetcher.checksums import digest_of_path
from landseries_fetcher.polygons import Box, Geometries, boxes_around, boxes_of, burn, in_degrees, repair

#: How the names of vector maps end; a folder `.gdb` is a file geodatabase.
SUFFIXES: Final = (".gpkg", ".shp", ".fgb", ".geojson", ".gdb")
#: Files that belong to a Shapefile, and the journal that belongs to an open GeoPackage.
_BESIDE: Final = {".shp": (".shx", ".dbf", ".prj", ".cpg"), ".gpkg": (".gpkg-wal",)}
#: Attributes that hold the code in maps as they are delivered: CODE_18, code_12, Code_2018, CLC_CODE, gridcode.
_CODE_FIELD: Final = re.compile(r"code_?\d{2}(\d{2})?|clc_?code|grid_?code", re.IGNORECASE)
_WHOLE: Final = re.compile(r"\d{1,9}")
#: Code of places that the map does not cover.
_OUTSIDE: Final = -1
_BATCH: Final = 20_000
_FAILURES: Final = (CRSError, DataLayerError, DataSourceError, FeatureError, FieldError, GeometryError)


@dataclass(frozen=True)
class Features:
    """Features of a map in ascending order of their ids.

    Attributes:
        ids: (features,) int64.
        geometries: (features,) valid polygons, None where a feature has none.
        codes: (features,) int32, -1 where a feature has none.
        repaired: ids of those whose geometry was invalid.
    """

    ids: npt.NDArray[np.int64]
    geometries: Geometries
    codes: npt.NDArray[np.int32]
    repaired: list[int]


@dataclass(frozen=True)
class VectorMap:
    """A layer of polygons and the attribute that holds their codes."""

    path: Path
    layer: str
    field: str
    crs: CRS

    def codes(self, raster: Raster, log: Callable[[str], None] | None = None) -> npt.NDArray[np.int32]:
        """Codes on a grid: each pixel that of the polygon which holds its centre.

        Polygons are projected with their edges densified. Where polygons overlap, that with the highest feature id
        is seen.

        Args:
            raster: the grid.
            log: is told which polygons had to be repaired.

        Returns:
            (rows, columns) int32, -1 where no polygon lies.

        Raises:
            SourceError: the file cannot be read, or a geometry is broken beyond repair.
            ConfigError: a code is no whole number, or a feature is no polygon.
        """
        codes = np.full(raster.shape, _OUTSIDE, dtype=np.int32)
        to_grid = Transformer.from_crs(self.crs, CRS.from_user_input(raster.crs), always_xy=True)
        from_grid = Transformer.from_crs(CRS.from_user_input(raster.crs), self.crs, always_xy=True)
        for box in boxes_around(raster, from_grid):
            found = self.features(box)
            if found.repaired and log is not None:
                log(f"{self}: the outlines of the features {found.repaired[:20]} were invalid and have been repaired")
            burn(codes, raster, found.geometries, found.codes, box, to_grid)
        return codes

    def check(self, bounds_lonlat: Box) -> npt.NDArray[np.int32]:
        """Read every feature of an area, a batch at a time.

        Args:
            bounds_lonlat: west, south, east, north of the area.

        Returns:
            (features,) int32: the code of each feature; -1 where it has none.

        Raises:
            SourceError: the file cannot be read, no feature lies in the area, or one is broken beyond repair.
            ConfigError: a code is no whole number, or a feature is no polygon.
        """
        to_map = Transformer.from_crs(CRS.from_epsg(4326), self.crs, always_xy=True)
        batches = [batch.codes for box in boxes_of(bounds_lonlat, to_map) for batch in self._batches(box)]
        codes = np.concatenate([np.zeros(0, np.int32), *batches])
        if codes.size == 0:
            raise SourceError(
                f"{self} has no polygon in the area, {in_degrees(bounds_lonlat)}{self._extent()}; give a map that "
                "covers the area"
            )
        return codes

    def features(self, box: Box, skip: int = 0, limit: int | None = None) -> Features:
        """Features whose geometry meets a box in the map's projection (left, bottom, right, top).

        Raises:
            SourceError: the file cannot be read, or a geometry is broken beyond repair.
            ConfigError: a code is no whole number, or a feature is no polygon.
        """
        with _reading(str(self)):
            _, ids, outlines, (values,) = pyogrio.raw.read(
                self.path,
                layer=self.layer,
                columns=[self.field],
                bbox=box,
                skip_features=skip,
                max_features=limit,
                return_fids=True,
                force_2d=True,
            )
        order = np.argsort(ids, kind="stable")
        ids, outlines, values = ids[order], outlines[order], values[order]
        geometries = shapely.from_wkb(outlines, on_invalid="ignore")
        broken = shapely.is_missing(geometries) & np.array([outline is not None for outline in outlines], dtype=bool)
        self._refuse_other_shapes(ids, geometries)
        geometries, repaired, hopeless = repair(geometries)
        if (broken | hopeless).any():
            raise SourceError(
                f"{self}: the outlines of the features {ids[broken | hopeless][:10].tolist()} are broken beyond "
                "repair; mend or delete them, for example with the geometry checker of QGIS"
            )
        return Features(ids, geometries, self._whole_numbers(ids, values), ids[repaired].tolist())

    def checksums(self) -> dict[str, str]:
        """What decides the codes: the digests of the map's files, its layer and its field."""
        suffixes = _BESIDE.get(self.path.suffix.lower(), ())
        beside = [path for path in sorted(self.path.parent.glob(f"{glob.escape(self.path.stem)}.*")) if path.is_file()]
        files = [self.path, *(path for path in beside if path.suffix.lower() in suffixes)]
        return {**{path.name: digest_of_path(path) for path in files}, "layer": self.layer, "field": self.field}

    def __str__(self) -> str:
        return f"reference.path: {self.path}, layer {self.layer}, field {self.field}"

    def _batches(self, box: Box) -> Iterator[Features]:
        skip = 0
        while True:
            batch = self.features(box, skip, _BATCH)
            yield batch
            skip += len(batch.ids)
            if len(batch.ids) < _BATCH:
                return

    def _refuse_other_shapes(self, ids: npt.NDArray[np.int64], geometries: Geometries) -> None:
        kinds = shapely.get_type_id(geometries)
        allowed = (shapely.GeometryType.MISSING, shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON)
        other = ~np.isin(kinds, [int(kind) for kind in allowed])
        if other.any():
            first = int(np.flatnonzero(other)[0])
            raise ConfigError(
                f"{self}: the feature {ids[first]} is a {geometries[first].geom_type}; a map consists of polygons: "
                "name a layer of polygons as reference.layer"
            )

    def _whole_numbers(self, ids: npt.NDArray[np.int64], values: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
        """Codes of attribute values, which may be texts, integers, or floats without a fraction."""
        codes = np.full(len(values), _OUTSIDE, dtype=np.int32)
        wrong: dict[str, int] = {}
        for index, value in enumerate(values.tolist()):
            text = "" if value is None or value != value else str(value).strip()
            if isinstance(value, float):
                text = text.removesuffix(".0")
            if _WHOLE.fullmatch(text):
                codes[index] = int(text)
            elif text:
                wrong.setdefault(text, int(ids[index]))
        if wrong:
            shown = ", ".join(f"{text!r} (feature {feature})" for text, feature in list(wrong.items())[:5])
            raise ConfigError(
                f"{self} holds {shown}; codes are whole numbers such as 312: name the attribute that has them as "
                "reference.field"
            )
        return codes

    def _extent(self) -> str:
        bounds = _info(self.path, self.layer, with_bounds=True)["total_bounds"]
        if bounds is None or not np.isfinite(bounds).all():
            return ""
        to_lonlat = Transformer.from_crs(self.crs, CRS.from_epsg(4326), always_xy=True)
        return f"; it covers {in_degrees(to_lonlat.transform_bounds(*bounds))}"


def holds_polygons(path: Path) -> bool:
    """Whether a file has layers with geometries; a GeoPackage may hold a raster instead.

    Raises:
        SourceError: it cannot be read.
    """
    if path.suffix.lower() != ".gpkg":
        return True
    try:
        return bool(_layers(path))
    except SourceError:
        if _is_raster(path):
            return False
        raise


def open_vector_map(path: Path, layer: str | None = None, field: str | None = None) -> VectorMap:
    """Find the layer of polygons and the attribute with the codes.

    Args:
        path: the file, or the folder of a file geodatabase.
        layer: name of the layer; None finds the only one that has codes.
        field: name of the attribute; None finds one that is named like CODE_18.

    Raises:
        SourceError: it cannot be read.
        ConfigError: the layer or field is not there, or cannot be told from others, or the layer has no projection
            or no polygons.
    """
    chosen = _choose_layer(path, _layers(path), layer, field)
    info = _info(path, chosen)
    kind = str(info["geometry_type"])
    if not any(word in kind for word in ("Polygon", "Surface", "Unknown", "Collection")):
        raise ConfigError(f"reference.layer: {path}, layer {chosen} holds {kind}; a map consists of polygons")
    if info["crs"] is None:
        raise ConfigError(f"reference.path: {path}, layer {chosen} has no projection (CRS); assign one, as QGIS can")
    return VectorMap(path, chosen, _choose_field(path, chosen, list(info["fields"]), field), CRS(info["crs"]))


def _is_raster(path: Path) -> bool:
    try:
        with rasterio.open(path):
            return True
    except rasterio.errors.RasterioError:
        return False


def _layers(path: Path) -> set[str]:
    with _reading(f"reference.path: {path}"):
        return {str(name) for name, kind in pyogrio.list_layers(path) if kind is not None}


def _choose_layer(path: Path, layers: set[str], layer: str | None, field: str | None) -> str:
    known = ", ".join(sorted(layers)) or "none"
    if layer is not None:
        if layer not in layers:
            raise ConfigError(f"reference.layer: {path} has no layer {layer} of polygons; it has {known}")
        return layer
    if len(layers) == 1:
        return next(iter(layers))
    fitting = [name for name in sorted(layers) if _matching(list(_info(path, name)["fields"]), field)]
    if len(fitting) != 1:
        raise ConfigError(f"reference.layer: {path} has the layers {known}; name the one that is the map")
    return fitting[0]


def _choose_field(path: Path, layer: str, fields: Sequence[str], field: str | None) -> str:
    fitting = _matching(fields, field)
    if len(fitting) == 1:
        return fitting[0]
    what = f"no field {field}" if field is not None else "no field that is named like CODE_18"
    if fitting:
        what = f"several fields that may hold the code, {', '.join(fitting)}"
    raise ConfigError(
        f"reference.field: {path}, layer {layer} has {what}; give one of {', '.join(sorted(fields)) or 'none'}"
    )


def _matching(fields: Sequence[str], field: str | None) -> list[str]:
    if field is None:
        return [name for name in fields if _CODE_FIELD.fullmatch(name)]
    return [name for name in fields if name == field] or [name for name in fields if name.lower() == field.lower()]


def _info(path: Path, layer: str, with_bounds: bool = False) -> dict[str, Any]:
    with _reading(f"reference.path: {path}, layer {layer}"):
        found: dict[str, Any] = pyogrio.read_info(path, layer=layer, force_total_bounds=with_bounds)
    return found


@contextmanager
def _reading(what: str) -> Iterator[None]:
    """While the context is open, failures of the library become errors that say what was read.

    GDAL warns on its way to a failure; what it warns of is in the error, and the warning would stand there alone.

    Raises:
        SourceError: it cannot be read.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            yield
    except (*_FAILURES, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise SourceError(
            f"{what} cannot be read as a vector map: the file is damaged, or no such map; get it again ({reason})"
        ) from error
