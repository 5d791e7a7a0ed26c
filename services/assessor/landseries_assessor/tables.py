"""The figures of `assessment.json` as CSV tables, for spreadsheets and plots."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from landseries_assessor.counting import VERDICTS

MEASURES: Final = ("iou", "dice", "kept", "arrived")
_SCOPES: Final = ("prediction blocks", "whole area")

Row = Sequence[Any]


def tables(assessment: Mapping[str, Any], counts: Mapping[str, Any]) -> dict[str, bytes]:
    """All tables: file name -> CSV (UTF-8, comma, one header line); a figure that is not defined is left empty."""
    made = {
        "agreement.csv": _agreement(assessment),
        "transitions.csv": _transitions(assessment["classes"], counts),
        "areas.csv": _areas(assessment),
        "samples.csv": _samples(assessment),
    }
    if assessment["accuracy"] is not None:
        made["accuracy.csv"] = _accuracy(assessment)
        made["change.csv"] = _change(assessment)
    return {name: _csv(rows) for name, rows in made.items()}


def _scopes(assessment: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    return zip(_SCOPES, (assessment, assessment["whole_area"]), strict=True)


def _agreement(assessment: Mapping[str, Any]) -> Iterator[Row]:
    """As the paper's table: classes downwards, models and year pairs across; each measure in turn."""
    across = [(model, pair) for model, pairs in assessment["agreement"].items() for pair in pairs]
    yield ["scope", "measure", "class", *(f"{model} {pair}" for model, pair in across)]
    for scope, figures in _scopes(assessment):
        found = [figures["agreement"][model][pair] for model, pair in across]
        for measure in MEASURES:
            for name in assessment["classes"]:
                yield [scope, measure, name, *(entry["per_class"][name][measure] for entry in found)]
        for overall in ("overall", "overall_without_snow_and_shrubland"):
            yield [scope, "share of equal labels", overall, *(entry[overall] for entry in found)]


def _accuracy(assessment: Mapping[str, Any]) -> Iterator[Row]:
    yield ["scope", "model", "year", "class", "users", "producers", "f1", "overall"]
    for scope, figures in _scopes(assessment):
        for model, years in figures["accuracy"].items():
            for year, entry in years.items():
                yield [scope, model, year, "all", None, None, None, entry["overall"]]
                for name, of_class in entry["per_class"].items():
                    yield [scope, model, year, name, *(of_class[key] for key in ("users", "producers", "f1")), None]


def _change(assessment: Mapping[str, Any]) -> Iterator[Row]:
    yield ["scope", "model", "years", "right", "users", "producers", "f1", "true share", "mapped share"]
    for scope, figures in _scopes(assessment):
        for model, pairs in figures["change"].items():
            for pair, entry in pairs.items():
                for right, scores in (("change", entry), ("change with both classes", entry["from_to"])):
                    shares = (entry["true_share"], entry["mapped_share"])
                    yield [scope, model, pair, right, scores["users"], scores["producers"], scores["f1"], *shares]


def _transitions(names: Sequence[str], counts: Mapping[str, Any]) -> Iterator[Row]:
    yield ["scope", "model", "years", "from", "to", "pixels"]
    for scope, entry in zip(_SCOPES, counts["scopes"].values(), strict=True):
        for model, of_model in entry["models"].items():
            for pair, joint in of_model["joint"].items():
                for before, row in zip(names, joint, strict=True):
                    for after, pixels in zip(names, row, strict=True):
                        if pixels:
                            yield [scope, model, pair, before, after, pixels]


def _areas(assessment: Mapping[str, Any]) -> Iterator[Row]:
    yield ["scope", "model", "year", "class", "pixels"]
    for scope, figures in _scopes(assessment):
        for model, years in figures["mapped_pixels"].items():
            for year, classes in years.items():
                for name, pixels in classes.items():
                    yield [scope, model, year, name, pixels]


def _samples(assessment: Mapping[str, Any]) -> Iterator[Row]:
    figures = ("map_precision", "label_precision", "kept_share", "recall")
    yield ["scope", "class", *(f"{verdict} pixels" for verdict in VERDICTS), *figures]
    for scope, entry in _scopes(assessment):
        if entry["verdicts"] is None:
            continue
        reliability = entry["reliable_samples"] or {"per_class": {}, "macro": {}}
        for name in assessment["classes"]:
            pixels = [entry["verdicts"][verdict][name] for verdict in VERDICTS]
            yield [scope, name, *pixels, *(reliability["per_class"].get(name, {}).get(figure) for figure in figures)]
        total = [sum(entry["verdicts"][verdict].values()) for verdict in VERDICTS]
        yield [scope, "all", *total, *(reliability.get(figure) for figure in figures)]
        yield [scope, "mean of classes", *[None] * len(VERDICTS), *(reliability["macro"].get(f) for f in figures)]


def _csv(rows: Iterable[Row]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode("utf-8")
