"""The metadata of a catalogue's product, and the offset of its numbers by the order of trust.

The product's own metadata is trusted most; where a catalogue does not hold it, what the catalogue says of the assets,
if it agrees with the processing baseline. Some collections changed the numbers of some products: there only the
numbers themselves tell.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Final

from landseries.bands import BANDS, REFLECTANCE_SCALE
from landseries.settings.catalogues import SCENE, CatalogueSource
from landseries_fetcher.sources.catalogue_files import CatalogueFiles
from landseries_fetcher.sources.harmonised import offset_of_pixels
from landseries_fetcher.sources.metadata import (
    FOREIGN_BASELINE,
    OFFSET,
    OFFSET_SINCE,
    BadMetadata,
    ProductMetadata,
    parse_offsets,
    parse_quantification,
    parse_xml,
    read_metadata,
    read_refining,
)
from landseries_fetcher.sources.stac_items import Item, asset_scaling, datastrip_start, geocoding, nodata_percent

_BASELINE: Final = re.compile(r"(\d{2})\.(\d{2})", re.ASCII)


def metadata_of(item: Item, source: CatalogueSource, files: CatalogueFiles) -> ProductMetadata:
    """What a product says of itself, or what its catalogue says of it.

    Args:
        item: the product.
        source: names of the assets, and how offsets are found.
        files: reads assets.

    Raises:
        BadMetadata: it is missing, cannot be read, or contradicts itself.
        RemoteError: it cannot be read now.
    """
    known = _from_files(item, source, files) if source.offsets != "pixels" else None
    if known is None:
        known = _from_catalogue(item, source, files)
    if source.offsets == "asset":
        scaling = asset_scaling(item, source.assets)
        if scaling is None:
            raise BadMetadata("the catalogue gives no scale and offset of its bands; write `offsets: metadata`")
        known = replace(known, offsets=scaling[0], quantification=scaling[1], offset_origin="asset")
    if source.offsets == "pixels" and known.baseline >= OFFSET_SINCE:
        scene, red = (files.look(item, item.asset(source.assets[image])) for image in (SCENE, "B04"))
        offset = offset_of_pixels(red, scene)
        known = replace(known, offsets=dict.fromkeys(BANDS, offset), offset_origin="pixels")
    datastrip = None if source.datastrip_metadata is None else item.assets.get(source.datastrip_metadata)
    if datastrip is not None:
        with files.document(item, datastrip) as path:
            known = replace(known, refined=read_refining(path))
    return known


def _from_files(item: Item, source: CatalogueSource, files: CatalogueFiles) -> ProductMetadata | None:
    """From both files of the product, as in a folder of products; None where the catalogue does not hold both."""
    names = (source.product_metadata, source.granule_metadata)
    assets = [item.assets.get(name) for name in names if name is not None]
    if len(assets) != 2 or assets[0] is None or assets[1] is None:
        return None
    with tempfile.TemporaryDirectory(prefix="landseries-metadata-") as folder:
        root = Path(folder)
        granule = root / "GRANULE" / "only"
        granule.mkdir(parents=True)
        for asset, target in zip(assets, (root / "MTD_MSIL2A.xml", granule / "MTD_TL.xml"), strict=True):
            assert asset is not None
            with files.document(item, asset) as path:
                shutil.copyfile(path, target)
        known = read_metadata(root, item.name)
    _check_baseline(item, known.baseline)
    return known


def _from_catalogue(item: Item, source: CatalogueSource, files: CatalogueFiles) -> ProductMetadata:
    """From the item, and the product's metadata where the catalogue holds that alone."""
    baseline = item.name.baseline
    _check_baseline(item, baseline)
    if baseline == FOREIGN_BASELINE:
        raise BadMetadata("its processing baseline is 99.99: not ESA's, and nothing says which offset it has")
    quantification = float(REFLECTANCE_SCALE)
    by_baseline = dict.fromkeys(BANDS, OFFSET if baseline >= OFFSET_SINCE else 0)
    offsets, origin = by_baseline, "baseline"
    document = None if source.product_metadata is None else item.assets.get(source.product_metadata)
    if source.offsets == "metadata" and document is not None:
        with files.document(item, document) as path:
            root = parse_xml(path)
        offsets, origin = parse_offsets(root, baseline)
        quantification = parse_quantification(root)
    elif source.offsets == "metadata":
        scaling = asset_scaling(item, source.assets)
        if scaling is not None:
            offsets, quantification, origin = *scaling, "asset"
            if offsets != by_baseline:
                raise BadMetadata(
                    f"the catalogue gives B04 the offset {offsets['B04']} where its baseline "
                    f"{baseline[0]:02d}.{baseline[1]:02d} means {by_baseline['B04']}: one of them is wrong"
                )
    return ProductMetadata(
        datatake_start=f"{item.name.datatake_start:%Y-%m-%dT%H:%M:%S}",
        baseline=baseline,
        offsets=offsets,
        offset_origin=origin,
        quantification=quantification,
        datastrip_start=datastrip_start(item),
        nodata_percent=nodata_percent(item),
        geocoding=geocoding(item, source.assets),
    )


def _check_baseline(item: Item, baseline: tuple[int, int]) -> None:
    """Refuse a product whose name, metadata and catalogue disagree: one of them belongs to another product.

    Raises:
        BadMetadata: they do.
    """
    text = item.properties.get("s2:processing_baseline", item.properties.get("processing:version"))
    found = _BASELINE.fullmatch(text) if isinstance(text, str) else None
    said = baseline if found is None else (int(found[1]), int(found[2]))
    if not baseline == said == item.name.baseline:
        raise BadMetadata(
            f"its baseline is {baseline[0]:02d}.{baseline[1]:02d} in its metadata, {text} in the catalogue and "
            f"{item.name.baseline[0]:02d}.{item.name.baseline[1]:02d} in its name: which offset it has cannot be told"
        )
