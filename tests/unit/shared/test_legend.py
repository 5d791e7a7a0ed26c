"""The legend: codes become classes, and a wrong legend says what is wrong."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from landseries.errors import ConfigError
from landseries.legend import CORINE_CODES, Legend, load_legend, shipped_legends

CORINE = load_legend("corine")


def test_shipped_legends_load_and_number_their_classes_from_one() -> None:
    assert shipped_legends() == ["corine", "corine-paper"]
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
        ({"classes": [{"id": 1, "name": "a", "colour": "#00000", "codes": [1]}] * 2}, "colour"),
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
