"""What the report says about the maps, ready for the page: headline, consistency, accuracy, change, areas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from landseries.legend import Legend
from landseries_assessor import layout
from landseries_assessor.charts import dumbbell, sparkline
from landseries_assessor.gate import GateResult, gate
from landseries_assessor.measures import mean
from landseries_assessor.paper import PAIRS, paper_figure
from landseries_assessor.tables import MEASURES

MEASURE_LABELS: Final = {
    "iou": ("IoU", "pixels of the class in both maps, of those in either"),
    "dice": ("Dice", "twice the pixels in both, of the sum of both"),
    "kept": ("Kept", "share of the first map's pixels that keep the class"),
    "arrived": ("Arrived", "share of the second map's pixels that had the class before"),
}
_OVERALL: Final = "overall"
_TOP_TRANSITIONS: Final = 6

Tree = Mapping[str, Any]


def headline(assessment: Tree) -> list[dict[str, Any]]:
    """The figures to look at first: each with a value per model, and how far the first is from the second."""
    cards = [_card("Agreement", assessment["agreement"], _OVERALL, "mean of consecutive years")]
    if assessment["accuracy"] is not None:
        cards.append(_card("Accuracy", assessment["accuracy"], _OVERALL, "against truth, mean of the years"))
        cards.append(_card("Change F1", assessment["change"], "f1", "true changes found, mean of year pairs"))
    flicker = {model: entry["rate"] for model, entry in assessment["flicker"].items()}
    if any(rate is not None for rate in flicker.values()):
        cards.append(_values("Flicker", flicker, "pixels that go there and straight back", lower_is_better=True))
    reliable = assessment["reliable_samples"]
    if reliable is not None:
        figures = {
            "reliable samples": reliable["macro"]["label_precision"],
            "existing map": reliable["macro"]["map_precision"],
        }
        cards.append(_values("Label precision", figures, "mean of the classes, against truth"))
    if assessment["accuracy"] is None:
        changed = {model: entry["changed_share"] for model, entry in assessment["changes"].items()}
        cards.append(_values("Changed", changed, "pixels that change at least once", neutral=True))
    return [card for card in cards if card["values"]]


def verdict(assessment: Tree) -> GateResult | None:
    """Whether the multi-year model passes the gate; None where there is nothing to judge it by."""
    models = assessment["agreement"]
    if assessment["accuracy"] is None or not {"multi-year", "single-year"} <= models.keys():
        return None
    return gate(assessment)


def _card(label: str, tree: Tree, figure: str, hint: str) -> dict[str, Any]:
    values = {model: mean([entry[figure] for entry in of_model.values()]) for model, of_model in tree.items()}
    return _values(label, values, hint)


def _values(
    label: str, values: Mapping[str, float | None], hint: str, lower_is_better: bool = False, neutral: bool = False
) -> dict[str, Any]:
    known = {model: value for model, value in values.items() if value is not None}
    places = list(known.values())
    gain = places[0] - places[1] if len(places) > 1 else None
    better = None if gain is None or neutral or abs(gain) < 5e-4 else (gain < 0) == lower_is_better
    return {"label": label, "values": known, "hint": hint, "gain": gain, "better": better}


def consistency(agreement: Tree, legend: Legend) -> dict[str, Any]:
    """The paper's table: per measure, class and year pair the figures of every model, the paper's own beside them."""
    pairs = list(dict.fromkeys(pair for of_model in agreement.values() for pair in of_model))
    colours = {entry.name: entry.colour for entry in legend.classes}

    def row(name: str, label: str, figure: Any) -> dict[str, Any]:
        cells = []
        for index, pair in enumerate(pairs):
            values = {model: figure(of_model[pair]) for model, of_model in agreement.items() if pair in of_model}
            paper = {model: paper_figure(label, model, index) for model in values}
            cells.append({"values": values, "best": _best(values), "chart": dumbbell(values), "paper": paper})
        return {"name": name, "colour": colours.get(name), "cells": cells}

    measures = []
    for measure in MEASURES:
        rows = [row(n, n, lambda e, n=n, m=measure: e["per_class"][n][m]) for n in legend.names]
        measures.append({"key": measure, "label": MEASURE_LABELS[measure], "rows": rows})
    return {
        "pairs": [pair.replace("-", "–") for pair in pairs],
        "models": list(agreement),
        "measures": measures,
        "overall": [
            row("Overall", "Overall", lambda entry: entry[_OVERALL]),
            row("Without Snow and Shrubland", "", lambda entry: entry["overall_without_snow_and_shrubland"]),
        ],
        "has_paper": len(pairs) <= len(PAIRS) and any(paper_figure(n, "multi-year", 0) for n in legend.names),
    }


def _best(values: Mapping[str, float | None]) -> str | None:
    known = {model: round(value, 2) for model, value in values.items() if value is not None}
    best = max(known.values(), default=None)
    winners = [model for model, value in known.items() if value == best]
    return winners[0] if len(known) > 1 and len(winners) == 1 else None


def accuracy_table(assessment: Tree, legend: Legend) -> dict[str, Any] | None:
    """Accuracy against truth: per class the F1, overall the share of right pixels, per model and year."""
    if assessment["accuracy"] is None:
        return None
    columns = [
        (model, year, entry) for model, of_model in assessment["accuracy"].items() for year, entry in of_model.items()
    ]
    rows = [
        {
            "name": entry.name,
            "colour": entry.colour,
            "cells": [of_year["per_class"][entry.name] for _, _, of_year in columns],
        }
        for entry in legend.classes
    ]
    return {
        "models": [(m, sum(model == m for model, _, _ in columns)) for m in assessment["accuracy"]],
        "columns": [{"model": model, "year": year, "overall": entry[_OVERALL]} for model, year, entry in columns],
        "rows": rows,
    }


def change_table(assessment: Tree) -> list[dict[str, Any]] | None:
    """User's and producer's accuracy and F1 of change, per year pair and model."""
    if assessment["change"] is None:
        return None
    pairs = list(dict.fromkeys(pair for of_model in assessment["change"].values() for pair in of_model))
    return [
        {
            "pair": pair.replace("-", "–"),
            "models": [(model, found[pair]) for model, found in assessment["change"].items() if pair in found],
        }
        for pair in pairs
    ]


def change_bars(assessment: Tree) -> dict[str, dict[str, Any]]:
    """Per model, and `truth` where known: the share of pixels by number of changes."""
    found = dict(assessment["changes"])
    if assessment["truth_changes"] is not None:
        found["truth"] = assessment["truth_changes"]
    bars = {}
    for model, entry in found.items():
        pixels = entry["pixels_by_number"]
        total = sum(pixels)
        if total:
            parts = [
                {
                    "name": layout.changes_name(number),
                    "colour": "#{:02x}{:02x}{:02x}".format(*layout.changes_colour(number)),
                    "share": count / total,
                }
                for number, count in enumerate(pixels)
            ]
            bars[model] = {"parts": parts, "changed": entry["changed_share"]}
    return bars


def transitions(counts: Tree, legend: Legend, area_ha: float | None) -> list[dict[str, Any]]:
    """Matrices of what became of each class, per model and year pair, in hectares (pixels where unknown)."""
    colours = [entry.colour for entry in legend.classes]
    factor = area_ha or 1.0
    found = []
    for model, of_model in counts["models"].items():
        for pair, joint in of_model["joint"].items():
            rows = []
            for place, row in enumerate(joint):
                total = sum(row)
                cells = [
                    {"area": pixels * factor, "share": pixels / total if total else 0.0, "same": column == place}
                    for column, pixels in enumerate(row)
                ]
                rows.append({"name": legend.names[place], "colour": colours[place], "cells": cells})
            found.append(
                {
                    "model": model,
                    "pair": pair.replace("-", "–"),
                    "id": f"{model}-{pair}",
                    "rows": rows,
                    "top": _top(joint, legend, factor),
                }
            )
    return found


def _top(joint: Sequence[Sequence[int]], legend: Legend, factor: float) -> list[dict[str, Any]]:
    classes = legend.classes
    moves = [
        (pixels, before, after)
        for before, row in enumerate(joint)
        for after, pixels in enumerate(row)
        if before != after and pixels
    ]
    largest = sorted(moves, key=lambda move: (-move[0], move[1], move[2]))[:_TOP_TRANSITIONS]
    most = largest[0][0] if largest else 1
    return [
        {"before": classes[before], "after": classes[after], "area": pixels * factor, "length": pixels / most}
        for pixels, before, after in largest
    ]


def areas(assessment: Tree, legend: Legend, area_ha: float | None) -> dict[str, Any]:
    """Area of each class per year and model, with a line over the years."""
    mapped = assessment["whole_area"]["mapped_pixels"]
    years = [str(year) for year in assessment["years"]]
    factor = area_ha or 1.0
    rows = []
    for entry in legend.classes:
        series = {
            model: [of_model[year][entry.name] * factor if year in of_model else None for year in years]
            for model, of_model in mapped.items()
        }
        rows.append({"name": entry.name, "colour": entry.colour, "series": series, "chart": sparkline(series)})
    return {"years": years, "models": list(mapped), "rows": rows}
