"""Products as the archive delivers them: names, folders, metadata, rasters, halves and offsets."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from defusedxml import ElementTree

from landseries.bands import BANDS, GROUND_SAMPLING_DISTANCE_M
from landseries.simulation import SimulatedArchive
from landseries.simulation.difficulty import Difficulty
from landseries.simulation.geometry import Geometry
from landseries.simulation.orbits import Datatake, plan_datatakes
from landseries.simulation.safe import products_of, write_product
from landseries.simulation.sensor import Camera

NAME = re.compile(r"(S2[AB])_MSIL2A_(\d{8}T\d{6})_N(\d{4})_R(\d{3})_T(\w{5})_(\d{8}T\d{6})\.SAFE")
GEOMETRY = Geometry(256)


def products(archive: SimulatedArchive) -> list[Path]:
    return sorted(archive.products.iterdir())


def band_path(product: Path, band: str) -> Path:
    (found,) = product.glob(f"GRANULE/*/IMG_DATA/R*/*_{band}_*.jp2")
    return found


def read(product: Path, band: str) -> np.ndarray[Any, np.dtype[Any]]:
    with rasterio.open(band_path(product, band)) as source:
        return np.asarray(source.read(1))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """The products of a datatake processed twice, of one in halves, and of a partial one."""
    folder = tmp_path_factory.mktemp("products")
    plan = plan_datatakes([2018], 26, GEOMETRY, Difficulty(), 3)
    camera = Camera(GEOMETRY, 2018, Difficulty(), 3)

    def write(take: Datatake) -> list[Path]:
        image = camera.take(take)
        return [write_product(folder, product, image, GEOMETRY) for product in products_of(take, GEOMETRY)]

    return {
        "twice": write(next(take for take in plan if len(take.processings) == 2)),
        "halves": write(next(take for take in plan if len(take.datastrips) == 2)),
        "partial": write(next(take for take in plan if take.relative_orbit == 22)),
    }


def test_names_folders_and_files_are_those_of_the_archive(archive: SimulatedArchive) -> None:
    assert len(products(archive)) >= 2 * 2 * 2
    for product in products(archive):
        match = NAME.fullmatch(product.name)
        assert match is not None, product.name
        platform, start, baseline, orbit, granule, _ = match.groups()
        (granule_folder,) = (product / "GRANULE").iterdir()
        assert re.fullmatch(rf"L2A_T{granule}_A\d{{6}}_\d{{8}}T\d{{6}}", granule_folder.name)
        images = {str(path.relative_to(granule_folder / "IMG_DATA")) for path in granule_folder.rglob("*.jp2")}
        expected = {f"R{GROUND_SAMPLING_DISTANCE_M[band]}m/T{granule}_{start}_{band}" for band in BANDS}
        expected.add(f"R20m/T{granule}_{start}_SCL")
        assert images == {f"{stem}_{stem[1:4]}.jp2" for stem in expected}
        root = ElementTree.parse(product / "MTD_MSIL2A.xml").getroot()
        assert root.tag == "{https://psd-14.sentinel2.eo.esa.int/PSD/User_Product_Level-2A.xsd}Level-2A_User_Product"
        assert root.findtext(".//PRODUCT_URI") == product.name
        assert root.findtext(".//PROCESSING_BASELINE") == f"{baseline[:2]}.{baseline[2:]}"
        assert root.findtext(".//SENSING_ORBIT_NUMBER") == str(int(orbit))
        assert root.findtext(".//SPACECRAFT_NAME") == f"Sentinel-{platform[1:]}"
        sensed = root.findtext(".//DATATAKE_SENSING_START")
        assert sensed is not None
        assert sensed.replace("-", "").replace(":", "").startswith(start)
        for image in root.findall(".//IMAGE_FILE"):
            assert (product / f"{image.text}.jp2").is_file()


def test_offset_stands_in_the_metadata_from_baseline_4_on(archive: SimulatedArchive) -> None:
    for product in products(archive):
        root = ElementTree.parse(product / "MTD_MSIL2A.xml").getroot()
        assert root.findtext(".//BOA_QUANTIFICATION_VALUE") == "10000"
        offsets = {node.get("band_id"): node.text for node in root.findall(".//BOA_ADD_OFFSET")}
        later = (root.findtext(".//PROCESSING_BASELINE") or "") >= "04.00"
        assert offsets == ({str(band): "-1000" for band in range(13)} if later else {})


def test_rasters_are_georeferenced_as_the_metadata_says(archive: SimulatedArchive) -> None:
    for product in products(archive):
        (path,) = product.glob("GRANULE/*/MTD_TL.xml")
        root = ElementTree.parse(path).getroot()
        for band in ("B02", "B11", "SCL"):
            with rasterio.open(band_path(product, band)) as source:
                pixel_m = int(source.transform.a)
                size, position = (root.find(f".//{tag}[@resolution='{pixel_m}']") for tag in ("Size", "Geoposition"))
                assert size is not None
                assert position is not None
                assert (size.findtext("NROWS"), size.findtext("NCOLS")) == (str(source.height), str(source.width))
                assert (position.findtext("ULX"), position.findtext("ULY")) == (
                    str(int(source.transform.c)),
                    str(int(source.transform.f)),
                )
                assert source.crs.to_epsg() == 32632
                assert source.dtypes == (("uint8",) if band == "SCL" else ("uint16",))


def test_metadata_counts_what_the_scene_classification_holds(written: dict[str, list[Path]]) -> None:
    for product in [path for paths in written.values() for path in paths]:
        scene = read(product, "SCL")
        root = ElementTree.parse(product / "MTD_MSIL2A.xml").getroot()
        empty = 100 * float((scene == 0).mean())
        cloudy = 100 * float(np.isin(scene[scene > 0], (8, 9, 10)).mean())
        assert float(root.findtext(".//NODATA_PIXEL_PERCENTAGE") or "nan") == pytest.approx(empty, abs=1e-4)
        assert float(root.findtext(".//Cloud_Coverage_Assessment") or "nan") == pytest.approx(cloudy, abs=1e-4)


def test_both_baselines_hold_the_same_reflectance(written: dict[str, list[Path]]) -> None:
    by_granule: dict[str, list[Path]] = {}
    for product in written["twice"]:
        by_granule.setdefault(product.name.split("_")[5], []).append(product)
    assert len(by_granule) == 2
    for pair in by_granule.values():
        old, new = sorted(pair, key=lambda product: product.name.split("_")[3])
        assert old.name.split("_")[3] < "N0400" <= new.name.split("_")[3]
        for band in BANDS:
            before, after = read(old, band).astype(int), read(new, band).astype(int)
            assert (before == after - 1000).all()
        assert (read(old, "SCL") == read(new, "SCL")).all()


def test_halves_complete_each_other(written: dict[str, list[Path]]) -> None:
    for granule in ("T32TPS", "T32TQS"):
        north, south = sorted((product for product in written["halves"] if granule in product.name), key=datastrip)
        assert north.name != south.name
        assert datastrip(north) < datastrip(south)
        for band in ("B03", "B12", "SCL"):
            has = [read(product, band) > 0 for product in (north, south)]
            assert (has[0] ^ has[1]).all()
            assert 0.1 < has[0].mean() < 0.9


def datastrip(product: Path) -> str:
    (path,) = product.glob("DATASTRIP/*/MTD_DS.xml")
    return ElementTree.parse(path).getroot().findtext(".//DATASTRIP_SENSING_START") or ""


def test_no_data_is_zero_in_every_band_of_a_partial_orbit(written: dict[str, list[Path]]) -> None:
    product = next(path for path in written["partial"] if "T32TPS" in path.name)
    missing = read(product, "SCL") == 0
    assert 0.1 < missing.mean() < 0.95
    for band in BANDS:
        values = read(product, band)
        repeat = values.shape[0] // missing.shape[0]
        assert ((values == 0) == missing.repeat(repeat, 0).repeat(repeat, 1)).all()


def test_refinement_is_in_the_datastrip(archive: SimulatedArchive) -> None:
    (path,) = products(archive)[0].glob("DATASTRIP/*/MTD_DS.xml")
    node = ElementTree.parse(path).getroot().find(".//Geometric_Info/Image_Refining")
    assert node is not None
    assert node.get("flag") == "NOT_REFINED"


def test_neighbouring_granules_agree_where_they_overlap(written: dict[str, list[Path]]) -> None:
    new = [path for path in written["twice"] if "_N05" in path.name]
    west, east = sorted(new, key=lambda path: path.name.split("_")[5])
    window = GEOMETRY.windows()[1]
    assert (read(west, "B04")[:, window.first_column :] == read(east, "B04")).all()
