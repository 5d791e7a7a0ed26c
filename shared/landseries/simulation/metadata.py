"""The XML files of a product, written from a few facts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from xml.sax.saxutils import escape

from landseries.bands import BANDS, GROUND_SAMPLING_DISTANCE_M, REFLECTANCE_SCALE, SceneClass
from landseries.simulation.geometry import EPSG

_SCHEMAS: Final = "https://psd-14.sentinel2.eo.esa.int/PSD"
_HEAD: Final = '<?xml version="1.0" encoding="UTF-8" standalone="no"?>'
_INSTANCE: Final = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
_BAND_COUNT: Final = 13
_STATION: Final = {True: "S2RP", False: "SGS_"}
_SCENE_FIELDS: Final = (
    ("SATURATED_DEFECTIVE_PIXEL_PERCENTAGE", SceneClass.SATURATED),
    ("DARK_FEATURES_PERCENTAGE", SceneClass.DARK),
    ("CLOUD_SHADOW_PERCENTAGE", SceneClass.CLOUD_SHADOW),
    ("VEGETATION_PERCENTAGE", SceneClass.VEGETATION),
    ("NOT_VEGETATED_PERCENTAGE", SceneClass.NOT_VEGETATED),
    ("WATER_PERCENTAGE", SceneClass.WATER),
    ("UNCLASSIFIED_PERCENTAGE", SceneClass.UNCLASSIFIED),
    ("MEDIUM_PROBA_CLOUDS_PERCENTAGE", SceneClass.CLOUD_MEDIUM),
    ("HIGH_PROBA_CLOUDS_PERCENTAGE", SceneClass.CLOUD_HIGH),
    ("THIN_CIRRUS_PERCENTAGE", SceneClass.THIN_CIRRUS),
    ("SNOW_ICE_PERCENTAGE", SceneClass.SNOW),
)
_SCENE_TEXTS: Final = (
    "SC_NODATA", "SC_SATURATED_DEFECTIVE", "SC_DARK_FEATURE_SHADOW", "SC_CLOUD_SHADOW", "SC_VEGETATION",
    "SC_NOT_VEGETATED", "SC_WATER", "SC_UNCLASSIFIED", "SC_CLOUD_MEDIUM_PROBA", "SC_CLOUD_HIGH_PROBA",
    "SC_THIN_CIRRUS", "SC_SNOW_ICE",
)  # fmt: skip


@dataclass(frozen=True)
class ProductFacts:
    """What the metadata of a product says; times are UTC, `scene_shares` are per scene class.

    The share of no-data refers to the whole raster, that of every other scene class to the part with data.
    """

    name: str
    platform: str
    relative_orbit: int
    absolute_orbit: int
    baseline: str
    datatake_start: datetime
    datastrip_start: datetime
    generated: datetime
    refined: bool
    granule: str
    first_column: int
    columns: int
    rows: int
    upper_left_m: tuple[int, int]
    footprint: tuple[tuple[float, float], ...]
    offset: int | None
    scene_shares: tuple[float, ...]

    @property
    def granule_folder(self) -> str:
        """Name of the folder below GRANULE."""
        return f"L2A_T{self.granule}_A{self.absolute_orbit:06d}_{_compact(self.datastrip_start)}"

    @property
    def station(self) -> str:
        """Name of the processing centre; reprocessing has its own."""
        return _STATION[self.generated - self.datatake_start > timedelta(days=90)]

    @property
    def datastrip_folder(self) -> str:
        """Name of the folder below DATASTRIP."""
        return f"DS_{self.station}_{_compact(self.generated)}_S{_compact(self.datastrip_start)}"

    def image_file(self, band: str, pixel_m: int) -> str:
        """Path of a band below IMG_DATA."""
        return f"R{pixel_m}m/T{self.granule}_{_compact(self.datatake_start)}_{band}_{pixel_m}m.jp2"

    def identifier(self, kind: str) -> str:
        """Long name of the tile (`TL`) or the datastrip (`DS`)."""
        strip, tile = f"S{_compact(self.datastrip_start)}", f"A{self.absolute_orbit:06d}_T{self.granule}"
        made_by = f"{self.station}_{_compact(self.generated)}"
        return f"{self.platform}_OPER_MSI_L2A_{kind}_{made_by}_{strip if kind == 'DS' else tile}_N{self.baseline}"

    def images(self) -> Iterable[tuple[str, int]]:
        """Bands and their ground sampling distance in metres, the scene classification last."""
        for pixel_m in (10, 20):
            for band in BANDS:
                if GROUND_SAMPLING_DISTANCE_M[band] == pixel_m:
                    yield band, pixel_m
        yield "SCL", 20


def product_xml(facts: ProductFacts) -> str:
    """MTD_MSIL2A.xml."""
    body = [
        "<n1:General_Info>",
        *_product_info(facts),
        *_image_characteristics(facts),
        "</n1:General_Info>",
        *_footprint(facts),
        *_quality(facts),
    ]
    return _document("Level-2A_User_Product", f"{_SCHEMAS}/User_Product_Level-2A.xsd", body)


def tile_xml(facts: ProductFacts) -> str:
    """GRANULE/.../MTD_TL.xml."""
    left, top = facts.upper_left_m
    sizes, positions = [], []
    for pixel_m in (10, 20):
        rows, columns = facts.rows * 10 // pixel_m, facts.columns * 10 // pixel_m
        sizes += [f'<Size resolution="{pixel_m}">', f"<NROWS>{rows}</NROWS>", f"<NCOLS>{columns}</NCOLS>", "</Size>"]
        positions += [
            f'<Geoposition resolution="{pixel_m}">',
            f"<ULX>{left}</ULX>",
            f"<ULY>{top}</ULY>",
            f"<XDIM>{pixel_m}</XDIM>",
            f"<YDIM>-{pixel_m}</YDIM>",
            "</Geoposition>",
        ]
    body = [
        "<n1:General_Info>",
        f'<TILE_ID metadataLevel="Brief">{facts.identifier("TL")}</TILE_ID>',
        f'<DATASTRIP_ID metadataLevel="Standard">{facts.identifier("DS")}</DATASTRIP_ID>',
        '<DOWNLINK_PRIORITY metadataLevel="Standard">NOMINAL</DOWNLINK_PRIORITY>',
        f'<SENSING_TIME metadataLevel="Standard">{_iso(facts.datastrip_start)}</SENSING_TIME>',
        "</n1:General_Info>",
        "<n1:Geometric_Info>",
        '<Tile_Geocoding metadataLevel="Brief">',
        "<HORIZONTAL_CS_NAME>WGS84 / UTM zone 32N</HORIZONTAL_CS_NAME>",
        f"<HORIZONTAL_CS_CODE>EPSG:{EPSG}</HORIZONTAL_CS_CODE>",
        *sizes,
        *positions,
        "</Tile_Geocoding>",
        "</n1:Geometric_Info>",
        '<n1:Quality_Indicators_Info metadataLevel="Standard">',
        *_content(facts, [("CLOUDY_PIXEL_PERCENTAGE", _percent(_cloudy(facts)))]),
        "</n1:Quality_Indicators_Info>",
    ]
    return _document("Level-2A_Tile_ID", f"{_SCHEMAS}/S2_PDI_Level-2A_Tile_Metadata.xsd", body)


def datastrip_xml(facts: ProductFacts) -> str:
    """DATASTRIP/.../MTD_DS.xml: the datastrip's times, and whether its geometry was refined."""
    body = [
        "<n1:General_Info>",
        f'<Datatake_Info datatakeIdentifier="{_datatake(facts)}">',
        *_datatake_fields(facts),
        "</Datatake_Info>",
        '<Datastrip_Time_Info metadataLevel="Standard">',
        f"<DATASTRIP_SENSING_START>{_iso(facts.datastrip_start)}</DATASTRIP_SENSING_START>",
        "</Datastrip_Time_Info>",
        "</n1:General_Info>",
        "<n1:Image_Data_Info>",
        '<Geometric_Info metadataLevel="Standard">',
        "<RGM>COMPUTED</RGM>",
        f'<Image_Refining flag="{"REFINED" if facts.refined else "NOT_REFINED"}"/>',
        "</Geometric_Info>",
        "</n1:Image_Data_Info>",
    ]
    return _document("Level-2A_DataStrip_ID", f"{_SCHEMAS}/S2_PDI_Level-2A_Datastrip_Metadata.xsd", body)


def manifest_xml(facts: ProductFacts) -> str:
    """manifest.safe: the files of the product."""
    granule = f"GRANULE/{facts.granule_folder}"
    files = [
        ("S2_Level-2A_Product_Metadata", "MTD_MSIL2A.xml"),
        ("S2_Level-2A_Tile1_Metadata", f"{granule}/MTD_TL.xml"),
        ("S2_Level-2A_Datastrip1_Metadata", f"DATASTRIP/{facts.datastrip_folder}/MTD_DS.xml"),
    ]
    files += [
        (f"IMG_DATA_Band_{band}_{pixel_m}m_Tile1_Data", f"{granule}/IMG_DATA/{facts.image_file(band, pixel_m)}")
        for band, pixel_m in facts.images()
    ]
    objects = [
        f'<dataObject ID="{name}"><byteStream><fileLocation href="./{escape(path)}" locatorType="URL"/>'
        "</byteStream></dataObject>"
        for name, path in files
    ]
    lines = [
        _HEAD,
        '<xfdu:XFDU xmlns:xfdu="urn:ccsds:schema:xfdu:1"'
        ' version="esa/safe/sentinel/1.1/sentinel-2/msi/archive_l2a_user_product">',
        "<dataObjectSection>",
        *objects,
        "</dataObjectSection>",
        "</xfdu:XFDU>",
    ]
    return "\n".join(lines) + "\n"


def _product_info(facts: ProductFacts) -> list[str]:
    start = _iso(facts.datatake_start)
    granule = (
        f'<Granule datastripIdentifier="{facts.identifier("DS")}" granuleIdentifier="{facts.identifier("TL")}"'
        ' imageFormat="JPEG2000">'
    )
    images = [
        f"<IMAGE_FILE>GRANULE/{facts.granule_folder}/IMG_DATA/{facts.image_file(*image).removesuffix('.jp2')}</IMAGE_FILE>"
        for image in facts.images()
    ]
    return [
        "<Product_Info>",
        f"<PRODUCT_START_TIME>{start}</PRODUCT_START_TIME>",
        f"<PRODUCT_STOP_TIME>{start}</PRODUCT_STOP_TIME>",
        f"<PRODUCT_URI>{facts.name}.SAFE</PRODUCT_URI>",
        "<PROCESSING_LEVEL>Level-2A</PROCESSING_LEVEL>",
        "<PRODUCT_TYPE>S2MSI2A</PRODUCT_TYPE>",
        f"<PROCESSING_BASELINE>{facts.baseline}</PROCESSING_BASELINE>",
        f"<GENERATION_TIME>{facts.generated:%Y-%m-%dT%H:%M:%S.%f}Z</GENERATION_TIME>",
        f'<Datatake datatakeIdentifier="{_datatake(facts)}">',
        *_datatake_fields(facts),
        "</Datatake>",
        '<Query_Options completeSingleTile="true">',
        "<PRODUCT_FORMAT>SAFE_COMPACT</PRODUCT_FORMAT>",
        "</Query_Options>",
        "<Product_Organisation>",
        "<Granule_List>",
        granule,
        *images,
        "</Granule>",
        "</Granule_List>",
        "</Product_Organisation>",
        "</Product_Info>",
    ]


def _datatake_fields(facts: ProductFacts) -> list[str]:
    return [
        f"<SPACECRAFT_NAME>Sentinel-{facts.platform[1:]}</SPACECRAFT_NAME>",
        "<DATATAKE_TYPE>INS-NOBS</DATATAKE_TYPE>",
        f"<DATATAKE_SENSING_START>{_iso(facts.datatake_start)}</DATATAKE_SENSING_START>",
        f"<SENSING_ORBIT_NUMBER>{facts.relative_orbit}</SENSING_ORBIT_NUMBER>",
        "<SENSING_ORBIT_DIRECTION>DESCENDING</SENSING_ORBIT_DIRECTION>",
    ]


def _image_characteristics(facts: ProductFacts) -> list[str]:
    offsets = []
    if facts.offset is not None:
        each = [f'<BOA_ADD_OFFSET band_id="{band}">{facts.offset}</BOA_ADD_OFFSET>' for band in range(_BAND_COUNT)]
        offsets = ["<BOA_ADD_OFFSET_VALUES_LIST>", *each, "</BOA_ADD_OFFSET_VALUES_LIST>"]
    special = []
    for text, value in (("NODATA", 0), ("SATURATED", 65535)):
        special += [
            "<Special_Values>",
            f"<SPECIAL_VALUE_TEXT>{text}</SPECIAL_VALUE_TEXT>",
            f"<SPECIAL_VALUE_INDEX>{value}</SPECIAL_VALUE_INDEX>",
            "</Special_Values>",
        ]
    scene = []
    for index, text in enumerate(_SCENE_TEXTS):
        scene += [
            "<Scene_Classification_ID>",
            f"<SCENE_CLASSIFICATION_TEXT>{text}</SCENE_CLASSIFICATION_TEXT>",
            f"<SCENE_CLASSIFICATION_INDEX>{index}</SCENE_CLASSIFICATION_INDEX>",
            "</Scene_Classification_ID>",
        ]
    return [
        "<Product_Image_Characteristics>",
        *special,
        "<QUANTIFICATION_VALUES_LIST>",
        f'<BOA_QUANTIFICATION_VALUE unit="none">{REFLECTANCE_SCALE}</BOA_QUANTIFICATION_VALUE>',
        '<AOT_QUANTIFICATION_VALUE unit="none">1000.0</AOT_QUANTIFICATION_VALUE>',
        '<WVP_QUANTIFICATION_VALUE unit="cm">1000.0</WVP_QUANTIFICATION_VALUE>',
        "</QUANTIFICATION_VALUES_LIST>",
        *offsets,
        "<Scene_Classification_List>",
        *scene,
        "</Scene_Classification_List>",
        "</Product_Image_Characteristics>",
    ]


def _footprint(facts: ProductFacts) -> list[str]:
    positions = " ".join(f"{latitude:.12g} {longitude:.12g}" for longitude, latitude in facts.footprint)
    return [
        "<n1:Geometric_Info>",
        "<Product_Footprint>",
        "<Product_Footprint>",
        "<Global_Footprint>",
        f"<EXT_POS_LIST>{positions} </EXT_POS_LIST>",
        "</Global_Footprint>",
        "</Product_Footprint>",
        "</Product_Footprint>",
        "</n1:Geometric_Info>",
    ]


def _quality(facts: ProductFacts) -> list[str]:
    return [
        "<n1:Quality_Indicators_Info>",
        f"<Cloud_Coverage_Assessment>{_percent(_cloudy(facts))}</Cloud_Coverage_Assessment>",
        "<Technical_Quality_Assessment>",
        "<DEGRADED_ANC_DATA_PERCENTAGE>0.0</DEGRADED_ANC_DATA_PERCENTAGE>",
        "<DEGRADED_MSI_DATA_PERCENTAGE>0</DEGRADED_MSI_DATA_PERCENTAGE>",
        "</Technical_Quality_Assessment>",
        *_content(facts, [("CLOUDY_PIXEL_OVER_LAND_PERCENTAGE", _percent(_cloudy(facts)))]),
        "</n1:Quality_Indicators_Info>",
    ]


def _content(facts: ProductFacts, first: list[tuple[str, str]]) -> list[str]:
    fields = [*first, ("NODATA_PIXEL_PERCENTAGE", _percent(facts.scene_shares[SceneClass.NO_DATA]))]
    fields += [(name, _percent(facts.scene_shares[scene_class])) for name, scene_class in _SCENE_FIELDS]
    return ["<Image_Content_QI>", *(f"<{name}>{value}</{name}>" for name, value in fields), "</Image_Content_QI>"]


def _cloudy(facts: ProductFacts) -> float:
    clouds = (SceneClass.CLOUD_MEDIUM, SceneClass.CLOUD_HIGH, SceneClass.THIN_CIRRUS)
    return sum(facts.scene_shares[scene_class] for scene_class in clouds)


def _datatake(facts: ProductFacts) -> str:
    return f"G{facts.platform}_{_compact(facts.datatake_start)}_{facts.absolute_orbit:06d}_N{facts.baseline}"


def _percent(share: float) -> str:
    return f"{100 * share:.6f}"


def _compact(time: datetime) -> str:
    return f"{time:%Y%m%dT%H%M%S}"


def _iso(time: datetime) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03d}Z"


def _document(root: str, schema: str, body: list[str]) -> str:
    opening = f'<n1:{root} xmlns:n1="{schema}" {_INSTANCE} xsi:schemaLocation="{schema}">'
    return "\n".join([_HEAD, opening, *_indented(body), f"</n1:{root}>"]) + "\n"


def _indented(lines: list[str]) -> Iterable[str]:
    depth = 1
    for line in lines:
        if line.startswith("</"):
            depth -= 1
        yield "  " * depth + line
        if not line.startswith("</") and "</" not in line and not line.endswith("/>"):
            depth += 1
