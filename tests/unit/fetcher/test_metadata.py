"""Names and metadata of products: offsets, baselines, and what is refused."""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element, fromstring

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.tiny_archive import TinyProduct, write_product

from landseries.bands import BANDS
from landseries_fetcher.sources.metadata import (
    BadMetadata,
    Geocoding,
    ProductName,
    checked,
    parse_geocoding,
    parse_name,
    parse_nodata_percent,
    parse_offsets,
    parse_xml,
    read_metadata,
)


def _name(text: str) -> ProductName:
    name = parse_name(text)
    assert name is not None
    return name


def _offsets(**by_band: int) -> Element:
    return fromstring(
        "<r>" + "".join(f'<BOA_ADD_OFFSET band_id="{i[1:]}">{v}</BOA_ADD_OFFSET>' for i, v in by_band.items()) + "</r>"
    )


def test_name() -> None:
    name = _name("S2A_MSIL2A_20180721T053721_N0212_R062_T43MDV_20201011T181419.SAFE")
    assert (name.platform, name.baseline, name.relative_orbit, name.granule) == ("S2A", (2, 12), 62, "43MDV")
    assert name.acquisition == "S2A_20180721T053721_R062_T43MDV"
    assert name.discriminator == "20201011T181419"


@settings(max_examples=100)
@given(
    text=st.one_of(st.text(max_size=80), st.from_regex(r"S2A_MSIL2A_\d{8}T\d{6}_N\d{4}_R\d{3}_T\d\d[A-Z]{3}_\w{15}"))
)
def test_no_name_breaks_the_parser(text: str) -> None:
    name = parse_name(text)
    assert name is None or name.id in text


@pytest.mark.parametrize(
    "text",
    [
        "S2A_MSIL1C_20180721T053721_N0212_R062_T43MDV_20201011T181419.SAFE",
        "S2A_MSIL2A_20181321T053721_N0212_R062_T43MDV_20201011T181419.SAFE",
        "S2A_OPER_PRD_MSIL2A_PDMC_20160101T000000",
    ],
)
def test_other_names(text: str) -> None:
    assert parse_name(text) is None


@pytest.mark.parametrize(("flag", "refined"), [("REFINED", True), ("NOT_REFINED", False), ("ELSE", None), (None, None)])
def test_refining_is_told_by_the_datastrip(tmp_path: Path, flag: str | None, refined: bool | None) -> None:
    product = TinyProduct(refining=flag)
    assert read_metadata(write_product(tmp_path, product), _name(product.name)).refined is refined


@pytest.mark.parametrize(
    "text",
    [
        '<!DOCTYPE r [<!ENTITY a "aaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><r>&b;</r>',
        '<!DOCTYPE r [<!ENTITY a SYSTEM "file:///etc/passwd">]><r>&a;</r>',
        "<r><Image_Refining",
        "",
    ],
)
def test_a_hostile_datastrip_is_refused(tmp_path: Path, text: str) -> None:
    product = TinyProduct(refining="REFINED")
    root = write_product(tmp_path, product)
    next(root.glob("DATASTRIP/*/MTD_DS.xml")).write_text(text)
    with pytest.raises(BadMetadata, match=r"MTD_DS\.xml is no valid XML"):
        read_metadata(root, _name(product.name))


def test_what_follows_the_flag_in_a_datastrip_is_not_read(tmp_path: Path) -> None:
    product = TinyProduct(refining="REFINED")
    root = write_product(tmp_path, product)
    path = next(root.glob("DATASTRIP/*/MTD_DS.xml"))
    path.write_text(path.read_text().replace("</Geometric_Info>", "</Geometric_Info>" + "<t>1</t>" * 100_000 + "<"))
    assert read_metadata(root, _name(product.name)).refined is True


def test_offsets_of_the_list_go_by_band_id() -> None:
    root = _offsets(**{f"i{i}": -i for i in range(13)})
    offsets, origin = parse_offsets(root, (5, 9))
    assert origin == "metadata"
    assert offsets == {"B02": -1, "B03": -2, "B04": -3, "B05": -4, "B06": -5, "B07": -6, "B08": -7, "B8A": -8} | {
        "B11": -11,
        "B12": -12,
    }


@pytest.mark.parametrize("baseline", [(2, 14), (3, 1), (3, 99)])
def test_before_there_was_a_list_there_was_no_offset(baseline: tuple[int, int]) -> None:
    assert parse_offsets(fromstring("<r/>"), baseline) == (dict.fromkeys(BANDS, 0), "baseline")


@pytest.mark.parametrize("content", ["", "<BOA_ADD_OFFSET_VALUES_LIST/>"])
@pytest.mark.parametrize("baseline", [(4, 0), (5, 10)])
def test_a_baseline_with_offsets_and_no_list_is_refused(baseline: tuple[int, int], content: str) -> None:
    with pytest.raises(BadMetadata, match=r"baseline is 0[45]\.[01]0, and its metadata has no BOA_ADD"):
        parse_offsets(fromstring(f"<r>{content}</r>"), baseline)


def test_a_list_beats_the_baseline() -> None:
    offsets, _ = parse_offsets(_offsets(**{f"i{i}": 0 for i in range(13)}), (5, 0))
    assert set(offsets.values()) == {0}


@pytest.mark.parametrize("root", [_offsets(i1=-1000), _offsets(i99=-1000), _offsets(ix=0)])
def test_half_a_list_is_refused(root: Element) -> None:
    with pytest.raises(BadMetadata, match="BOA_ADD_OFFSET_VALUES_LIST"):
        parse_offsets(root, (5, 0))


def test_never_by_the_date(tmp_path: Path) -> None:
    """A product of 2018 that was made again in 2022 carries the offset; its first making does not."""
    first = TinyProduct(baseline="0208")
    again = TinyProduct(baseline="0500", discriminator="20221005T101010", offset=-1000)
    offsets = [read_metadata(write_product(tmp_path, p), _name(p.name)).offsets["B04"] for p in (first, again)]
    assert offsets == [0, -1000]


def test_both_spellings_of_the_metadata(tmp_path: Path) -> None:
    product = TinyProduct(metadata_name="MTD_MSIL2a.xml")
    metadata = read_metadata(write_product(tmp_path, product), _name(product.name))
    assert metadata.datastrip_start == "20180705T101017"
    assert metadata.nodata_percent == 12.5
    assert metadata.geocoding.shapes == {10: (120, 80), 20: (60, 40)}


@pytest.mark.parametrize(
    ("product", "reason"),
    [
        (TinyProduct(baseline="9999"), "99.99"),
        (TinyProduct(quantification="0"), "BOA_QUANTIFICATION_VALUE"),
        (TinyProduct(quantification="nan"), "BOA_QUANTIFICATION_VALUE"),
        (TinyProduct(quantification="inf"), "BOA_QUANTIFICATION_VALUE"),
        (TinyProduct(datastrip=""), "DATASTRIP_ID"),
    ],
)
def test_products_that_say_nothing_usable(tmp_path: Path, product: TinyProduct, reason: str) -> None:
    with pytest.raises(BadMetadata, match=reason):
        read_metadata(write_product(tmp_path, product), _name(product.name))


@pytest.mark.parametrize("missing", ["MTD_MSIL2A.xml", "MTD_TL.xml"])
def test_missing_metadata(tmp_path: Path, missing: str) -> None:
    root = write_product(tmp_path, TinyProduct())
    next(root.rglob(missing)).unlink()
    with pytest.raises(BadMetadata, match=missing):
        read_metadata(root, _name(TinyProduct().name))


def test_hostile_xml(tmp_path: Path) -> None:
    path = tmp_path / "MTD_MSIL2A.xml"
    path.write_text('<!DOCTYPE r [<!ENTITY a "x"><!ENTITY b "&a;&a;">]><r>&b;</r>', encoding="utf-8")
    with pytest.raises(BadMetadata, match="no valid XML"):
        parse_xml(path)
    for content in (b"<r><unclosed></r>", b'<?xml version="1.0" encoding="UVF-8"?><r/>'):
        path.write_bytes(content)
        with pytest.raises(BadMetadata, match="no valid XML"):
            parse_xml(path)


@pytest.mark.parametrize("number", ["nan", "inf", "-1e999", "0.5"])
def test_offsets_that_are_no_numbers(number: str) -> None:
    listed = "".join(f'<BOA_ADD_OFFSET band_id="{i}">{number}</BOA_ADD_OFFSET>' for i in range(13))
    with pytest.raises(BadMetadata, match="no offset in digital numbers"):
        parse_offsets(fromstring(f"<r>{listed}</r>"), (5, 0))


def test_shares_and_grids_that_cannot_be() -> None:
    name = "NODATA_PIXEL_PERCENTAGE"
    for text, share in (("12.5", 12.5), ("nan", None), ("101", None), ("-1", None)):
        assert parse_nodata_percent(fromstring(f"<r><{name}>{text}</{name}></r>")) == share
    for grid in (
        Geocoding("EPSG:32632", float("nan"), 0.0, {10: (5, 5), 20: (5, 5)}),
        Geocoding("EPSG:32632", 0.0, 0.0, {10: (0, 5), 20: (5, 5)}),
        Geocoding("EPSG:32632", 0.0, 0.0, {10: (5, 10**9), 20: (5, 5)}),
    ):
        with pytest.raises(BadMetadata, match="rows and columns, it says"):
            checked(grid)


def test_geocoding_with_two_corners() -> None:
    text = (
        "<r><HORIZONTAL_CS_CODE>EPSG:32632</HORIZONTAL_CS_CODE>"
        + "".join(
            f'<Size resolution="{m}"><NROWS>10</NROWS><NCOLS>10</NCOLS></Size>'
            f'<Geoposition resolution="{m}"><ULX>{m}</ULX><ULY>0</ULY></Geoposition>'
            for m in (10, 20)
        )
        + "</r>"
    )
    with pytest.raises(BadMetadata, match="one corner"):
        parse_geocoding(fromstring(text))


@pytest.mark.real_data
def test_offsets_of_real_products(real_data: Path) -> None:
    seen: dict[str, tuple[tuple[int, int], int, str]] = {}
    for path in sorted(real_data.glob("safe_metadata/*/MTD_MSIL2[Aa].xml")):
        root = parse_xml(path)
        name = _name(path.parent.name.removeprefix("esa_"))
        offsets, origin = parse_offsets(root, name.baseline)
        assert len(set(offsets.values())) == 1
        seen[name.granule] = (name.baseline, offsets["B04"], origin)
    assert seen == {
        "11SLT": ((2, 12), 0, "baseline"),
        "43MDV": ((2, 12), 0, "baseline"),
        "07HFE": ((2, 12), 0, "baseline"),
        "01CCV": ((2, 12), 0, "baseline"),
        "22HBD": ((2, 14), 0, "baseline"),
        "33XWJ": ((4, 0), -1000, "metadata"),
        "01WCS": ((5, 9), -1000, "metadata"),
        "01WCP": ((5, 9), -1000, "metadata"),
        "01KAB": ((5, 9), -1000, "metadata"),
    }


@pytest.mark.real_data
def test_whole_real_products(real_data: Path) -> None:
    read = 0
    for folder in sorted(real_data.glob("safe_metadata/*.SAFE")):
        if not list(folder.glob("GRANULE/*/MTD_TL.xml")):
            continue
        metadata = read_metadata(folder, _name(folder.name.removeprefix("esa_")))
        assert metadata.geocoding.shapes[10] == (10_980, 10_980)
        assert metadata.quantification == 10_000
        assert metadata.nodata_percent is not None
        read += 1
    assert read >= 6


@pytest.mark.real_data
def test_no_data_shares_of_real_granules(real_data: Path) -> None:
    def shares(granule: str) -> float | None:
        found = sorted(real_data.glob(f"safe_metadata/*_{granule}_*/*.xml"))
        return parse_nodata_percent(parse_xml(found[0]))

    assert shares("T01VCG") == 76.038551, "the granule of a partial orbit, made again with baseline 05.00"
    assert shares("T07HFE") == 96.769554
    assert shares("T01KAB") == 0.0
