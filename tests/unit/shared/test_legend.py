"""The legend: codes become classes, and a wrong legend says what is wrong."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from landseries.errors import ConfigError
from landseries.legend import CORINE_CODES, Legend, load_legend, shipped_legends

CORINE = load_legend("corine")


def test_shipped_legends_load_and_number_their_classes_from_one() -> None:
    assert shipped_legends() == ["corine", "corine-detailed", "corine-paper", "worldcover"]
    assert CORINE.ids == tuple(range(1, 12))
    paper = load_legend("corine-paper")
    assert paper.ids == tuple(range(1, 11))
    assert set(CORINE.names) - set(paper.names) == {"Shrubland"}


def test_corine_numbers_44_codes() -> None:
    assert len(CORINE_CODES) == 44
    assert CORINE_CODES[0] == 111
    assert CORINE_CODES[43] == 523


def test_mineral_extraction_is_mineral_and_not_artificial() -> None:
    assert [CORINE.name_of(c) for c in CORINE.classify(np.array([131, 7]))] == ["Mineral", "Mineral"]


@given(st.lists(st.integers(-300, 70_000), min_size=1, max_size=50))
def test_corine_codes_and_their_numbers_give_the_same_class_and_all_else_none(codes: list[int]) -> None:
    classes = CORINE.classify(np.array(codes))
    for code, found in zip(codes, classes, strict=True):
        level3 = CORINE_CODES[code - 1] if 1 <= code <= 44 else code
        expected = next((c.id for c in CORINE.classes if level3 in c.codes), 0)
        assert found == expected


def test_a_direct_legend_names_the_codes_it_does_not_know() -> None:
    legend = Legend.model_validate(
        {
            "title": "two",
            "nodata_codes": [0],
            "classes": [
                {"id": 1, "name": "a", "colour": "#000000", "codes": [5]},
                {"id": 2, "name": "b", "colour": "#ffffff", "codes": [6]},
            ],
        }
    )
    assert legend.classify(np.array([[0, 5], [6, 5]])).tolist() == [[0, 1], [2, 1]]
    with pytest.raises(ConfigError, match=r"\[9\].*unused_codes"):
        legend.classify(np.array([5, 9]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": [{"id": 1, "name": "a", "colour": "#00000", "codes": [1]}] * 2}, "colour: write #"),
        ({"classes": [{"id": 1, "name": "a/b", "colour": "#000000", "codes": [1]}] * 2}, "name: write 1 to 100"),
        ({"classes": [{"id": 1, "name": "a", "colour": "#000000", "codes": [1]}] * 2}, "more than once"),
        ({"classes": [{"id": 1, "name": "a", "colour": "#000000", "codes": []}] * 2}, "codes"),
        ({"coding": "corine"}, "no CORINE level-3 codes"),
    ],
)
def test_a_wrong_legend_says_what_is_wrong(tmp_path: Path, change: dict[str, object], message: str) -> None:
    import yaml

    good = {
        "title": "two",
        "classes": [
            {"id": 1, "name": "a", "colour": "#000000", "codes": [5]},
            {"id": 2, "name": "b", "colour": "#ffffff", "codes": [6]},
        ],
    }
    (tmp_path / "legend.yaml").write_text(yaml.safe_dump(good | change))
    with pytest.raises(ConfigError, match=message) as caught:
        load_legend("legend.yaml", tmp_path)
    assert "legend.yaml" in str(caught.value)


def test_a_legend_that_is_not_there_names_the_shipped_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="corine-paper"):
        load_legend("corinne", tmp_path)


#: Codes and colours of the product user manual of ESA WorldCover 10 m 2021 v200, section on the legend.
WORLDCOVER = {
    **{10: "006400", 20: "ffbb22", 30: "ffff4c", 40: "f096ff", 50: "fa0000", 60: "b4b4b4"},
    **{70: "f0f0f0", 80: "0064c8", 90: "0096a0", 95: "00cf75", 100: "fae6a0"},
}


@pytest.mark.parametrize("name", shipped_legends())
def test_every_shipped_legend_names_whose_map_it_is_and_tells_its_classes_apart(name: str) -> None:
    legend = load_legend(name)
    assert "©" in legend.attribution
    assert len({entry.colour.lower() for entry in legend.classes}) == len(legend.classes)


def test_worldcover_has_the_codes_and_colours_of_its_manual() -> None:
    legend = load_legend("worldcover")
    assert {entry.id: entry.colour for entry in legend.classes} == {code: f"#{c}" for code, c in WORLDCOVER.items()}
    assert legend.classify(np.array([0, 255, *WORLDCOVER])).tolist() == [0, 0, *WORLDCOVER]
    with pytest.raises(ConfigError, match=r"\[11\]"):
        legend.classify(np.array([10, 11]))


@pytest.mark.parametrize("name", ["corine", "corine-paper", "corine-detailed"])
def test_corine_values_that_are_no_data(name: str) -> None:
    legend = load_legend(name)
    values = [0, 45, 48, 49, 50, 255, 990, 995, 999, 65_535, -128, -32_768]
    assert not legend.classify(np.array(values)).any()


@pytest.mark.real_data
def test_the_official_nomenclature_of_corine() -> None:
    """Codes, numbers, names and colours; and no class of the shorter legends mixes artificial surfaces with others."""
    folder = os.environ.get("LANDSERIES_TEST_DATA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("LANDSERIES_TEST_DATA names no folder of real data")
    with (Path(folder) / "corine" / "clc_legend.csv").open(encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert tuple(int(row["CLC_CODE"]) for row in sorted(rows, key=lambda row: int(row["GRID_CODE"]))) == CORINE_CODES
    detailed = {entry.codes[0]: entry for entry in load_legend("corine-detailed").classes}
    assert len(detailed) == len(rows) == 44
    for row in rows:
        entry = detailed[int(row["CLC_CODE"])]
        assert entry.codes == [int(row["CLC_CODE"])]
        assert entry.id == int(row["GRID_CODE"])
        assert entry.rgb == tuple(int(value) for value in row["RGB"].split("-"))
        assert entry.name == row["LABEL3"].replace(",", "")
    top = {int(row["CLC_CODE"]): row["LABEL1"] for row in rows}
    for name in ("corine", "corine-paper"):
        for entry in load_legend(name).classes:
            levels = {top[code] for code in entry.codes}
            assert ("Artificial surfaces" in levels) == (entry.name in ("Artificial", "Mineral")), entry.name
            assert levels == {"Artificial surfaces"} or "Artificial surfaces" not in levels, entry.name


def test_a_map_of_worldcover_is_not_read_as_corine() -> None:
    """10, 20, 30 and 40 are numbers of CORINE's classes as well: 30 would become Sand, 40 Water."""
    codes = np.repeat([10, 20, 30, 40, 50, 60, 80], [500, 50, 300, 100, 30, 5, 15])
    with pytest.raises(ConfigError, match=r"\[60, 80\], which are no CORINE codes.*worldcover"):
        CORINE.check_fit(codes)
    load_legend("worldcover").check_fit(codes)


@pytest.mark.parametrize("fill", [0, 48, 255, 999, 32_767, -9_999])
def test_a_map_of_corine_may_have_any_value_around_the_land(fill: int) -> None:
    CORINE.check_fit(np.array([fill] * 900 + [311, 312, 231]))
    CORINE.check_fit(np.array([fill] * 900 + [23, 24, 18]))


def test_a_map_without_any_class_does_not_fit() -> None:
    with pytest.raises(ConfigError, match=r"no pixel of any class .* reference\.legend"):
        CORINE.check_fit(np.array([255, 0, 48]))
    with pytest.raises(ConfigError, match="no pixel of any class"):
        CORINE.check_fit(np.array([], dtype=np.int32))


def test_the_share_of_codes_that_corine_does_not_have() -> None:
    codes = np.array([-1, 0, 111, 312, 312, 255, 77, 77, 77, 77])
    assert CORINE.unknown_codes(codes) == ([77], 0.5)
    assert CORINE.unknown_codes(np.array([-1, 0])) == ([], 0.0)
    assert load_legend("worldcover").unknown_codes(codes) == ([], 0.0)
