"""The report stage: figures as the maps have them, one page without a network, and sense where things are missing."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.finished_run import FinishedRun, acquisition, finished_run

from landseries.artifacts.documents import read_json
from landseries.grid import Part, block_parts
from landseries.pipeline import Unit

Assess = Callable[[FinishedRun], Path]
#: Elements that stay open until they are closed; the page must close each.
VOID = {"meta", "link", "img", "input", "br", "line", "circle", "polyline"}


class _Outline(HTMLParser):
    """Elements that are open, those that were closed wrongly, and every address that is fetched or linked."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.addresses += [values[key] or "" for key in ("src", "href") if key in values]
        self.ids += [values["id"] or ""] if "id" in values else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


def _outline(page: str) -> _Outline:
    outline = _Outline()
    outline.feed(page)
    return outline


def _viewer(page: str) -> dict:
    found = re.search(r'<script type="application/json" id="viewer-data">(.*?)</script>', page, re.DOTALL)
    assert found
    return json.loads(found.group(1))


def _picture(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.split(",", 1)[1])))


@pytest.fixture(scope="module")
def page(results: Path) -> str:
    return (results / "report.html").read_text(encoding="utf-8")


def test_agreement_and_accuracy_are_those_of_the_maps(tmp_path: Path, assess_run: Assess):
    run = finished_run(tmp_path, tile_px=48)
    assessment = read_json(assess_run(run) / "assessment.json")
    first, second = run.maps["multi-year"][2018], run.maps["multi-year"][2019]
    pair = assessment["whole_area"]["agreement"]["multi-year"]["2018-2019"]
    assert pair["overall"] == pytest.approx(np.mean(first == second), abs=1e-6)
    both, either = (first == 8) & (second == 8), (first == 8) | (second == 8)
    assert pair["per_class"]["Conifers"]["iou"] == pytest.approx(both.sum() / either.sum(), abs=1e-6)
    blocks = run.plan.config.blocks
    kept = np.zeros(first.shape, bool)
    for tile in run.plan.tile.values():
        kept[run.window(tile)] = block_parts(tile, blocks.size_px, blocks.shares, 0) == Part.PREDICTION
    right = run.maps["single-year"][2020] == run.truth[2020]
    assert assessment["accuracy"]["single-year"]["2020"]["overall"] == pytest.approx(right[kept].mean(), abs=1e-6)
    assert assessment["agreement"]["multi-year"]["2018-2019"]["pixels"] == kept.sum()


def test_the_assessment_holds_what_is_promised(results: Path):
    assessment = read_json(results / "assessment.json")
    for tree in (assessment, assessment["whole_area"]):
        for model in ("multi-year", "single-year"):
            for pair in ("2018-2019", "2019-2020"):
                entry = tree["agreement"][model][pair]
                assert 0 < entry["overall"] < 1
                assert set(entry["per_class"]["Water"]) == {"iou", "dice", "kept", "arrived"}
                assert {"users", "producers", "f1"} <= set(tree["change"][model][pair])
            assert set(tree["accuracy"][model]) == {"2018", "2019", "2020"}
            assert tree["flicker"][model]["rate"] > 0
        samples = tree["reliable_samples"]
        figures = {"label_precision", "map_precision", "kept_share", "recall"}
        assert figures <= set(samples)
        assert figures == set(samples["macro"]) == set(samples["per_class"]["Grass"])
        assert samples["label_precision"] > samples["map_precision"]
    assert "NaN" not in (results / "assessment.json").read_text(encoding="utf-8")


def test_tables_repeat_the_assessment(results: Path):
    assessment = read_json(results / "assessment.json")
    with (results / "tables" / "agreement.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    row = next(r for r in rows if (r["scope"], r["measure"], r["class"]) == ("whole area", "dice", "Water"))
    expected = assessment["whole_area"]["agreement"]["single-year"]["2019-2020"]["per_class"]["Water"]["dice"]
    assert float(row["single-year 2019-2020"]) == expected
    names = {path.name for path in (results / "tables").iterdir()}
    assert names == {f"{n}.csv" for n in ("agreement", "accuracy", "change", "transitions", "areas", "samples")}


def test_the_page_needs_no_network_and_is_well_formed(page: str):
    outline = _outline(page)
    assert not outline.wrong
    assert not outline.open
    beside = {"calendar.html"}
    assert all(address.startswith(("data:", "#")) or address in beside for address in outline.addresses)
    assert len(outline.ids) == len(set(outline.ids))
    assert set(a[1:] for a in outline.addresses if a.startswith("#")) <= set(outline.ids)
    assert not re.search(r"url\(|@import|fetch\(|XMLHttp", page)


def _acquisitions(page: str) -> str:
    return page[page.index('<section id="acquisitions">') : page.index('<section id="run">')]


def _row(section: str, year: int) -> list[str]:
    """Cells of a year's line."""
    line = section[section.index(f'<th scope="row">{year}</th>') :]
    return [re.sub(r"<[^>]*>", "", cell).strip() for cell in re.findall(r"<td.*?</td>", line[: line.index("</tr>")])]


def test_what_became_of_the_acquisitions_is_told(page: str):
    section = _acquisitions(page)
    assert section.count("6 acquisitions refused, unreadable or corrected") == 2, "of each granule"
    assert section.count("Shifts of 6 acquisitions of") == 4, "as label and title of each chart"
    assert "its offset was &lt;not&gt; taken off" in section
    assert "3 used with a warning: its shift cannot be measured" in section
    assert f"{acquisition('west', 2018, 5)}<br>its shift cannot be measured: 3 windows" in section
    assert "geometry not refined (products)" in section
    assert section.count('<circle class="dot"') == 12


def test_what_the_searches_chose_is_counted(page: str):
    section = _acquisitions(page)
    heads = re.findall(r'<th scope="col"[^>]*>(.*?)</th>', section)
    assert heads[:4] == ["Year", "taken", "cloudy", "duplicate"], "what is nowhere has no column"
    assert _row(section, 2018)[:4] == ["6", "2", "2", "180 days"]
    assert 'href="calendar.html"' in section


def test_what_was_refused_after_the_search_is_not_called_used(tmp_path: Path, assess_run: Assess):
    run = finished_run(tmp_path, tile_px=48)
    name, reason = acquisition("west", 2019, 5), "B11.jp2 of <it>: is truncated"
    run.given[Unit("fetch", ("west", "2019", name))] = reason
    run.given[Unit("fetch", ("west", "2019", acquisition("west", 2019, 7)))] = "its offset was <not> taken off"
    section = _acquisitions((assess_run(run) / "report.html").read_text(encoding="utf-8"))
    heads = re.findall(r'<th scope="col"[^>]*>(.*?)</th>', section)
    assert heads[1:5] == ["taken", "refused after the search", "cloudy", "duplicate"]
    assert _row(section, 2018)[:2] == ["6", "0"]
    assert _row(section, 2019)[:2] == ["4", "2"]
    assert _row(section, 2018)[-1].startswith("180 days")
    assert _row(section, 2019)[-1].startswith("210 days"), "the last is that of June"
    assert section.count("B11.jp2 of &lt;it&gt;: is truncated") == 2, "in the table of the year and of the granule"
    assert '<th scope="row">unreadable</th><td class="num">1</td>' in section
    assert "2 used with a warning: its shift cannot be measured" in section


def test_a_search_without_anything_is_named(tmp_path: Path, assess_run: Assess):
    run = finished_run(tmp_path, tile_px=48)
    run.given[Unit("search", ("west", "2020"))] = "no product"
    section = _acquisitions((assess_run(run) / "report.html").read_text(encoding="utf-8"))
    assert "2020: nothing usable of west" in section
    assert _row(section, 2020)[0] == "3"


def test_a_granule_that_was_refused_has_no_shifts_to_show(tmp_path: Path, assess_run: Assess):
    run = finished_run(tmp_path, tile_px=48)
    for unit in list(run.given):
        if unit.stage == "harmony":
            run.given[unit] = "its levels lie apart"
    assert 'id="harmony"' not in (assess_run(run) / "report.html").read_text(encoding="utf-8")


def test_pictures_are_the_maps(tmp_path: Path, assess_run: Assess):
    run = finished_run(tmp_path, tile_px=48)
    viewer = _viewer((assess_run(run) / "report.html").read_text(encoding="utf-8"))
    layers = {layer["id"]: layer for layer in viewer["layers"]}
    assert {"composite", "reference", "class/multi-year", "class/single-year", "class/truth"} <= layers.keys()
    assert (viewer["width"], viewer["height"]) == (96, 96)
    drawn = np.asarray(_picture(layers["class/single-year"]["images"]["2019"]))
    np.testing.assert_array_equal(drawn, run.maps["single-year"][2019])
    np.testing.assert_array_equal(np.asarray(_picture(layers["reference"]["images"]["all"])), run.reference)


def test_a_large_area_is_shown_small(tmp_path: Path, assess_run: Assess):
    run = finished_run(tmp_path, tile_px=100, years=(2018, 2019), assessor={"report": {"image_px": 100}})
    viewer = _viewer((assess_run(run) / "report.html").read_text(encoding="utf-8"))
    assert (viewer["width"], viewer["height"]) == (100, 100)
    assert viewer["metres_per_pixel"] == 20.0
    assert _picture(viewer["layers"][0]["images"]["2018"]).size == (100, 100)


def test_the_paper_stands_beside_the_table(page: str):
    assert "0.78 / 0.74" in page
    assert "IGARSS 2022" in page


def test_attribution_and_provenance_are_named(page: str):
    assert "Contains modified Copernicus Sentinel data 2018, 2019, 2020" in page
    assert "Copernicus Land Monitoring Service 2018" in page
    assert "candidates_per_class" in page


def test_refused_units_are_named_with_their_reason(tmp_path: Path, assess_run: Assess):
    run = finished_run(tmp_path, tile_px=32, years=(2018, 2019))
    tile = next(iter(run.plan.tile))
    run.given[Unit("map", (tile, "single-year"))] = "every view <b>cloudy</b>"
    page = (assess_run(run) / "report.html").read_text(encoding="utf-8")
    assert "every view &lt;b&gt;cloudy&lt;/b&gt;" in page
    assert f"{tile} single-year" in page


def test_without_truth_agreement_comes_with_a_warning(tmp_path: Path, assess_run: Assess):
    folder = assess_run(finished_run(tmp_path, tile_px=32, with_truth=False))
    assessment = read_json(folder / "assessment.json")
    assert assessment["accuracy"] is None
    assert assessment["change"] is None
    assert assessment["reliable_samples"] is None
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "No truth was given" in page
    assert 'id="accuracy"' not in page
    assert not (folder / "tables" / "accuracy.csv").exists()


def test_one_year_and_one_model_make_a_report(tmp_path: Path, assess_run: Assess):
    folder = assess_run(finished_run(tmp_path, tile_px=32, years=(2018,), models=("multi-year",)))
    assessment = read_json(folder / "assessment.json")
    assert assessment["agreement"] == {"multi-year": {}}
    assert assessment["flicker"]["multi-year"]["rate"] is None
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "No two consecutive years" in page
    assert not _outline(page).wrong


def test_no_map_at_all_makes_a_report_that_says_why(tmp_path: Path, assess_run: Assess):
    run = finished_run(tmp_path, tile_px=32)
    for unit in list(run.given):
        if unit.stage in ("map", "train"):
            run.given[unit] = "too few samples of two classes"
    folder = assess_run(run)
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "No map was made" in page
    assert "too few samples of two classes" in page
    assert read_json(folder / "assessment.json")["models"] == []
    assert not (folder / "stac").exists()


def test_names_cannot_break_out_of_the_page(tmp_path: Path, assess_run: Assess):
    run = finished_run(tmp_path, tile_px=32, years=(2018, 2019))
    classes = [entry.model_dump() for entry in run.plan.legend.classes]
    classes[1]["name"] = "Grass<script>"
    legend = run.plan.legend.model_validate({**run.plan.legend.model_dump(), "classes": classes})
    run.bench.plan = run.plan.model_copy(update={"legend": legend})
    page = (assess_run(run) / "report.html").read_text(encoding="utf-8")
    assert "Grass<script>" not in page
    assert "Grass&lt;script&gt;" in page
