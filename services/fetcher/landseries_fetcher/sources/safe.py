"""A folder of Sentinel-2 L2A products, as the archives deliver them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from shapely.geometry.base import BaseGeometry

from landseries.config import Period
from landseries.errors import SourceError
from landseries.grid import Tile
from landseries.settings.fetcher import FetchSettings
from landseries_fetcher.images import LocalImage
from landseries_fetcher.sources.base import Acquisition, UnreadableProduct
from landseries_fetcher.sources.level2a import IMAGES, Level2A, Listed
from landseries_fetcher.sources.metadata import PRODUCT_METADATA, ProductMetadata, parse_name, read_metadata


class SafeFolder(Level2A):
    """Products in a folder, as a source."""

    def __init__(self, folder: Path) -> None:
        """Look into the folder.

        Raises:
            SourceError: it does not exist, or holds no product.
        """
        super().__init__(_Folder(folder))

    def bytes_to_fetch(self, acquisition: Acquisition, tiles: Sequence[Tile], masking: FetchSettings) -> int:
        """Nothing: products are read where they lie."""
        return 0


class _Folder:
    """See `landseries_fetcher.sources.level2a.Archive`; paths are names of product folders."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            names = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())
        except OSError as error:
            raise SourceError(f"source.path: {folder} cannot be read: {error.strerror or error}") from error
        self._products = products_among(names, str(folder))

    @property
    def place(self) -> str:
        return str(self._folder)

    def granules(self, area: BaseGeometry | None, periods: Sequence[Period]) -> tuple[str, ...]:
        return tuple(sorted({product.name.granule for product in self._products}))

    def listed(self, granule: str, period: Period) -> list[Listed]:
        return of_granule(self._products, granule, period)

    def checksum(self, product: Listed) -> str:
        """SHA-256 over a product's metadata, and the names and sizes of its files.

        Reading every image to the end would cost as much as a search; an archive never changes an image in place.
        """
        root = self._folder / product.path
        files = sorted((path.relative_to(root).as_posix(), path) for path in root.rglob("*") if path.is_file())
        digest = hashlib.sha256()
        for name, path in files:
            digest.update(f"{name}\0{path.stat().st_size}\0".encode())
            if path.name in PRODUCT_METADATA or path.name == "MTD_TL.xml":
                digest.update(path.read_bytes())
        return digest.hexdigest()

    def metadata(self, product: Listed) -> ProductMetadata:
        return read_metadata(self._root(product), product.name)

    def images(self, product: Listed) -> dict[tuple[str, int], LocalImage]:
        return images_of(self._root(product))

    def _root(self, product: Listed) -> Path:
        root = self._folder / product.path
        if not root.is_dir():
            raise UnreadableProduct(product.name.id, f"is no longer in {self._folder}")
        return root


def products_among(names: Sequence[str], place: str) -> list[Listed]:
    """The products among the names of folders.

    Args:
        names: of the folders in a place.
        place: for messages.

    Raises:
        SourceError: there is none.
    """
    found = ((parse_name(name), name) for name in names if name.endswith(".SAFE"))
    products = [Listed(name, folder_name) for name, folder_name in found if name is not None]
    if not products:
        raise SourceError(
            f"source.path: {place} holds no Level-2A product; it must hold folders such as "
            "S2A_MSIL2A_20180705T101021_N0208_R022_T32TPS_20180705T134512.SAFE, each with its MTD_MSIL2A.xml"
        )
    return products


def of_granule(products: Sequence[Listed], granule: str, period: Period) -> list[Listed]:
    """The products of a granule whose datatake began in a period."""
    return [one for one in products if one.name.granule == granule and period.holds(one.name.datatake_start.date())]


def image_pattern(image: str, pixel_m: int) -> str:
    """Where an image of so many metres lies in a product."""
    return f"GRANULE/*/IMG_DATA/R{pixel_m}m/*_{image}_{pixel_m}m.jp2"


def images_of(root: Path) -> dict[tuple[str, int], LocalImage]:
    """The images of a product folder: (image, pixel size in metres) -> file."""
    files = {}
    for image, pixel_m in IMAGES:
        for path in sorted(root.glob(image_pattern(image, pixel_m))):
            files[(image, pixel_m)] = LocalImage(path)
    return files
