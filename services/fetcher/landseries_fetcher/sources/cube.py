"""A data cube on a grid of its own, which is kept: any named bands or ready indices, a clear mask, dates."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pyproj import CRS
from shapely.geometry.base import BaseGeometry

from landseries.artifacts.documents import canonical_json, digest_of
from landseries.bands import BANDS, NODATA, REFLECTANCE_SCALE
from landseries.config import Period
from landseries.errors import ConfigError, SourceError
from landseries.grid import Raster, Tile
from landseries.settings.fetcher import FetchSettings
from landseries.settings.sources import CubeMask, CubeSource
from landseries_fetcher.checksums import digest_of_path
from landseries_fetcher.harmony.shifts import Shift
from landseries_fetcher.masking import clear_mask, reach_px
from landseries_fetcher.sources.base import (
    Acquisition,
    Catalogue,
    Image,
    LeftProduct,
    Product,
    UnreadableProduct,
    View,
)
from landseries_fetcher.sources.layers import Layer, LayerFiles

#: Code where a map of the cube has none.
_NO_CODE: Final = -1
#: Codes above this are no-data in every legend.
_CODE_MAX: Final = 2**31 - 1
_STORED_MAX: Final = 32_767


class Cube:
    """A cube; see `landseries_fetcher.sources.base.ImagerySource`."""

    is_selected_by_share = False

    def __init__(self, settings: CubeSource, resolve: Callable[[Path], Path]) -> None:
        """Open a cube.

        Args:
            settings: where it lies and what its variables are.
            resolve: makes a path of the configuration absolute.

        Raises:
            SourceError: a file is not there or cannot be read.
            ConfigError: a variable is not there, or the variables do not fit each other.
        """
        self._settings = settings
        self._paths = [resolve(path) for path in settings.paths]
        self._files = _open_files(settings, self._paths, resolve)
        self.features = _in_order(settings.features)
        self._layers = [
            self._files.layer(f"source.features.{name}", settings.features[name], True) for name in self.features
        ]
        finest = min(self._layers, key=lambda layer: layer.raster.pixel_width * layer.raster.pixel_height)
        self.raster: Raster = finest.raster
        if not self.raster.crs:
            raise ConfigError("source: the files do not say their CRS; give source.crs such as EPSG:32633")
        self._times = finest.times
        self._mask = None if settings.mask is None else self._mask_layer(settings.mask)
        self._check(finest)

    def granules_over(self, area: BaseGeometry | None, periods: Sequence[Period]) -> tuple[str, ...]:
        """The one cube."""
        return (self._settings.name,)

    @property
    def place(self) -> str:
        """The files."""
        return ", ".join(str(path) for path in self._paths)

    def identity(self) -> dict[str, str]:
        """A digest of the settings that say how values are made; not of where the files lie."""
        content = self._settings.model_dump(mode="json", exclude={"paths", "timestamps"}, exclude_defaults=True)
        return {"cube settings": digest_of(canonical_json(content))}

    def checksums(self, granule: str, period: Period) -> dict[str, str]:
        """See `ImagerySource.checksums`."""
        return {name: self._checksum for name in self._names if period.holds(self._names[name][1].date())}

    def checksums_of(self, acquisition: Acquisition) -> dict[str, str]:
        """See `ImagerySource.checksums_of`."""
        return {product.id: self._checksum for product in acquisition.products}

    def count(self, granules: Sequence[str], period: Period) -> int:
        """Dates in the period."""
        return sum(period.holds(time.date()) for time in self._times)

    def catalogue(self, granule: str, period: Period, without: Mapping[str, str]) -> Catalogue:
        """See `ImagerySource.catalogue`; every date is an acquisition of one product."""
        acquisitions, left = [], []
        for name, (_, time) in sorted(self._names.items(), key=lambda entry: (entry[1][1], entry[0])):
            if not period.holds(time.date()):
                continue
            if name in without:
                left.append(LeftProduct(name, time, name, without[name]))
            else:
                product = Product(name, self._paths[0].name, "", self._checksum)
                acquisitions.append(Acquisition(name, time, "", None, (product,)))
        return Catalogue(tuple(acquisitions), tuple(left))

    def views(
        self, acquisition: Acquisition, tiles: Sequence[Tile], masking: FetchSettings
    ) -> Iterator[tuple[Tile, View]]:
        """See `ImagerySource.views`."""
        for tile, image in self.images(acquisition, tiles, masking, 1):
            yield tile, View((image.features != NODATA).any(axis=0), image.clear)

    def bytes_to_fetch(self, acquisition: Acquisition, tiles: Sequence[Tile], masking: FetchSettings) -> int:
        """Nothing: the cube is read where it lies."""
        return 0

    def images(
        self,
        acquisition: Acquisition,
        tiles: Sequence[Tile],
        masking: FetchSettings,
        threads: int,
        shift: Shift | None = None,
    ) -> Iterator[tuple[Tile, Image]]:
        """See `ImagerySource.images`; a cube has one grid, so that no date is shifted."""
        if acquisition.id not in self._names:
            raise UnreadableProduct(acquisition.id, f"is no longer in {self.place}")
        time = self._names[acquisition.id][0]
        settings = self._settings
        tags = {"CUBE_SCALE": repr(settings.scale), "CUBE_OFFSET": repr(settings.offset)}
        for tile in tiles:
            try:
                features = np.stack([self._stored(layer, time, tile) for layer in self._layers])
                clear = (features != NODATA).all(axis=0) & self._clear(time, tile, masking)
            except SourceError as error:
                raise UnreadableProduct(acquisition.id, str(error)) from error
            yield tile, Image(features, clear, tags)

    def codes(self, variable: str, raster: Raster) -> npt.NDArray[np.int32]:
        """Codes of a map that is a variable of the cube: (rows, columns) int32, -1 where it has none.

        Raises:
            SourceError: it cannot be read.
            ConfigError: there is no such map, or its values are no whole numbers.
        """
        layer = self._files.layer("reference.variable", variable, False)
        values, covered = layer.on_grid(None, raster)
        known = covered & np.isfinite(values) & ~_is_fill(values, layer.fill)
        whole = np.where(known, values, 0)
        if not (whole == np.rint(whole)).all():
            raise ConfigError(f"reference.variable: {variable} has fractions; a map of codes has whole numbers")
        return np.where(known, whole.astype(np.int64), _NO_CODE).clip(_NO_CODE, _CODE_MAX).astype(np.int32)

    def all_codes(self, variable: str) -> npt.NDArray[np.int32]:
        """Codes of a map of the cube over the whole cube; see `codes`."""
        return self.codes(variable, self.raster)

    def variable_checksums(self, variable: str) -> dict[str, str]:
        """What decides the bytes of a map of the cube: its name, its files, and the cube's settings."""
        layer = self._files.layer("reference.variable", variable, False)
        digests = {path.name: digest_of_path(path) for path in layer.files}
        return {"variable": variable, **digests, **self.identity()}

    @cached_property
    def _checksum(self) -> str:
        layers = [*self._layers, *([] if self._mask is None else [self._mask])]
        files = sorted({path for layer in layers for path in layer.files})
        return digest_of(canonical_json([[path.name, digest_of_path(path)] for path in files]))

    @cached_property
    def _names(self) -> dict[str, tuple[int, datetime]]:
        """Acquisition -> index and time; dates that are there twice get a number."""
        names: dict[str, tuple[int, datetime]] = {}
        for index, time in enumerate(self._times):
            name = base = f"{self._settings.name}_{time:%Y%m%dT%H%M%S}"
            number = 1
            while name in names:
                number += 1
                name = f"{base}-{number}"
            names[name] = (index, time)
        return names

    def _mask_layer(self, mask: CubeMask) -> Layer:
        layer = self._files.layer("source.mask.variable", mask.variable, True)
        if mask.scene_classification and not CRS.from_user_input(self.raster.crs).is_projected:
            raise ConfigError(
                f"source.mask: a scene classification grows by fetcher.fetch.cloud_buffer_m, which needs a CRS in "
                f"metres, not {self.raster.crs}; give a ready clear mask instead"
            )
        return layer

    def _check(self, finest: Layer) -> None:
        layers = {f"source.features.{n}": layer for n, layer in zip(self.features, self._layers, strict=True)}
        if self._mask is not None:
            layers["source.mask.variable"] = self._mask
        for field, layer in layers.items():
            if layer.times != finest.times:
                raise ConfigError(
                    f"{field}: {layer.name} has {len(layer.times)} dates that are not the {len(finest.times)} of "
                    f"{finest.name}; all variables of a cube share their dates"
                )
            if layer.raster.crs not in ("", finest.raster.crs):
                raise ConfigError(
                    f"{field}: {layer.name} is in {layer.raster.crs}, {finest.name} in {finest.raster.crs}; all "
                    "variables of a cube share their CRS"
                )
            left, bottom, right, top = layer.raster.bounds
            other = finest.raster.bounds
            if not (left < other[2] and right > other[0] and bottom < other[3] and top > other[1]):
                raise ConfigError(f"{field}: {layer.name} does not overlap {finest.name}")

    def _stored(self, layer: Layer, time: int, tile: Tile) -> npt.NDArray[np.int16]:
        values, covered = layer.on_grid(time, tile)
        fill = self._settings.nodata if self._settings.nodata is not None else layer.fill
        has_data = covered & np.isfinite(values) & ~_is_fill(values, fill)
        physical = np.where(has_data, values, 0).astype(np.float64) * self._settings.scale + self._settings.offset
        stored = np.rint(physical * REFLECTANCE_SCALE).clip(-_STORED_MAX, _STORED_MAX)
        return np.where(has_data, stored, NODATA).astype(np.int16)

    def _clear(self, time: int, tile: Tile, masking: FetchSettings) -> npt.NDArray[np.bool_]:
        if self._mask is None or self._settings.mask is None:
            return np.ones(tile.shape, dtype=bool)
        if not self._settings.mask.scene_classification:
            values, covered = self._mask.on_grid(time, tile)
            return np.asarray(covered & np.isin(values, self._settings.mask.clear_values))
        scene = _Scene(self._mask, masking)
        clear, covered = scene.layer.on_grid(time, tile)
        return np.asarray(covered & clear.astype(bool))


class _Scene:
    """A scene classification as a layer of clear views, each window read with the margin that clouds grow from."""

    def __init__(self, layer: Layer, masking: FetchSettings) -> None:
        pixel_m = (layer.raster.pixel_height, layer.raster.pixel_width)
        margin = reach_px(masking.cloud_buffer_m, pixel_m)

        def read(time: int | None, rows: slice, columns: slice) -> npt.NDArray[Any]:
            wide_rows = slice(max(0, rows.start - margin[0]), min(layer.raster.height, rows.stop + margin[0]))
            wide_columns = slice(max(0, columns.start - margin[1]), min(layer.raster.width, columns.stop + margin[1]))
            values = layer.read(time, wide_rows, wide_columns)
            scene = np.where(np.isfinite(values), values, 0).clip(0, 255).astype(np.uint8)
            clear = clear_mask(scene, masking.masked_scene_classes, masking.cloud_buffer_m, pixel_m)
            inner: npt.NDArray[np.bool_] = clear[
                rows.start - wide_rows.start : rows.stop - wide_rows.start,
                columns.start - wide_columns.start : columns.stop - wide_columns.start,
            ]
            return inner

        self.layer = Layer(layer.name, layer.raster, layer.times, None, layer.files, read)


def _open_files(settings: CubeSource, paths: Sequence[Path], resolve: Callable[[Path], Path]) -> LayerFiles:
    for path in paths:
        if not path.exists():
            raise SourceError(f"source.paths: there is no {path}; name NetCDF files, Zarr folders, or a NumPy folder")
    if any(path.is_dir() and not _is_zarr(path) for path in paths):
        if len(paths) != 1:
            raise ConfigError("source.paths: a folder of NumPy arrays is given alone, not beside others")
        from landseries_fetcher.sources.numpys import NumpyFolder

        timestamps = None if settings.timestamps is None else resolve(settings.timestamps)
        return NumpyFolder(paths[0], timestamps, settings.crs, settings.bounds)
    from landseries_fetcher.sources.cube_files import CubeFiles

    return CubeFiles(paths, settings.crs, settings.bounds)


def _is_zarr(path: Path) -> bool:
    return any((path / name).exists() for name in ("zarr.json", ".zgroup", ".zmetadata"))


def _in_order(features: Mapping[str, str]) -> tuple[str, ...]:
    """Bands in their usual order, then everything else by name, whatever the order in the file."""
    return (*(band for band in BANDS if band in features), *sorted(name for name in features if name not in BANDS))


def _is_fill(values: npt.NDArray[Any], fill: float | None) -> npt.NDArray[np.bool_]:
    return np.zeros(values.shape, dtype=bool) if fill is None else np.asarray(values == fill)
