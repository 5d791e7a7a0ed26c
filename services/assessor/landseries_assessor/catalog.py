"""The STAC collection over the maps: one item per year, relative links, class names and colours, attribution.

STAC 1.1 with the projection, raster and classification extensions (https://stacspec.org).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, time
from typing import Any, Final

import pystac
import shapely
from rasterio.crs import CRS
from shapely.geometry.base import BaseGeometry

from landseries.config import Period
from landseries.grid import Raster
from landseries.legend import Legend
from landseries_assessor import layout
from landseries_assessor.mosaic import NO_VALUE
from landseries_assessor.notices import attributions
from landseries_assessor.results import LAYERS, ResultFile, Results

EXTENSIONS: Final = (
    "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "https://stac-extensions.github.io/raster/v2.0.0/schema.json",
    "https://stac-extensions.github.io/classification/v2.0.0/schema.json",
)
_COG: Final = str(pystac.MediaType.COG)
_COLLECTION: Final = "collection.json"
#: Probabilities and confidence are stored in 1/200.
_STEP: Final = 0.005

Catalogue = dict[str, dict[str, Any]]


def catalogue(results: Results, legend: Legend, periods: Mapping[int, Period], name: str) -> Catalogue:
    """Build the collection and its items.

    Args:
        results: the run's result files.
        legend: the maps' legend.
        periods: days of each year's series.
        name: name of the run.

    Returns:
        File name in the STAC folder -> JSON object. Nothing where no year has a map.
    """
    years = results.mapped_years()
    if not years:
        return {}
    footprint = shapely.union_all([grid.footprint() for grid in results.granules.values()])
    start, end = _instants(periods[years[0]])[0], _instants(periods[years[-1]])[1]
    collection = pystac.Collection(
        id=name,
        title=f"Annual land cover {years[0]}–{years[-1]}, {name}",
        description=f"Land-cover maps of {', '.join(map(str, years))} ({legend.title}), one item per year, with "
        "class probabilities, confidence and clear-view counts. " + ". ".join(attributions(years, legend)) + ".",
        extent=pystac.Extent(pystac.SpatialExtent([list(footprint.bounds)]), pystac.TemporalExtent([[start, end]])),
        license="other",
        keywords=["land cover", "Sentinel-2", "time series"],
        providers=[
            pystac.Provider(
                "Copernicus Sentinel", roles=[pystac.ProviderRole.PRODUCER], url="https://dataspace.copernicus.eu"
            )
        ],
        extra_fields={"attribution": attributions(years, legend)},
    )
    for key, (path, media, title) in _documents().items():
        collection.add_asset(key, pystac.Asset(f"../{path}", title=title, media_type=media, roles=["metadata"]))
    for model in results.models:
        for file in results.changes(model):
            asset = _asset(
                file, results.granules[file.granule], f"Number of changes, {model}, {file.granule}", NO_VALUE
            )
            collection.add_asset(f"changes_{model}_{file.granule}", asset)
    collection.add_link(pystac.Link("root", f"./{_COLLECTION}", media_type=pystac.MediaType.JSON))
    documents: Catalogue = {}
    for year in years:
        item = _item(results, legend, periods[year], year, name, footprint)
        documents[f"{year}.json"] = item.to_dict(include_self_link=False, transform_hrefs=False)
        collection.add_link(pystac.Link("item", f"./{year}.json", media_type=pystac.MediaType.GEOJSON, title=str(year)))
    documents[_COLLECTION] = collection.to_dict(include_self_link=False, transform_hrefs=False)
    documents[_COLLECTION]["stac_extensions"] = list(EXTENSIONS[:1])
    return documents


def _documents() -> dict[str, tuple[str, str, str]]:
    return {
        "report": (layout.REPORT, "text/html", "Report"),
        "assessment": (layout.ASSESSMENT, "application/json", "Agreement, accuracy and change"),
        "style": (f"{layout.STYLES}/classes.qml", "application/xml", "QGIS style of the class maps"),
    }


def _item(
    results: Results, legend: Legend, period: Period, year: int, name: str, footprint: BaseGeometry
) -> pystac.Item:
    start, end = _instants(period)
    item = pystac.Item(
        id=f"{name}-{year}",
        geometry=shapely.geometry.mapping(footprint),
        bbox=list(footprint.bounds),
        datetime=None,
        start_datetime=start,
        end_datetime=end,
        properties={"title": f"Land cover {year}", "attribution": attributions([year], legend)},
        stac_extensions=list(EXTENSIONS),
        collection=name,
    )
    codes = {_code(grid) for grid in results.granules.values()}
    if len(codes) == 1 and None not in codes:
        item.properties["proj:code"] = codes.pop()
    for model in results.models:
        for layer in LAYERS:
            for file in results.maps(model, year, layer):
                asset = _map_asset(file, results.granules[file.granule], legend, model, layer)
                item.add_asset(f"{layer}_{model}_{file.granule}", asset)
    for file in results.composites(year):
        asset = _asset(file, results.granules[file.granule], f"True colour, {file.granule}", 0, roles=("visual",))
        item.add_asset(f"composite_{file.granule}", asset)
    for relation in ("collection", "parent", "root"):
        item.add_link(pystac.Link(relation, f"./{_COLLECTION}", media_type=pystac.MediaType.JSON))
    return item


def _map_asset(file: ResultFile, grid: Raster, legend: Legend, model: str, layer: str) -> pystac.Asset:
    nodata = {"class": 0, "clear_views": None}.get(layer, NO_VALUE)
    asset = _asset(file, grid, f"{layer.replace('_', ' ').capitalize()}, {model}, {file.granule}", nodata)
    asset.extra_fields["landseries:model"] = model
    if layer == "class":
        asset.extra_fields["classification:classes"] = _classes(legend)
    elif layer == "probabilities":
        asset.extra_fields["bands"] = [{"name": name, "raster:scale": _STEP} for name in legend.names]
    elif layer == "confidence":
        asset.extra_fields["raster:scale"] = _STEP
    return asset


def _asset(
    file: ResultFile, grid: Raster, title: str, nodata: int | None, roles: Sequence[str] = ("data",)
) -> pystac.Asset:
    code = _code(grid)
    fields: dict[str, Any] = {
        "data_type": "uint8",
        **({"proj:code": code} if code else {"proj:wkt2": CRS.from_user_input(grid.crs).to_wkt()}),
        "proj:shape": list(grid.shape),
        "proj:transform": list(grid.transform)[:6],
        "proj:bbox": list(grid.bounds),
    }
    if nodata is not None:
        fields["nodata"] = nodata
    return pystac.Asset(f"../{file.name}", title=title, media_type=_COG, roles=list(roles), extra_fields=fields)


def _classes(legend: Legend) -> list[dict[str, Any]]:
    nothing = {"value": 0, "name": "no-data", "title": "No data", "nodata": True}
    return [nothing] + [
        {
            "value": entry.id,
            "name": re.sub(r"[^0-9A-Za-z_-]+", "-", entry.name),
            "title": entry.name,
            "color_hint": entry.colour[1:].upper(),
        }
        for entry in legend.classes
    ]


def _code(grid: Raster) -> str | None:
    authority = CRS.from_user_input(grid.crs).to_authority()
    return None if authority is None else ":".join(authority)


def _instants(period: Period) -> tuple[datetime, datetime]:
    """First and last second of a period, UTC."""
    first = datetime.combine(period.start, time(0, 0, 0), UTC)
    return first, datetime.combine(period.end, time(23, 59, 59), UTC)
