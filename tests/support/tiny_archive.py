"""A tiny archive: SAFE products of 120 x 80 pixels, or of any size, with known numbers and what a reader needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from affine import Affine

from landseries.bands import BANDS, GROUND_SAMPLING_DISTANCE_M

LEFT_M, TOP_M = 699_960.0, 5_160_960.0
ROWS, COLUMNS = 120, 80


@dataclass(frozen=True)
class TinyProduct:
    """What to write; digital numbers of a band are `level` + its place in BANDS, 0 where `scene` is 0."""

    start: str = "20180705T101021"
    baseline: str = "0208"
    orbit: int = 22
    granule: str = "32TQS"
    discriminator: str = "20180705T134512"
    platform: str = "S2A"
    datastrip: str = "20180705T101017"
    level: int = 2_000
    offset: int | None = None
    metadata_name: str = "MTD_MSIL2A.xml"
    quantification: str = "10000"
    epsg: int = 32632
    scene: npt.NDArray[np.uint8] | None = None
    numbers: Mapping[str, npt.NDArray[np.uint16]] = field(default_factory=dict)
    shape: tuple[int, int] = (ROWS, COLUMNS)
    block_px: int = 64
    resolutions: int = 1
    refining: str | None = None

    @property
    def name(self) -> str:
        return (
            f"{self.platform}_MSIL2A_{self.start}_N{self.baseline}_R{self.orbit:03d}_T{self.granule}"
            f"_{self.discriminator}"
        )

    @property
    def acquisition(self) -> str:
        return f"{self.platform}_{self.start}_R{self.orbit:03d}_T{self.granule}"


def scene_of(value: int = 4, shape: tuple[int, int] = (ROWS, COLUMNS)) -> npt.NDArray[np.uint8]:
    """A scene classification at 20 m with one value."""
    return np.full((shape[0] // 2, shape[1] // 2), value, dtype=np.uint8)


def write_product(folder: Path, product: TinyProduct) -> Path:
    """Write a product as an archive delivers it."""
    root = folder / f"{product.name}.SAFE"
    granule = root / "GRANULE" / f"L2A_T{product.granule}_A015852_{product.datastrip}"
    scene = scene_of(shape=product.shape) if product.scene is None else product.scene
    has_data = scene.repeat(2, axis=0).repeat(2, axis=1) != 0
    for place, band in enumerate(BANDS):
        pixel_m = GROUND_SAMPLING_DISTANCE_M[band]
        step = pixel_m // 10
        full = np.full(product.shape, product.level + place, dtype=np.uint16)
        values = product.numbers.get(band, np.where(has_data, full, 0)[::step, ::step])
        _write_image(granule, product, band, pixel_m, values.astype(np.uint16))
    _write_image(granule, product, "SCL", 20, scene)
    (granule / "MTD_TL.xml").write_text(_tile_xml(product), encoding="utf-8")
    (root / product.metadata_name).write_text(_product_xml(product), encoding="utf-8")
    if product.refining is not None:
        datastrip = root / "DATASTRIP" / f"DS_{product.datastrip}" / "MTD_DS.xml"
        datastrip.parent.mkdir(parents=True)
        datastrip.write_text(_datastrip_xml(product), encoding="utf-8")
    return root


def _write_image(granule: Path, product: TinyProduct, band: str, pixel_m: int, values: npt.NDArray[Any]) -> None:
    path = granule / "IMG_DATA" / f"R{pixel_m}m" / f"T{product.granule}_{product.start}_{band}_{pixel_m}m.jp2"
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path,
        "w",
        driver="JP2OpenJPEG",
        width=values.shape[1],
        height=values.shape[0],
        count=1,
        dtype=values.dtype.name,
        crs=f"EPSG:{product.epsg}",
        transform=Affine(pixel_m, 0, LEFT_M, 0, -pixel_m, TOP_M),
        QUALITY="100",
        REVERSIBLE="YES",
        RESOLUTIONS=str(product.resolutions),
        tiled=True,
        BLOCKXSIZE=product.block_px,
        BLOCKYSIZE=product.block_px,
    ) as target:
        target.write(values, 1)


def _product_xml(product: TinyProduct) -> str:
    offsets = ""
    if product.offset is not None:
        each = "".join(f'<BOA_ADD_OFFSET band_id="{i}">{product.offset}</BOA_ADD_OFFSET>' for i in range(13))
        offsets = f"<BOA_ADD_OFFSET_VALUES_LIST>{each}</BOA_ADD_OFFSET_VALUES_LIST>"
    day = product.start
    start = f"{day[:4]}-{day[4:6]}-{day[6:8]}T{day[9:11]}:{day[11:13]}:{day[13:]}.024Z"
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<n1:Level-2A_User_Product xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/User_Product_Level-2A.xsd">'
        "<n1:General_Info><Product_Info>"
        f"<PROCESSING_BASELINE>{product.baseline[:2]}.{product.baseline[2:]}</PROCESSING_BASELINE>"
        f"<Datatake><DATATAKE_SENSING_START>{start}</DATATAKE_SENSING_START></Datatake>"
        "</Product_Info><Product_Image_Characteristics><QUANTIFICATION_VALUES_LIST>"
        f'<BOA_QUANTIFICATION_VALUE unit="none">{product.quantification}</BOA_QUANTIFICATION_VALUE>'
        f"</QUANTIFICATION_VALUES_LIST>{offsets}</Product_Image_Characteristics></n1:General_Info>"
        "<n1:Quality_Indicators_Info><Image_Content_QI>"
        "<NODATA_PIXEL_PERCENTAGE>12.5</NODATA_PIXEL_PERCENTAGE></Image_Content_QI></n1:Quality_Indicators_Info>"
        "</n1:Level-2A_User_Product>"
    )


def _datastrip_xml(product: TinyProduct) -> str:
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<n1:Level-2A_DataStrip_ID xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/S2_PDI_Level-2A_Datastrip.xsd">'
        '<n1:Image_Data_Info><Geometric_Info metadataLevel="Standard"><RGM>COMPUTED</RGM>'
        f'<Image_Refining flag="{product.refining}"><Performance>0.3</Performance></Image_Refining>'
        "</Geometric_Info></n1:Image_Data_Info></n1:Level-2A_DataStrip_ID>"
    )


def _tile_xml(product: TinyProduct) -> str:
    rows, columns = product.shape
    sizes = "".join(
        f'<Size resolution="{m}"><NROWS>{rows * 10 // m}</NROWS><NCOLS>{columns * 10 // m}</NCOLS></Size>'
        f'<Geoposition resolution="{m}"><ULX>{LEFT_M:.0f}</ULX><ULY>{TOP_M:.0f}</ULY></Geoposition>'
        for m in (10, 20)
    )
    strip = f"{product.platform}_OPER_MSI_L2A_DS_VGS2_{product.discriminator}_S{product.datastrip}_N02.08"
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<n1:Level-2A_Tile_ID xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/S2_PDI_Level-2A_Tile_Metadata.xsd">'
        f"<n1:General_Info><DATASTRIP_ID>{strip}</DATASTRIP_ID></n1:General_Info>"
        "<n1:Geometric_Info><Tile_Geocoding>"
        f"<HORIZONTAL_CS_CODE>EPSG:{product.epsg}</HORIZONTAL_CS_CODE>{sizes}"
        "</Tile_Geocoding></n1:Geometric_Info></n1:Level-2A_Tile_ID>"
    )
