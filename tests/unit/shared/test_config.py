"""The configuration: a template that is valid, and errors that name file, field and remedy."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from landseries.config import RunConfig, load_config, parse_config
from landseries.errors import ConfigError
from landseries.settings.fetcher import HarmonySettings
from landseries.template import OTHER_SOURCES, config_template

GOOD: dict[str, Any] = {
    "name": "demo",
    "area": {"bbox": [11.0, 46.0, 11.1, 46.1]},
    "years": [2018, 2019],
    "source": {"kind": "safe", "path": "products"},
    "reference": {"path": "clc.tif", "year": 2018},
}


def write(folder: Path, content: Any) -> Path:
    path = folder / "run.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


def test_the_template_is_a_valid_configuration(tmp_path: Path) -> None:
    loaded = load_config(write(tmp_path, config_template()))
    assert loaded.run.name == "my-valley"


@pytest.mark.parametrize("place", range(len(OTHER_SOURCES)))
def test_the_other_sources_of_the_template_are_valid_in_the_place_of_its_own(tmp_path: Path, place: int) -> None:
    text = config_template()
    offered = [line.removeprefix("##   ") for line in text.splitlines() if line.startswith("##   source: ")]
    assert len(offered) == len(OTHER_SOURCES)
    start, end = text.index("source:\n"), text.index("##\n## Or one of these")
    loaded = load_config(write(tmp_path, f"{text[:start]}{offered[place]}\n{text[end:]}"))
    assert loaded.run.source.kind == OTHER_SOURCES[place][0]["kind"]


def test_the_template_holds_the_defaults_it_comments_out(tmp_path: Path) -> None:
    # Without the first `# ` of each commented line, the template is the same configuration, written out in full.
    lines = config_template().splitlines()
    full = "\n".join(line.removeprefix("# ") if line.startswith("# ") else line for line in lines)
    assert load_config(write(tmp_path, full)).run == load_config(write(tmp_path, config_template())).run
    assert "(paper)" in config_template()
    assert "(ours)" in config_template()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nam": "x"}, r"run\.yaml: nam: unknown field; did you mean `name`"),
        ({"fetcher": {"search": {"per_yeer": 3}}}, r"search\.per_yeer: unknown field; did you mean `per_year`"),
        ({"name": None}, "name"),
        ({"name": "Über"}, "name: write .*a-z, 0-9 and -"),
        ({"name": 2018}, r"name: write .*a-z, 0-9 and -, such as .* \(got 2018\)"),
        ({"years": [2019, 2018]}, "years: must be ascending"),
        ({"years": []}, "years"),
        ({"years": [2019]}, "training year 2018"),
        ({"training_year": 2020}, "training year 2020"),
        ({"area": {"bbox": [11.1, 46.0, 11.0, 46.1]}}, "west < east"),
        ({"area": {"bbox": [179.8, -17.0, -179.9, -16.5]}}, "antimeridian .* two runs"),
        ({"area": {}}, "either `bbox`"),
        ({"area": None}, "area is missing"),
        ({"area": {"geojson": "none.geojson"}}, r"none\.geojson cannot be read"),
        ({"source": {"kind": "ftp"}}, "source"),
        ({"source": {"kind": "safe"}}, r"source\.path: is missing"),
        ({"reference": {"year": 2018}}, "either `path`"),
        ({"reference": {"variable": "LULC", "year": 2018}}, "kind cube"),
        ({"reference": {"variable": "LULC", "field": "CODE_18", "year": 2018}}, "`field` and `layer` belong to `path`"),
        ({"reference": {"path": "clc.tif", "year": 2018, "legend": "nothing"}}, "corine-paper"),
        ({"period_start": "1 May"}, r"period_start: write MM-DD, such as 11-01 \(got"),
        ({"source": {"kind": "cube", "name": "a b", "paths": ["x"]}}, r"source\.name: write at most 41 characters"),
        ({"period_start": "02-29"}, "no day of every year"),
        ({"models": ["multi-year", "multi-year"]}, "each model once"),
        ({"truth": {"path": "truth.tif"}}, "{year}"),
        ({"grid": {"tile_size_px": 333}}, "tile_size_px.*multiple"),
        (
            {"fetcher": {"harmony": {"measure_shifts": False, "unmeasured": "refuse"}}},
            "unmeasured: refuse would refuse",
        ),
        ({"blocks": {"training": 0.8, "validation": 0.19}}, "at least 0.05"),
    ],
)
def test_what_is_wrong_is_named_with_a_remedy(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    content = {k: v for k, v in (GOOD | change).items() if v is not None}
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(write(tmp_path, content))
    assert "run.yaml" in str(caught.value) or "legend" in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "within_m"),
    [
        ({}, 1.0),
        ({"max_shift_m": 0.0}, 0.0),
        ({"correct_above_m": 8.0}, 5.0),
        ({"above_max_shift": "warn"}, 5.0),
        ({"above_max_shift": "refuse", "max_shift_m": 7.0}, 7.0),
    ],
)
def test_how_far_an_acquisition_may_lie_and_is_used_as_it_is(settings: dict[str, Any], within_m: float) -> None:
    assert HarmonySettings(**settings).used_within_m == within_m


@pytest.mark.parametrize("content", ["a: [", "just text", "- 1", "", "\x00"])
def test_what_is_no_yaml_mapping_is_named(tmp_path: Path, content: str) -> None:
    with pytest.raises(ConfigError, match=r"run\.yaml"):
        load_config(write(tmp_path, content))


def test_a_missing_file_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="landseries init"):
        load_config(tmp_path / "none.yaml")


def test_texts_read_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARCHIVE", "/data/s2")
    loaded = load_config(write(tmp_path, GOOD | {"source": {"kind": "safe", "path": "${ARCHIVE}/products"}}))
    assert loaded.run.source.path == Path("/data/s2/products")  # type: ignore[union-attr]
    monkeypatch.delenv("ARCHIVE")
    with pytest.raises(ConfigError, match=r"source\.path: the environment variable ARCHIVE"):
        load_config(tmp_path / "run.yaml")


def test_an_area_may_be_a_collection_of_polygons(tmp_path: Path) -> None:
    polygon = '{"type":"Polygon","coordinates":[[[11,46],[11.1,46],[11.1,46.1],[11,46]]]}'
    feature = f'{{"type":"FeatureCollection","features":[{{"type":"Feature","properties":{{}},"geometry":{polygon}}}]}}'
    (tmp_path / "area.geojson").write_text(feature)
    loaded = load_config(write(tmp_path, GOOD | {"area": {"geojson": "area.geojson"}}))
    assert loaded.area is not None
    assert loaded.area.area == pytest.approx(0.005)


def test_a_year_is_the_period_that_holds_its_reference_date() -> None:
    calendar = parse_config(GOOD, "x")
    assert calendar.period(2018).start == date(2018, 1, 1)
    assert calendar.period(2018).end == date(2018, 12, 31)
    autumn = parse_config(GOOD | {"period_start": "11-01"}, "x")
    assert autumn.period(2018).start == date(2017, 11, 1)
    assert autumn.period(2018).end == date(2018, 10, 31)


@given(st.dates(date(2019, 1, 1), date(2019, 12, 31)), st.dates(date(2019, 1, 1), date(2019, 12, 31)))
def test_periods_follow_each_other_without_gap(start: date, reference: date) -> None:
    dates = {"period_start": f"{start:%m-%d}", "reference_date": f"{reference:%m-%d}"}
    config = RunConfig.model_validate(GOOD | dates)
    first, second = config.period(2018), config.period(2019)
    assert first.holds(date.fromisoformat(f"2018-{reference:%m-%d}"))
    assert (second.start - first.end).days == 1
    assert first.day_of(first.end) in (364, 365)
