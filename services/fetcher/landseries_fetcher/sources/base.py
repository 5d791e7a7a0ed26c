"""What every source of imagery can do, whatever lies behind it; and the nouns: product, acquisition, view, image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from shapely.geometry.base import BaseGeometry

from landseries.config import Period
from landseries.grid import Raster, Tile
from landseries.settings.fetcher import FetchSettings
from landseries_fetcher.harmony.shifts import Shift


class UnreadableProduct(Exception):
    """A product whose metadata or images cannot be read.

    Attributes:
        product: its id.
        reason: what a person should know, with the file's name.
    """

    def __init__(self, product: str, reason: str) -> None:
        super().__init__(f"{product}: {reason}")
        self.product = product
        self.reason = reason


@dataclass(frozen=True)
class Product:
    """One product of an acquisition.

    Attributes:
        id: name of the product.
        path: where it lies, relative to the source's folder.
        baseline: processing baseline such as `05.09`; empty where there is none.
        checksum: changes when the product does.
    """

    id: str
    path: str
    baseline: str
    checksum: str

    def as_json(self) -> dict[str, str]:
        """The product as a JSON object, the inverse of `Product(**json)`."""
        return {"id": self.id, "path": self.path, "baseline": self.baseline, "checksum": self.checksum}


@dataclass(frozen=True)
class Acquisition:
    """Platform, datatake and relative orbit within a granule: one product, or the two halves of one datatake.

    Attributes:
        id: for example `S2A_20180705T101021_R022_T32TPS`.
        sensed: start of sensing, UTC, without a time zone.
        platform: for example `S2A`; empty for a cube.
        relative_orbit: 1..143; None for a cube.
        products: in the order in which they fill the image; later ones only where earlier ones have no data.
    """

    id: str
    sensed: datetime
    platform: str
    relative_orbit: int | None
    products: tuple[Product, ...]

    def as_json(self) -> dict[str, Any]:
        """The acquisition as a JSON object."""
        return {
            "datetime": self.sensed.isoformat(),
            "platform": self.platform,
            "relative_orbit": self.relative_orbit,
            "products": [product.as_json() for product in self.products],
        }

    @classmethod
    def from_json(cls, name: str, content: Mapping[str, Any]) -> Acquisition:
        """The inverse of `as_json`; further fields are ignored."""
        return cls(
            id=name,
            sensed=datetime.fromisoformat(content["datetime"]),
            platform=content["platform"],
            relative_orbit=content["relative_orbit"],
            products=tuple(Product(**product) for product in content["products"]),
        )


@dataclass(frozen=True)
class LeftProduct:
    """A product that is not used, and why; the acquisition is None where it could not be told."""

    product: str
    sensed: datetime
    acquisition: str | None
    reason: str


@dataclass(frozen=True)
class Catalogue:
    """The products of a granule and a period: those in use, by acquisition in order of time, and those left."""

    acquisitions: tuple[Acquisition, ...] = ()
    left: tuple[LeftProduct, ...] = ()


@dataclass(frozen=True)
class View:
    """What an acquisition shows of a tile, for the selection.

    Attributes:
        has_data: (rows, columns) bool; the tile's own pixels or coarser ones that divide it evenly.
        clear: (rows, columns) bool, True where the fetch would call it a clear view.
    """

    has_data: npt.NDArray[np.bool_]
    clear: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Image:
    """What an acquisition shows of a tile, in full.

    Attributes:
        features: (feature, rows, columns) int16, value x 10,000, -32768 for no-data.
        clear: (rows, columns) bool, True where the view is clear and every feature has data.
        tags: how values were made, for the file's metadata.
    """

    features: npt.NDArray[np.int16]
    clear: npt.NDArray[np.bool_]
    tags: Mapping[str, str] = field(default_factory=dict)


class ImagerySource(Protocol):
    """A source of imagery."""

    @property
    def features(self) -> tuple[str, ...]:
        """Features of every image, in stored order."""

    def granules_over(self, area: BaseGeometry | None, periods: Sequence[Period]) -> tuple[str, ...]:
        """MGRS tiles of which the source has products, at least those that touch an area; or the one cube's name.

        Raises:
            SourceError: the source cannot be read.
        """

    @property
    def raster(self) -> Raster | None:
        """A cube's own grid; None where tiles follow the UTM lattice."""

    @property
    def is_selected_by_share(self) -> bool:
        """Whether the thresholds of cloud and no-data apply (an archive) or every acquisition counts (a cube)."""

    @property
    def place(self) -> str:
        """Where the source lies, for messages."""

    def identity(self) -> dict[str, str]:
        """Settings that decide the bytes of an image beside its products' checksums."""

    def checksums(self, granule: str, period: Period) -> dict[str, str]:
        """Product id -> checksum of all products of a granule and a period."""

    def checksums_of(self, acquisition: Acquisition) -> dict[str, str]:
        """Product id -> checksum, as it is now, of the products of an acquisition."""

    def count(self, granules: Sequence[str], period: Period) -> int:
        """Roughly how many acquisitions some granules have in a period."""

    def catalogue(self, granule: str, period: Period, without: Mapping[str, str]) -> Catalogue:
        """Products of a granule and a period; those in `without` (id -> reason) are left, and others take over.

        Raises:
            SourceError: the source as a whole cannot be read.
        """

    def views(
        self, acquisition: Acquisition, tiles: Sequence[Tile], masking: FetchSettings
    ) -> Iterator[tuple[Tile, View]]:
        """What an acquisition shows of tiles of one granule.

        Raises:
            UnreadableProduct: its scene classification cannot be read.
        """

    def bytes_to_fetch(self, acquisition: Acquisition, tiles: Sequence[Tile], masking: FetchSettings) -> int:
        """Roughly how many bytes come over the network when tiles of one granule are read; 0 where files are local.

        What may be in a cache already is counted, so that the figure depends on the acquisition alone.

        Raises:
            SourceError: the source stayed away.
        """

    def images(
        self,
        acquisition: Acquisition,
        tiles: Sequence[Tile],
        masking: FetchSettings,
        threads: int,
        shift: Shift | None = None,
    ) -> Iterator[tuple[Tile, Image]]:
        """Read an acquisition over tiles of one granule; memory does not grow with their number.

        Args:
            acquisition, tiles: what is read.
            masking: how clear views are told.
            threads: images that are decoded side by side.
            shift: how far the acquisition lies from where it should, to be undone; None for not at all.

        Raises:
            UnreadableProduct: a product cannot be read, or has changed since the search.
        """
