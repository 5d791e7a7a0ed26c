"""`assessment.json`: every figure of a run, from the sum of its tiles' counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from landseries_assessor.counting import PREDICTION_BLOCKS, VERDICTS, WHOLE_AREA
from landseries_assessor.measures import accuracy, agreement, change, reliability, share

ASSESSMENT_VERSION: Final = 1


def assess(counts: Mapping[str, Any], names: Sequence[str], models: Sequence[str]) -> dict[str, Any]:
    """Figures of a run.

    Args:
        counts: the sum of all tiles' counts, see `landseries_assessor.counting`.
        names: class names in the order of the counts' `classes`.
        models: models in the order in which they are shown; those without any count are left out.

    Returns:
        `agreement.<model>.<year-year>`, `changes.<model>`, `flicker.<model>`, `mapped_pixels.<model>.<year>`, and,
        None without truth, `accuracy.<model>.<year>`, `change.<model>.<year-year>`, `reliable_samples` and
        `truth_changes`: on the prediction blocks; the same tree under `whole_area` on everything.
    """
    scopes = counts["scopes"]
    return {
        "version": ASSESSMENT_VERSION,
        "classes": list(names),
        "years": counts["years"],
        "reference_year": counts["reference_year"],
        "models": [model for model in models if model in scopes[WHOLE_AREA]["models"]],
        **_figures(scopes[PREDICTION_BLOCKS], names, models),
        "whole_area": _figures(scopes[WHOLE_AREA], names, models),
    }


def _figures(scope: Mapping[str, Any], names: Sequence[str], models: Sequence[str]) -> dict[str, Any]:
    found = {model: scope["models"][model] for model in models if model in scope["models"]}
    has_truth = any(any(pixels[1:]) for pixels in scope["truth"]["mapped"].values())
    reference = scope["reference"] or {}
    return {
        "pixels": scope["pixels"],
        "agreement": {
            model: {pair: agreement(joint, names) for pair, joint in counts["joint"].items()}
            for model, counts in found.items()
        },
        "changes": {model: _changes(counts["changes"]) for model, counts in found.items()},
        "flicker": {model: _flicker(counts["flicker"]) for model, counts in found.items()},
        "mapped_pixels": {model: _mapped(counts["mapped"], names) for model, counts in found.items()},
        "accuracy": {
            model: {year: accuracy(table, names) for year, table in counts["confusion"].items()}
            for model, counts in found.items()
        }
        if has_truth
        else None,
        "change": {
            model: {pair: change(entry) for pair, entry in counts["change"].items()} for model, counts in found.items()
        }
        if has_truth
        else None,
        "truth_changes": _changes(scope["truth"]["changes"]) if has_truth else None,
        "reliable_samples": reliability(reference["confusion"], names, VERDICTS.index("reliable"))
        if "confusion" in reference
        else None,
        "verdicts": {
            verdict: dict(zip(names, pixels, strict=True))
            for verdict, pixels in zip(VERDICTS, reference["verdicts"], strict=True)
        }
        if reference
        else None,
    }


def _changes(histogram: Sequence[int]) -> dict[str, Any]:
    return {"pixels_by_number": list(histogram), "changed_share": share(sum(histogram[1:]), sum(histogram))}


def _flicker(triples: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
    """Share of pixels that go from A to B and straight back to A, per three consecutive years and over all."""
    flickering = sum(entry["flickering"] for entry in triples.values())
    return {
        "rate": share(flickering, sum(entry["pixels"] for entry in triples.values())),
        "per_years": {name: share(entry["flickering"], entry["pixels"]) for name, entry in triples.items()},
    }


def _mapped(by_year: Mapping[str, Sequence[int]], names: Sequence[str]) -> dict[str, dict[str, int]]:
    return {year: dict(zip(["no-data", *names], pixels, strict=True)) for year, pixels in by_year.items()}
