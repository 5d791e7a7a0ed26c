"""What the report says about the run, ready for the page: samples, training, refused units, timings, provenance."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import yaml

from landseries.legend import Legend
from landseries.plan import RunPlan
from landseries_assessor.charts import training_curve
from landseries_assessor.counting import VERDICTS

_SHOWN_UNITS: Final = 4

Tree = Mapping[str, Any]


def reliable_rows(assessment: Tree, legend: Legend) -> list[dict[str, Any]] | None:
    """Per class of the existing map: shares of the verdicts, and precision and recall where the truth is known."""
    verdicts = assessment["whole_area"]["verdicts"]
    if verdicts is None:
        return None
    reliable = assessment["whole_area"]["reliable_samples"] or {"per_class": {}}
    rows = []
    for entry in legend.classes:
        pixels = {verdict: verdicts[verdict][entry.name] for verdict in VERDICTS}
        total = sum(pixels.values())
        rows.append(
            {
                "name": entry.name,
                "colour": entry.colour,
                "pixels": total,
                "kept": pixels["reliable"],
                "shares": {verdict: count / total if total else 0.0 for verdict, count in pixels.items()},
                "figures": reliable["per_class"].get(entry.name),
            }
        )
    return rows


def sample_table(dataset: Tree | None, legend: Legend) -> dict[str, Any] | None:
    """Annual series that the networks were trained and validated on, per class and model."""
    models: Tree = (dataset or {}).get("models", {})
    if not models:
        return None
    splits = ("training", "validation")

    def count(model: str, split: str, name: str) -> int:
        return sum(of_year.get(name, 0) for of_year in models[model].get(split, {}).values())

    columns = [(model, split) for model in models for split in splits]
    counts = [[count(model, split, entry.name) for model, split in columns] for entry in legend.classes]
    rows = [
        {"name": entry.name, "colour": entry.colour, "counts": row}
        for entry, row in zip(legend.classes, counts, strict=True)
    ]
    totals = [sum(column) for column in zip(*counts, strict=True)]
    return {"models": list(models), "columns": columns, "rows": rows, "totals": totals}


def training(trained: Mapping[str, Tree]) -> list[dict[str, Any]]:
    """A chart per network, and what its best epoch reached."""
    found = []
    for model, summary in trained.items():
        for network, entry in summary.get("networks", {}).items():
            curve = entry.get("curve", {})
            if not curve.get("epochs"):
                continue
            name = model if network == "all" else f"{model}, {network}"
            best = curve["epochs"][curve["best_epoch"]]
            found.append(
                {
                    "name": name,
                    "model": model,
                    "chart": training_curve(curve, name),
                    "series": (entry.get("training_series"), entry.get("validation_series")),
                    "accuracy": best.get("accuracy"),
                    "macro_f1": best.get("macro_f1"),
                }
            )
    return found


def left_out(dataset: Tree | None, trained: Mapping[str, Tree]) -> list[str]:
    """Networks that could not be trained, as sentences."""
    entries = [(model, reasons) for model, reasons in (dataset or {}).get("left_out", {}).items()]
    entries += [(model, summary.get("left_out", {})) for model, summary in trained.items()]
    named = (f"{model}, network {name}: {reason}" for model, reasons in entries for name, reason in reasons.items())
    return list(dict.fromkeys(named))


def refused(entries: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
    """Units without a result, by stage and reason, with the first few names."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for entry in entries:
        stage, _, rest = entry["unit"].partition(" ")
        groups.setdefault((stage, entry["status"], entry["reason"]), []).append(rest)
    return [
        {
            "stage": stage,
            "status": status,
            "reason": reason,
            "count": len(units),
            "units": units[:_SHOWN_UNITS],
            "more": max(0, len(units) - _SHOWN_UNITS),
        }
        for (stage, status, reason), units in groups.items()
    ]


def timings(summary: Tree) -> list[dict[str, Any]]:
    """Stages with their units, time and memory, and their share of the longest stage."""
    longest = max((entry["seconds"] for entry in summary["timings"].values()), default=0) or 1
    return [{"stage": s, **entry, "length": entry["seconds"] / longest} for s, entry in summary["timings"].items()]


def provenance(plan: RunPlan, software: Iterable[str], version: str) -> dict[str, Any]:
    """What one needs to know to make the same maps again."""
    config = plan.config.model_dump(mode="json")
    return {
        "versions": sorted({version, *(name for name in software if name)}),
        "seed": plan.config.seed,
        "numerics": plan.numerics.model_dump(mode="json"),
        "features": list(plan.features),
        "stage_versions": plan.stage_versions,
        "config": yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=100),
    }
