"""The search of a granule and a year: what each acquisition shows of each tile, what a tile takes, and why not more."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from landseries.config import Period
from landseries.grid import Tile
from landseries.settings.fetcher import FetchSettings, SearchSettings
from landseries_fetcher.reading import Decoders
from landseries_fetcher.selection import Candidate, choose, longest_gap_days
from landseries_fetcher.sources.base import Acquisition, Catalogue, ImagerySource, LeftProduct, UnreadableProduct, View

#: What became of a product over a tile: taken; not needed beside the others; too cloudy; of a partial orbit; without
#: any clear view; or, for all tiles, a duplicate or damaged.
Kind = Literal["taken", "spare", "cloudy", "partial", "unseen", "unusable"]


@dataclass(frozen=True)
class Shares:
    """How much of a tile's part of the area an acquisition shows, in shares of its pixels.

    Attributes:
        nodata: without data.
        clear: clear views.
    """

    nodata: float
    clear: float

    @property
    def masked_of_data(self) -> float:
        """Share of the pixels with data that are no clear view."""
        return 1.0 - self.clear / (1.0 - self.nodata) if self.nodata < 1.0 else 0.0


@dataclass(frozen=True)
class Looked:
    """A catalogue whose every acquisition could be looked at, and what they show of each tile."""

    catalogue: Catalogue
    shares: Mapping[str, Mapping[str, Shares]]


def look(
    source: ImagerySource,
    granule: str,
    period: Period,
    tiles: Mapping[Tile, npt.NDArray[np.bool_]],
    masking: FetchSettings,
    threads: int,
) -> Looked:
    """Look at every acquisition of a granule and a period; where one cannot be read, its duplicate takes over.

    Args:
        source: the source.
        granule: the granule.
        period: the days.
        tiles: tiles of the granule, each with its part of the area, (rows, columns) bool.
        masking: how clear views are told, the same as in the fetch.
        threads: acquisitions that are looked at side by side.

    Raises:
        SourceError: the source as a whole cannot be read.
    """
    without: dict[str, str] = {}
    seen: dict[tuple[str, ...], dict[str, Shares]] = {}

    def one(acquisition: Acquisition) -> dict[str, Shares] | UnreadableProduct:
        try:
            views = source.views(acquisition, list(tiles), masking)
            return {tile.id: _shares(view, tiles[tile]) for tile, view in views}
        except UnreadableProduct as error:
            return error

    with Decoders(threads) as decoders:
        while True:
            catalogue = source.catalogue(granule, period, without)
            new = [acquisition for acquisition in catalogue.acquisitions if _key(acquisition) not in seen]
            failed = False
            for acquisition, found in zip(new, decoders.map(one, new), strict=True):
                if isinstance(found, UnreadableProduct):
                    without[found.product] = found.reason
                    failed = True
                else:
                    seen[_key(acquisition)] = found
            if not failed:
                return Looked(catalogue, {a.id: seen[_key(a)] for a in catalogue.acquisitions})


def decide(
    looked: Looked, tile: Tile, period: Period, settings: SearchSettings, thresholds: bool
) -> tuple[list[str], list[dict[str, Any]]]:
    """What a tile takes.

    Args:
        looked: what there is.
        tile: the tile.
        period: the days.
        settings: thresholds and the number a year.
        thresholds: whether those of cloud and no-data apply.

    Returns:
        Ids of the acquisitions in order of time, and a verdict with its reason on every product.
    """
    shares = {a.id: looked.shares[a.id][tile.id] for a in looked.catalogue.acquisitions}
    refusals = {name: _refusal(share, settings, thresholds) for name, share in shares.items()}
    fit = [a for a in looked.catalogue.acquisitions if refusals[a.id] is None]
    taken = choose([_candidate(a, shares[a.id], period) for a in fit], settings.per_year, _length_days(period))
    of_all = "" if len(taken) == len(fit) else f"one of the {len(taken)} of {len(fit)} that spread best"
    spare = f"not among the {settings.per_year} of {len(fit)} whose clear views spread best over the period"
    verdicts = [_verdict_left(product) for product in looked.catalogue.left]
    for acquisition in looked.catalogue.acquisitions:
        kind, reason = refusals[acquisition.id] or ("spare", spare)
        if acquisition.id in taken:
            kind, reason = "taken", of_all
        verdicts += _verdicts(acquisition, shares[acquisition.id], kind, reason)
    return taken, sorted(verdicts, key=lambda verdict: (verdict["datetime"], verdict["product"]))


def gap_days(looked: Looked, tile: Tile, period: Period, taken: Collection[str]) -> float:
    """The longest time in days of a period in which no acquisition that a tile takes sees half of it clearly."""
    candidates = [
        _candidate(acquisition, looked.shares[acquisition.id][tile.id], period)
        for acquisition in looked.catalogue.acquisitions
        if acquisition.id in taken
    ]
    return round(longest_gap_days(candidates, _length_days(period)), 2)


def _candidate(acquisition: Acquisition, share: Shares, period: Period) -> Candidate:
    return Candidate(_days(acquisition.sensed, period), acquisition.id, share.clear)


def _length_days(period: Period) -> float:
    return (period.end - period.start).days + 1.0


def _shares(view: View, inside: npt.NDArray[np.bool_]) -> Shares:
    rows, columns = view.clear.shape
    factor_rows, factor_columns = inside.shape[0] // rows, inside.shape[1] // columns
    # A coarse pixel counts by how many of the tile's own pixels in it belong to the area.
    weights = inside.reshape(rows, factor_rows, columns, factor_columns).sum(axis=(1, 3), dtype=np.int64)
    total = max(int(weights.sum()), 1)
    with_data = int((weights * view.has_data).sum())
    return Shares(1.0 - with_data / total, int((weights * view.clear).sum()) / total)


def _refusal(share: Shares, settings: SearchSettings, thresholds: bool) -> tuple[Kind, str] | None:
    """Why a tile cannot take an acquisition, in a word and in a sentence."""
    nodata, cloud = 100 * share.nodata, 100 * share.masked_of_data
    if thresholds and nodata > settings.max_nodata_percent:
        return (
            "partial",
            f"partial orbit: {nodata:.1f} % no-data over the tile, more than {settings.max_nodata_percent:g} %",
        )
    if thresholds and cloud > settings.max_cloud_percent:
        return "cloudy", f"cloudy: {cloud:.1f} % masked over the tile, more than {settings.max_cloud_percent:g} %"
    return None if share.clear > 0 else ("unseen", "no clear view over the tile")


def _verdicts(acquisition: Acquisition, share: Shares, kind: Kind, reason: str) -> list[dict[str, Any]]:
    return [
        {
            "acquisition": acquisition.id,
            "product": product.id,
            "datetime": acquisition.sensed.isoformat(),
            "verdict": "taken" if kind == "taken" else "left",
            "kind": kind,
            "reason": reason,
            "cloud_percent": round(100 * share.masked_of_data, 2),
            "nodata_percent": round(100 * share.nodata, 2),
        }
        for product in acquisition.products
    ]


def _verdict_left(product: LeftProduct) -> dict[str, Any]:
    return {
        "acquisition": product.acquisition,
        "product": product.product,
        "datetime": product.sensed.isoformat(),
        "verdict": "left",
        "kind": "unusable",
        "reason": product.reason,
        "cloud_percent": None,
        "nodata_percent": None,
    }


def _days(sensed: datetime, period: Period) -> float:
    return (sensed - datetime.combine(period.start, time())).total_seconds() / 86_400


def _key(acquisition: Acquisition) -> tuple[str, ...]:
    return tuple(product.id for product in acquisition.products)


def summary(looked: Looked, tiles: Sequence[Tile], verdicts: Mapping[str, Any]) -> dict[str, Any]:
    """The acquisitions that some tile could take, and the verdicts by tile."""
    return {
        "acquisitions": {a.id: a.as_json() for a in looked.catalogue.acquisitions},
        "tiles": {tile.id: verdicts[tile.id] for tile in tiles},
    }
